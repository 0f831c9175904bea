//! What only ours has: who may be asked, what is refused when the file is read, and what stays when a file is bad.

use std::path::Path;

use kit::config::Environment;
use monitor::export::{DIFFERENCES, Difference, How};
use monitor::{Config, Engine, Kinds};
use testkit::{Authority, Response, Server, Target, eventually, free_port};

use crate::answer::Answer;

/// What a module says where an option is refused, by the option.
const REFUSED: [(&str, &str); 5] = [
    ("http.enable_http3", "{ prober: http, http: { enable_http3: true } }"),
    ("http.compression: br", "{ prober: http, http: { compression: br } }"),
    ("tls_config.min_version: TLS10", "{ prober: http, http: { tls_config: { min_version: TLS10 } } }"),
    (
        "websocket.http_config.oauth2",
        "{ prober: websocket, websocket: { http_config: { oauth2: { client_id: a, token_url: 'http://a' } } } }",
    ),
    (
        "websocket.http_config.proxy_url",
        "{ prober: websocket, websocket: { http_config: { proxy_url: 'http://a:1' } } }",
    ),
];

#[test]
fn the_readme_shows_every_difference() {
    let rows = DIFFERENCES.iter().map(|Difference { what, how, cases, why }| {
        let how = match how {
            How::More => "told more often",
            How::Less => "told less often",
            How::Value => "another value",
            How::Succeeds => "succeeds, there it fails",
            How::Answer => "another answer",
            How::Refused => "refused when the file is read",
        };
        let cases = if cases.is_empty() { String::new() } else { format!(" ({})", cases.join("; ")) };
        format!("| {what}{cases} | {how} | {why} |\n")
    });
    let table = format!("| what | how | why |\n|---|---|---|\n{}", rows.collect::<String>());
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    assert!(readme.contains(&table), "write this into the README:\n{table}");
}

pub(crate) fn mistakes(folder: &Path, modules: &str) -> String {
    mistakes_in(&Environment::default(), folder, modules)
}

pub(crate) fn mistakes_in(environment: &Environment, folder: &Path, modules: &str) -> String {
    let (file, config) = (folder.join("blackbox.yml"), folder.join("monitor.yml"));
    std::fs::write(&file, modules).unwrap();
    let text = format!("services: {{}}\nblackbox: {{ modules: {}, targets: ['*'] }}\n", file.display());
    std::fs::write(&config, text).unwrap();
    match Engine::new(&Config::load(&config, environment), Kinds::standard()) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_option_that_is_refused_is_listed_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let listed: Vec<&str> = DIFFERENCES
        .iter()
        .filter(|difference| difference.how == How::Refused)
        .map(|difference| difference.what)
        .collect();
    let tried: Vec<&str> = REFUSED.iter().map(|(option, _)| *option).collect();
    assert_eq!(listed, tried);
    for (option, module) in REFUSED {
        let said = mistakes(folder.path(), &format!("modules:\n  a: {module}\n"));
        let advises = ["write ", "leave it out"].iter().any(|advice| said.contains(advice));
        assert!(said.contains("blackbox.yml:2:") && advises, "{option}: {said:?}");
    }
}

#[test]
fn what_blackbox_exporter_takes_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let certificate = authority.valid();
    let inline = |pem: &str| pem.replace('\n', "\\n");
    let said = mistakes(
        folder.path(),
        &format!(
            "modules:\n  a: {{ prober: http, http: {{ headers: {{ Connection: keep-alive, Content-Length: 5 }}, \
             preferred_ip_protocol: '' }} }}\n  b: {{ prober: dns, dns: {{ query_name: a, valid_rcodes: [BADVERS] }} }}\n  \
             c: {{ prober: tcp, tcp: {{ tls_config: {{ cert: \"{}\", key: \"{}\" }} }} }}\n",
            inline(certificate.pem()),
            inline(certificate.key_pem())
        ),
    );
    assert_eq!(said, "");
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let said = mistakes(
        folder.path(),
        "modules:\n  a:\n    prober: htp\n    timeout: 5\n  b:\n    prober: http\n    http:\n      valid_status_code: [200]\n      \
         fail_if_body_matches_regexp: ['(']\n      fail_if_header_matches: [{ header: a }]\n",
    );
    let said = said.replace(&format!("{}/", folder.path().display()), "");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 5, "{said}");
    for (line, wanted) in lines.iter().zip([
        "blackbox.yml:3:13: ",
        "blackbox.yml:4:14: ",
        "blackbox.yml:8:7: blackbox.modules.modules.b.http: unknown key \"valid_status_code\"; did you mean",
        "blackbox.yml:9:37: ",
        "blackbox.yml:10:",
    ]) {
        assert!(line.starts_with(wanted), "{line}\n{wanted}");
    }
}

