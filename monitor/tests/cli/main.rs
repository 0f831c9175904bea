//! The command line as scripts see it: exit codes, closed pipes, where the configuration comes from.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod import_gatus;
mod import_kuma;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::Target;

fn monitor(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
    command.args(args).env_remove("MONITOR_CONFIG");
    command
}

fn run(args: &[&str]) -> Output {
    monitor(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn write_config(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("m.yml");
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_reader_that_left_is_no_error() {
    for args in [&["check-config", "--defaults"][..], &["check-config", "/nonexistent.yml"], &["frobnicate"]] {
        let whole = run(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = monitor(args).stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), whole.status.code(), "{args:?}");
    }
    assert_eq!(run(&["check-config", "--defaults"]).status.code(), Some(0));
}

#[test]
fn what_is_no_url_is_a_wrong_command_line() {
    for url in ["foo", "ftp://127.0.0.1/", "/livez", "http://"] {
        let output = run(&["healthcheck", url]);
        assert_eq!(output.status.code(), Some(64), "{url}: {}", said(&output));
        assert!(said(&output).contains("URL"), "{}", said(&output));
    }
}

#[test]
fn discovering_tells_a_configuration_without_discoveries_from_an_engine_that_cannot_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let look = |text: &str| {
        let file = write_config(folder.path(), text);
        run(&["discover", "--config", file.to_str().unwrap()])
    };
    let output = look("services: {}\n");
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("write discover: { docker: { container: {} } }"), "{}", said(&output));
    let output = look("discover: { docker: { container: { engine: \"unix:///no/such.sock\" } } }\n");
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        shown,
        "docker looks at unix:///no/such.sock for containers with the label monitor.enable=true\n  \
         the container engine at unix:///no/such.sock cannot be asked: there is no socket /no/such.sock\n"
    );
}