/// What is around ours.
pub(crate) struct Surroundings<'a> {
    /// Variables, each `NAME=value`.
    pub(crate) environment: &'a [String],
    pub(crate) at_once: usize,
}

impl Default for Surroundings<'_> {
    fn default() -> Self {
        Self { environment: &[], at_once: 1 }
    }
}

/// Ours alone, with these modules and targets.
pub(crate) async fn ours(folder: &Path, modules: &str, targets: &str) -> Server {
    ours_in(Surroundings::default(), folder, modules, targets).await
}

pub(crate) async fn ours_in(around: Surroundings<'_>, folder: &Path, modules: &str, targets: &str) -> Server {
    let (port, main) = (free_port(), free_port());
    std::fs::write(folder.join("blackbox.yml"), modules).unwrap();
    let shown = folder.display();
    let text = format!(
        "listen: 127.0.0.1:{main}\ndata_dir: {shown}/data\nservices: {{}}\n\
         blackbox: {{ listen: '127.0.0.1:{port}', modules: {shown}/blackbox.yml, targets: {targets}, at_once: {} }}\n",
        around.at_once
    );
    let config = folder.join("monitor.yml");
    std::fs::write(&config, text).unwrap();
    let run = [env!("CARGO_BIN_EXE_monitor"), "run", "--config", config.to_str().unwrap()].map(str::to_owned);
    Server::start(port, "env", &[around.environment, &run].concat()).await
}

const MODULES: &str = "modules:\n  http_2xx: { prober: http, http: { preferred_ip_protocol: ip4 } }\n";

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_targets_are_asked_also_behind_redirects() {
    let folder = tempfile::tempdir().unwrap();
    let (allowed, other) = (Target::ok("in"), Target::ok("out"));
    let (led, to_cloud) = (Target::redirect_to(&other.url("/")), Target::redirect_to("http://169.254.169.254/latest"));
    let ports = [&allowed, &led, &to_cloud].map(|target| format!("127.0.0.1:{}", target.addr().port()));
    let server = ours(folder.path(), MODULES, &format!("{ports:?}")).await;
    let ask =
        async |target: &str| Answer::of("GET", &format!("http://{}/probe?target={target}", server.addr()), &[]).await;
    assert!(ask(&allowed.url("/")).await.text().contains("probe_success 1\n"));
    for target in [other.url("/"), "http://169.254.169.254/".to_owned(), "http://no-such-name.invalid/".to_owned()] {
        let answer = ask(&target).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("is not among the targets that may be asked"), "{}", answer.text());
    }
    for target in [&led, &to_cloud] {
        let answer = ask(&target.url("/")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("probe_success 0\n"), "{}", answer.text());
        assert!(answer.text().contains("probe_failure_info{reason=\"redirects\"} 1\n"), "{}", answer.text());
    }
    assert_eq!(other.connections(), 0);
    let figures = Answer::of("GET", &format!("http://{}/metrics", server.addr()), &[]).await.text();
    assert!(figures.contains("blackbox_exporter_targets_refused_total 3\n"), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_stay_with_the_host_and_port_they_were_written_for() {
    let folder = tempfile::tempdir().unwrap();
    let other = Target::ok("out");
    let (away, asked) = (other.url("/away"), "/here".to_owned());
    let first = Target::respond_with(move |request| match request.path.as_str() {
        "/away" => Response::new(302, "").with_header("location", &away),
        "/stay" => Response::new(302, "").with_header("location", &asked),
        _ => Response::new(200, "in"),
    });
    let modules = "modules:\n  http_2xx: { prober: http, http: { basic_auth: { username: me, password: secret-word }, \
                   headers: { X-Api-Key: abc, X-Plain: def } } }\n";
    let server = ours(folder.path(), modules, "['127.0.0.0/8']").await;
    for path in ["/stay", "/away"] {
        let url = format!("http://{}/probe?target={}", server.addr(), first.url(path));
        let answer = Answer::of("GET", &url, &[]).await.text();
        assert!(answer.contains("probe_success 1\n"), "{answer}");
    }
    let [stayed, moved, left] = &first.requests()[..] else { panic!("{:?}", first.requests()) };
    for request in [stayed, moved, left] {
        assert!(request.header("authorization").is_some() && request.header("x-api-key").is_some(), "{request:?}");
    }
    let away = &other.requests()[0];
    assert_eq!(
        (away.header("authorization"), away.header("x-api-key"), away.header("x-plain")),
        (None, None, Some("def"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_shows_who_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("in");
    let modules = format!(
        "{MODULES}  talk: {{ prober: tcp, timeout: 5s, tcp: {{ query_response: [{{ send: PASS s3cret-word }}] }} }}\n"
    );
    let server = ours(folder.path(), &modules, "['127.0.0.0/8']").await;
    let at = |path: &str| format!("http://{}{path}", server.addr());
    let address = target.addr();
    for wish in [
        format!("target=bob:s3cret-pass@{address}/"),
        format!("target=http://s3cret-token@{address}/"),
        format!("module=talk&target={address}"),
    ] {
        let answer = Answer::of("GET", &at(&format!("/probe?{wish}")), &[]).await.text();
        assert!(answer.contains("probe_success 1\n"), "{answer}");
    }
    for path in ["/", "/config", "/logs?id=0", "/logs?id=1", "/logs?id=2"] {
        let answer = Answer::of("GET", &at(path), &[]).await;
        assert!(answer.status == 200 && !answer.text().contains("s3cret"), "{path}: {}", answer.text());
    }
    assert!(Answer::of("GET", &at("/"), &[]).await.text().contains(&format!("***@{address}/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_names_this_machine_is_answered_and_prometheus_does() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("in");
    let server = ours(folder.path(), MODULES, "['127.0.0.0/8']").await;
    let (address, port) = (server.addr(), server.addr().port());
    let probe = format!("/probe?target={}", target.url("/"));
    for path in ["/", "/config", "/metrics", &probe, "/logs?id=0"] {
        let ask = async |host: &str| Answer::of("GET", &format!("http://{address}{path}"), &[("host", host)]).await;
        let refused = ask(&format!("evil.example:{port}")).await;
        assert_eq!(refused.status, 403, "{path}");
        let text = refused.text();
        assert!(text.starts_with(&format!("Host \"evil.example:{port}\" is not this server; use {address}")), "{text}");
        assert_ne!(ask(&format!("localhost:{port}")).await.status, 403, "{path}");
    }
    let (own, file) = (free_port(), folder.path().join("prometheus.yml"));
    let scraping = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: web\n    metrics_path: /probe\n    \
         static_configs: [{{ targets: ['{}'] }}]\n    relabel_configs:\n      \
         - {{ source_labels: [__address__], target_label: __param_target }}\n      \
         - {{ target_label: __address__, replacement: '{address}' }}\n",
        target.url("/")
    );
    std::fs::write(&file, scraping).unwrap();
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()),
        format!("--web.listen-address=127.0.0.1:{own}"),
    ];
    let prometheus = Server::start(own, "prometheus", &arguments).await;
    let query = format!("http://{}/api/v1/query?query=probe_success==1", prometheus.addr());
    eventually("Prometheus to scrape", std::time::Duration::from_secs(60), async || {
        Answer::of("GET", &query, &[]).await.text().contains("\"job\":\"web\"").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_to_keep_is_matched_by_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let size = 65 * 1024 * 1024;
    let target = Target::ok("x".repeat(size));
    let modules = "modules:\n  has: { prober: http, http: { fail_if_body_not_matches_regexp: ['^xx'] } }\n  \
                   has_not: { prober: http, http: { fail_if_body_matches_regexp: ['^y'] } }\n";
    let server = ours(folder.path(), modules, "['127.0.0.0/8']").await;
    for (module, success) in [("has", 1), ("has_not", 0)] {
        let url = format!("http://{}/probe?module={module}&target={}", server.addr(), target.url("/"));
        let answer = Answer::of("GET", &url, &[]).await.text();
        assert!(answer.contains(&format!("probe_success {success}\n")), "{answer}");
        assert!(answer.contains("probe_http_uncompressed_body_length 6.815744e+07\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_ends_the_probe_and_too_many_at_once_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (stalled, fine) = (Target::stall(), Target::ok("in"));
    let server = ours(folder.path(), MODULES, "['127.0.0.0/8']").await;
    let url = |target: &Target| format!("http://{}/probe?target={}", server.addr(), target.url("/"));
    let waiting = tokio::spawn({
        let url = url(&stalled);
        async move { Answer::of("GET", &url, &[]).await }
    });
    let limit = std::time::Duration::from_secs(20);
    eventually("the probe to begin", limit, async || (stalled.connections() > 0).then_some(())).await;
    let refused = Answer::of("GET", &url(&fine), &[]).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().starts_with("1 probes run already (blackbox.at_once)"), "{}", refused.text());
    waiting.abort();
    eventually("a place", limit, async || (Answer::of("GET", &url(&fine), &[]).await.status == 200).then_some(()))
        .await;
    let figures = Answer::of("GET", &format!("http://{}/metrics", server.addr()), &[]).await.text();
    assert!(figures.contains("blackbox_exporter_probes_total{result=\"abandoned\"} 1\n"), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_is_seen_and_a_good_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("in");
    let server = ours(folder.path(), MODULES, "['127.0.0.0/8']").await;
    let at = |path: &str| format!("http://{}{path}", server.addr());
    let file = folder.path().join("blackbox.yml");
    std::fs::write(&file, "modules:\n  http_2xx: { prober: htp }\n").unwrap();
    let refused = Answer::of("POST", &at("/-/reload"), &[]).await;
    assert_eq!(refused.status, 500);
    assert!(refused.text().starts_with("failed to reload config: "), "{}", refused.text());
    assert!(refused.text().contains("blackbox.yml:2:"), "{}", refused.text());
    let figures = Answer::of("GET", &at("/metrics"), &[]).await.text();
    assert!(figures.contains("blackbox_exporter_config_last_reload_successful 0\n"), "{figures}");
    let probe = at(&format!("/probe?target={}", target.url("/")));
    assert!(Answer::of("GET", &probe, &[]).await.text().contains("probe_success 1\n"));
    std::fs::write(&file, format!("{MODULES}  another: {{ prober: http }}\n")).unwrap();
    assert_eq!(Answer::of("POST", &at("/-/reload"), &[]).await.status, 200);
    assert!(Answer::of("GET", &at("/config"), &[]).await.text().contains("  another:\n"));
    std::fs::write(&file, format!("{MODULES}  third: {{ prober: http }}\n")).unwrap();
    let limit = std::time::Duration::from_secs(50);
    eventually("the file to be seen", limit, async || {
        Answer::of("GET", &at("/config"), &[]).await.text().contains("  third:\n").then_some(())
    })
    .await;
    for (method, headers, status) in [
        ("GET", &[][..], 405),
        ("POST", &[("origin", "http://evil.example")], 403),
        ("POST", &[("host", "evil.example")], 403),
    ] {
        assert_eq!(Answer::of(method, &at("/-/reload"), headers).await.status, status, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_can_be_looked_at_and_prometheus_likes_what_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::ok("in");
    let server = ours(folder.path(), MODULES, "['127.0.0.0/8']").await;
    let at = |path: &str| format!("http://{}{path}", server.addr());
    let probe = format!("/probe?target={}", target.url("/?a=%3Cb%3E"));
    let probed = Answer::of("GET", &at(&probe), &[]).await;
    let packed = Answer::of("GET", &at(&probe), &[("accept-encoding", "gzip")]).await;
    assert_eq!((packed.header("content-encoding"), &packed.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
    let debug = Answer::of("GET", &at(&format!("{probe}&debug=true")), &[]).await.text();
    for title in ["Logs for the probe:\n", "\nMetrics that would have been returned:\n", "\nModule configuration:\n"] {
        assert!(debug.contains(title), "{debug}");
    }
    let by_id = Answer::of("GET", &at("/logs?id=2"), &[]).await;
    assert_eq!(by_id.text(), debug);
    let page = Answer::of("GET", &at("/"), &[]).await;
    assert!(page.text().contains("/?a=&lt;b&gt;") && !page.text().contains("<b>"), "{}", page.text());
    for (path, status) in [
        ("/logs?id=9", 404),
        ("/logs?id=x", 400),
        ("/logs", 400),
        ("/logs?target=http://127.0.0.1:1/", 404),
        ("/nope", 404),
        ("/-/healthy", 200),
    ] {
        assert_eq!(Answer::of("GET", &at(path), &[]).await.status, status, "{path}");
    }
    for text in [probed.text(), Answer::of("GET", &at("/metrics"), &[]).await.text()] {
        let file = folder.path().join("metrics");
        std::fs::write(&file, &text).unwrap();
        let input = std::fs::File::open(&file).unwrap();
        let checked = std::process::Command::new("promtool").args(["check", "metrics"]).stdin(input).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && said.is_empty(), "{said}\n{text}");
    }
}