#[test]
fn a_probe_tells_a_broken_configuration_from_an_unknown_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_config(folder.path(), "listen: nowhere\n");
    assert_eq!(run(&["probe", "web", "--config", file.to_str().unwrap()]).status.code(), Some(78));
    let file = write_config(folder.path(), "services: {}\n");
    assert_eq!(run(&["probe", "web", "--config", file.to_str().unwrap()]).status.code(), Some(64));
    assert_eq!(run(&["probe", "gopher://127.0.0.1/"]).status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_outweighs_one_that_could_not_be_asked() {
    let (folder, broken, works) = (tempfile::tempdir().unwrap(), Target::answer(500, &[], ""), Target::ok(""));
    let probe = |checks: &str| {
        let file = write_config(folder.path(), &format!("services: {{ web: {{ checks: {{ {checks} }} }} }}\n"));
        run(&["probe", "web", "--config", file.to_str().unwrap()])
    };
    let (fail, pass) = (broken.url("/"), works.url("/"));
    let fail = format!("fail: {{ http: {{ url: \"{fail}\" }} }}");
    let pass = format!("pass: {{ http: {{ url: \"{pass}\" }} }}");
    // Pushes come to the daemon: from here nothing is known of them.
    let unknown = "unknown: { heartbeat: { period: 1h } }";
    for (checks, code) in [
        (pass.clone(), 0),
        (format!("{pass}, {unknown}"), 2),
        (format!("{fail}, {unknown}"), 1),
        (format!("{unknown}, {fail}, {pass}"), 1),
    ] {
        let output = probe(&checks);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{checks}: {text}{}", said(&output));
    }
}

#[test]
fn check_config_takes_the_file_of_the_environment_and_no_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_config(folder.path(), "services: {}\n");
    let found = monitor(&["check-config"]).current_dir("/").env("MONITOR_CONFIG", &file).output().unwrap();
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(text.starts_with(&format!("{} is fine", file.display())), "{text}{}", said(&found));
    let pipe = folder.path().join("pipe.yml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let refused = run(&["check-config", pipe.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(78));
    let wanted = "pipe.yml: cannot read this file: it is neither a regular file nor a folder\n";
    assert!(said(&refused).contains(wanted), "{}", said(&refused));
}

#[test]
fn the_environment_sets_keys_that_the_file_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_config(folder.path(), "services: {}\n");
    let mut command = monitor(&["check-config", file.to_str().unwrap()]);
    command.env("MONITOR_LISTEN", "127.0.0.1:9999").env("MONITOR_URL", "http://127.0.0.1:1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("listening on 127.0.0.1:9999"), "{text}{}", said(&output));
}

#[test]
fn an_alertmanagers_configuration_becomes_ours_and_its_secrets_leave_it() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/alertmanager.yml");
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    let args = ["import", "alertmanager", fixture.to_str().unwrap(), "--secrets", secrets.to_str().unwrap()];
    let output = run(&args);
    let ours = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!ours.contains("hunter2") && !ours.contains("abc123"), "{ours}");
    assert_eq!(std::fs::read_to_string(secrets.join("default-password")).unwrap(), "hunter2\n");
    for line in ["receiver chat: pushover_configs has no kind here", "inhibit_rules: say what needs what"] {
        assert!(said(&output).contains(&format!("left out: {line}")), "{}", said(&output));
    }
    // What was written is a configuration that loads, again and again.
    assert_eq!(run(&args).stdout, output.stdout);
    let services = "services: { web: { checks: { port: { tcp: { address: \"127.0.0.1:1\" } } } } }\n";
    let file = write_config(folder.path(), &format!("{services}{ours}"));
    let checked = run(&["check-config", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}{ours}", said(&checked));
    let missing = run(&["import", "alertmanager", "/nonexistent.yml"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(said(&missing).contains("cannot read /nonexistent.yml"), "{}", said(&missing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_added_to_a_file_or_a_folder_after_it_was_asked() {
    let target = Target::ok("pong");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yml");
    let add = |config: &Path, words: &[&str]| run(&[&["add"], words, &["--config", config.to_str().unwrap()]].concat());
    let url = target.url("/health");
    let output = add(&file, &["shop/page", &url, "--set", "every=30s", "--set", "expect.status=[200, 204]"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.starts_with("● pass") && shown.ends_with("m.yml\n"), "{shown}");
    assert_eq!(target.requests().len(), 1);
    let text = std::fs::read_to_string(&file).unwrap();
    let expected = format!(
        "services:\n  shop:\n    checks:\n      page:\n        every: 30s\n        expect:\n          status: [200, 204]\n        http:\n          url: \"{url}\"\n"
    );
    assert_eq!(text, expected);
    for (words, code, message) in [
        (&["shop/page", &url][..], 78, "m.yml:4:7: there is a check shop/page already"),
        (&["page", &url], 64, "\"page\" is not service/check; write it like shop/page"),
        (&["shop/x", "x"], 64, "x cannot be asked; write http://"),
        (&["shop/x", "redis://me:pw@cache"], 64, "credentials do not belong in a URL"),
        (&["shop/x", "tcp://cache"], 64, "tcp://cache has no host and port; write it like tcp://example.com:1234"),
        (
            &["shop/x", &url, "--set", "evry=1s"],
            78,
            "m.yml:11:9: services.shop.checks.x: unknown key \"evry\"; did you mean \"every\"?",
        ),
        (&["shop/x", &url, "--set", "http.url.a=1"], 64, "\"http.url.a=1\": \"url\" is no mapping"),
        (&["shop/x", &url, "--set", "every"], 64, "\"every\" is no setting"),
    ] {
        let output = add(&file, words);
        assert!(output.status.code() == Some(code) && said(&output).contains(message), "{words:?}: {output:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected, "nothing was written");

    let other = folder.path().join("other.yml");
    std::fs::write(&other, "# keep\nservices:\n  cache: { checks: { a: { tcp: { address: \"x:1\" } } } } # this\n")
        .unwrap();
    assert_eq!(add(folder.path(), &["cache/b", "redis://cache", "--no-probe"]).status.code(), Some(0));
    let text = std::fs::read_to_string(&other).unwrap();
    let expected = "# keep\nservices:\n  cache: { checks: { b: { redis: { address: \"cache:6379\" } }, a: { tcp: { address: \"x:1\" } } } } # this\n";
    assert_eq!(text, expected);
    assert_eq!(add(folder.path(), &["new/b", "ping://host", "--no-probe"]).status.code(), Some(0));
    assert!(folder.path().join("new.yml").exists());
    std::fs::write(&other, "listen: nowhere\n").unwrap();
    assert_eq!(
        add(folder.path(), &["new/c", "ping://host", "--no-probe"]).status.code(),
        Some(78),
        "it was wrong before"
    );
}

#[test]
fn jobs_that_ask_blackbox_exporter_become_checks() {
    let fixture = |name: &str| format!("{}/tests/fixtures/import/{name}", env!("CARGO_MANIFEST_DIR"));
    let secrets = tempfile::tempdir().unwrap();
    let kept = secrets.path().display().to_string();
    let args =
        ["import", "blackbox", &fixture("prometheus.yml"), "--modules", &fixture("blackbox.yml"), "--secrets", &kept];
    let output = run(&args);
    let ours = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!ours.contains("hunter2"), "{ours}");
    for line in [
        "module page: fail_if_not_ssl",
        "job mail: dns_sd_configs; write its targets down, or find containers with discover",
        "module soa: validate_answer_rrs",
        "module irc: query_response.send with ${…}; what was found cannot be sent back",
        "module cache: query_response.send, where it signs in; write the kind of the protocol, as redis or smtp",
        "module socket: there is no kind for prober \"unix\"; ask it through the section blackbox",
        "job lost: there is no module \"nope\"",
    ] {
        assert!(said(&output).contains(&format!("left out: {line}")), "{line}\n{}", said(&output));
    }
    assert!(!said(&output).contains("hunter2") && ours.contains("a=$${b}"), "{ours}{}", said(&output));
    for name in [
        "module-page-password",
        "module-page-x-api-key",
        "module-page-body",
        "own-example-com-password",
        "both-example-com-password",
        "own-example-com-token",
    ] {
        let file = secrets.path().join(name);
        assert!(std::fs::read_to_string(&file).unwrap().contains("hunter2"), "{name}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let checked = run(&["check-config", write_config(folder.path(), &ours).to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}{ours}", said(&checked));
    let listed = String::from_utf8_lossy(&checked.stdout).into_owned();
    for words in [
        "shop-example-com-health/web-pages",
        "ask at https://shop.example.com",
        "http-shop-example-com-health/web-pages",
        "ask at http://shop.example.com",
        "mail-example-com-25/mail",
        "shop-example-com/ping",
        "192-0-2-53/names",
        "api-example-com-443/health",
        "irc-example-com-6667/irc",
    ] {
        assert!(listed.contains(words), "{words} is not in {listed}");
    }
    let none = run(&["import", "blackbox", &fixture("blackbox.yml"), "--modules", &fixture("blackbox.yml")]);
    assert_eq!(none.status.code(), Some(78));
    assert!(said(&none).contains("no job asks blackbox_exporter"), "{}", said(&none));
}
