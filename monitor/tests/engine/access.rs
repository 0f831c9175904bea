//! Who may do what, through the whole engine: roles, sessions, links, what a stranger learns, and the audit of it all.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use kit::http::SecretDigest;
use monitor::Kinds;
use serde_json::Value;
use testkit::{Target, eventually};
use uuid::Uuid;

use crate::harness::{LIMIT, Running, TOKEN, write_config};

const VIEWER: &str = "vera-token-0123456789";
const OPERATOR: &str = "olga-token-0123456789";
const ADMIN: &str = "adam-token-0123456789";
const HTML: (&str, &str) = ("accept", "text/html");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// An answer as a browser gets it.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The session in `Set-Cookie`, as it is sent back.
    fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// The token that forms of this page carry.
    fn form_token(&self) -> &str {
        let field = self.text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{}", self.text));
        field.split('"').next().unwrap()
    }
}

async fn send(running: &Running, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", running.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = kit::http::client::<Full<Bytes>>(LIMIT);
    let answer = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let text = String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text }
}

async fn get(running: &Running, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(running, Method::GET, path, headers, "").await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// `access:` with one person a role.
fn access(more: &str) -> String {
    let person = |name: &str, role: &str, token: &str| {
        let digest = SecretDigest::of(token.as_bytes()).to_hex();
        format!("    - {{ name: {name}, role: {role}, sha256: \"{digest}\" }}\n")
    };
    let people = [("vera", "viewer", VIEWER), ("olga", "operator", OPERATOR), ("adam", "admin", ADMIN)];
    let people: String = people.iter().map(|(name, role, token)| person(name, role, token)).collect();
    format!("access:\n{more}  tokens:\n{people}")
}

fn service(target: &Target) -> String {
    format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms, fail_after: 2 }}\n\
         services:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n",
        target.url("/secret-path")
    )
}

/// Signs in as a browser does; returns the cookie.
async fn sign_in(running: &Running, token: &str) -> String {
    let answer =
        send(running, Method::POST, "/login", &[FORM, ("origin", &running.url)], &format!("token={token}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
    answer.cookie()
}

/// What is broken now.
async fn open_incident(running: &Running) -> Uuid {
    let token = bearer(TOKEN);
    eventually("an open incident", LIMIT, async || {
        let open = get(running, "/api/v1/incidents?open=true", &[("authorization", &token)]).await.json();
        open.as_array()?.first()?["id"].as_str()?.parse().ok()
    })
    .await
}

/// Actions of the audit, oldest first, with who and the detail.
async fn audit(running: &Running) -> Vec<[String; 3]> {
    let rows = get(running, "/api/v1/audit", &[("authorization", &bearer(TOKEN))]).await.json();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter().rev();
    rows.map(|row| [text(row, "who"), text(row, "action"), text(row, "detail")]).collect()
}

async fn until_audited(running: &Running, who: &str, action: &str) -> String {
    eventually(&format!("{action} by {who} in the audit"), LIMIT, async || {
        let rows = audit(running).await;
        rows.into_iter().find(|[by, what, _]| by == who && what == action).map(|[_, _, detail]| detail)
    })
    .await
}

#[tokio::test]
async fn each_role_may_do_what_the_api_document_says_and_no_more() {
    let target = Target::ok("");
    let running = Running::start(&format!("{}{}", access("  public: false\n"), service(&target))).await;
    let document = get(&running, "/api/v1/openapi.json", &[]).await.json();
    let mut seen = [0; 3];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let filled = path
                .replace("{id}", &Uuid::nil().to_string())
                .replace("{incident}", &Uuid::nil().to_string())
                .replace("{event}", "1")
                .replace("{file}", "overall.svg")
                .replace("{", "")
                .replace("}", "");
            let alternatives = operation["security"].as_array().into_iter().flatten();
            let schemes: Vec<&String> = alternatives.flat_map(|one| one.as_object().unwrap().keys()).collect();
            let (class, expected) = match schemes.as_slice() {
                [] => (0, [true, true, true, true]),
                some if some.iter().any(|scheme| *scheme == "operator") => (2, [false, false, true, true]),
                _ => (1, [false, true, true, true]),
            };
            seen[class] += 1;
            // An event stream does not end.
            if path == "/api/v1/events" {
                assert_eq!(get(&running, path, &[]).await.status, 401);
                continue;
            }
            for (token, allowed) in ["", VIEWER, OPERATOR, ADMIN].into_iter().zip(expected) {
                let answer = send(&running, method.clone(), &filled, &[("authorization", &bearer(token))], "").await;
                let refused = if token.is_empty() { answer.status == 401 } else { answer.status == 403 };
                assert_eq!(!refused, allowed, "{method} {path} as {token:?}: {} {}", answer.status, answer.text);
            }
        }
    }
    assert!(seen.iter().all(|count| *count >= 2), "{seen:?}");
    running.stop().await;
}

#[tokio::test]
async fn what_is_public_is_what_the_configuration_says() {
    let target = Target::ok("");
    let open = ["/livez", "/readyz", "/health", "/login", "/api/v1/badges/overall.svg"];
    let names = ["/", "/api/v1/status", "/api/v1/services/web"];
    let details = ["/metrics", "/services/web", "/api/v1/transitions", "/api/v1/incidents", "/api/v1/channels"];
    let operators = ["/audit", "/api/v1/audit"];
    for (public, reads_names, reads_details) in
        [("true", true, true), ("details", true, true), ("names", true, false), ("false", false, false)]
    {
        let running =
            Running::start(&format!("{}{}", access(&format!("  public: {public}\n")), service(&target))).await;
        let (vera, olga) = (bearer(VIEWER), bearer(OPERATOR));
        for (paths, is_public, for_viewers) in [
            (&open[..], true, true),
            (&names, reads_names, true),
            (&details, reads_details, true),
            (&operators, false, false),
        ] {
            for path in paths {
                let found = get(&running, path, &[]).await.status;
                assert_eq!(found, if is_public { 200 } else { 401 }, "{public}: {path}");
                let found = get(&running, path, &[("authorization", &vera)]).await.status;
                assert_eq!(found, if for_viewers { 200 } else { 403 }, "{public}: {path} for a viewer");
                assert_eq!(get(&running, path, &[("authorization", &olga)]).await.status, 200, "{public}: {path}");
            }
        }
        let page = get(&running, "/services/web?back=24h", &[HTML]).await;
        if !reads_details {
            assert_eq!((page.status, page.header("location")), (303, "/login?next=%2Fservices%2Fweb%3Fback%3D24h"));
        }
        let health = get(&running, "/health", &[]).await.json();
        assert_eq!(health["services"].is_object(), reads_names, "{health}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_person_signs_in_acts_and_signs_out() {
    let target = Target::ok("");
    let running = Running::start(&format!("{}{}", access(""), service(&target))).await;
    let page = get(&running, "/", &[HTML]).await;
    assert!(page.text.contains("<a href=\"/login\">sign in</a>"), "{}", page.text);
    let form = get(&running, "/login?next=//evil.example", &[HTML]).await;
    assert!(
        form.text.contains("name=\"next\" value=\"/\"") && form.text.contains("type=\"password\""),
        "{}",
        form.text
    );
    let answer = send(&running, Method::POST, "/login", &[FORM], &format!("token={OPERATOR}&next=%2Faudit")).await;
    let set = answer.header("set-cookie");
    assert_eq!((answer.status, answer.header("location")), (303, "/audit"));
    assert!(
        set.starts_with("monitor_session=") && set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    let cookie = answer.cookie();
    assert!(!cookie.contains(OPERATOR) && cookie.len() == "monitor_session=".len() + 43, "256 bits: {cookie}");
    let page = get(&running, "/audit", &[("cookie", &cookie)]).await;
    assert!(
        page.text.contains("signed in as olga (operator)") && page.text.contains("<h1>Who did what</h1>"),
        "{}",
        page.text
    );
    assert!(page.text.contains("action=\"/logout\"") && page.text.contains("href=\"/audit\""), "{}", page.text);

    // A form of another session, no form token, another site: nothing happens.
    let (token, origin) = (page.form_token().to_owned(), running.url.clone());
    let ours = [FORM, ("cookie", &*cookie), ("origin", &*origin)];
    for (headers, body) in [
        (&ours[..], "".to_owned()),
        (&ours, "csrf=AAAA".to_owned()),
        (&[FORM, ("cookie", &cookie), ("origin", "http://evil.example")], format!("csrf={token}")),
        (&[FORM, ("cookie", &cookie), ("sec-fetch-site", "cross-site")], format!("csrf={token}")),
        (&[FORM, ("cookie", &cookie)], format!("csrf={token}")),
    ] {
        for path in ["/logout", "/api/v1/reload"] {
            let answer = send(&running, Method::POST, path, headers, &body).await;
            assert_eq!(answer.status, 403, "{path} {headers:?} {body}: {}", answer.text);
        }
    }
    // A script of ours sends JSON, which another site's form cannot.
    let json = [("content-type", "application/json"), ("cookie", &*cookie), ("origin", &*origin)];
    let silence = r#"{"matchers": ["service=web"], "for": "1h", "comment": "moving"}"#;
    assert_eq!(send(&running, Method::POST, "/api/v1/silences", &json, silence).await.status, 201);
    let answer = send(&running, Method::POST, "/api/v1/reload", &ours, &format!("csrf={token}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);

    let answer = send(&running, Method::POST, "/logout", &ours, &format!("csrf={token}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401, "the cookie is worth nothing now");
    let who: Vec<String> = audit(&running).await.iter().map(|[who, what, _]| format!("{who} {what}")).collect();
    assert_eq!(who, ["olga login", "olga silence.create", "olga config.reload", "olga logout"]);
    running.stop().await;
}

#[tokio::test]
async fn a_viewer_who_has_signed_in_changes_nothing() {
    let target = Target::ok("");
    let running = Running::start(&format!("{}{}", access("  public: false\n"), service(&target))).await;
    let cookie = sign_in(&running, VIEWER).await;
    let page = get(&running, "/", &[("cookie", &cookie)]).await;
    assert!(
        page.text.contains("signed in as vera (viewer)") && !page.text.contains("href=\"/audit\""),
        "{}",
        page.text
    );
    let headers = [("cookie", &*cookie), ("origin", &*running.url), FORM];
    let answer = send(&running, Method::POST, "/api/v1/reload", &headers, &format!("csrf={}", page.form_token())).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["error"], "this needs the role operator; vera is viewer");
    running.stop().await;
}

#[tokio::test]
async fn a_session_survives_a_restart_and_ends_with_its_token() {
    let target = Target::ok("");
    let yaml = format!("{}{}", access(""), service(&target));
    let running = Running::start(&yaml).await;
    let cookie = sign_in(&running, OPERATOR).await;
    let folder = running.stop().await;
    let stored = std::fs::read(folder.path().join("data/state.db")).unwrap();
    let secret = cookie.split_once('=').unwrap().1;
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(secret) && !holds(OPERATOR) && !holds(TOKEN), "only digests are kept");
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 200);
    assert_eq!(get(&running, "/audit", &[("authorization", &bearer(OPERATOR))]).await.status, 200);

    let changed = SecretDigest::of(b"another-token-0123456789").to_hex();
    let other = yaml.replace(&SecretDigest::of(OPERATOR.as_bytes()).to_hex(), &changed);
    write_config(running.folder.path(), &other);
    assert_eq!(running.post("/api/v1/reload", &[("authorization", &bearer(TOKEN))]).await.0, 200);
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401, "no restart is needed");
    assert_eq!(get(&running, "/audit", &[("authorization", &bearer(OPERATOR))]).await.status, 401);
    assert_eq!(get(&running, "/audit", &[("authorization", &bearer("another-token-0123456789"))]).await.status, 200);
    // Back to the old token: what has ended stays so.
    write_config(running.folder.path(), &yaml);
    assert_eq!(running.post("/api/v1/reload", &[("authorization", &bearer(TOKEN))]).await.0, 200);
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401);
    let folder = running.stop().await;
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401, "also after a restart");
    running.stop().await;
}

#[tokio::test]
async fn a_reload_takes_new_names_of_this_server_and_what_is_public() {
    let target = Target::ok("");
    let yaml = format!("{}{}", access(""), service(&target));
    let running = Running::start(&yaml).await;
    let token = bearer(OPERATOR);
    let by_name = [("authorization", &*token), ("host", "monitor.example:8888")];
    let answer = get(&running, "/api/v1/audit", &by_name).await;
    assert_eq!(answer.status, 403);
    let said = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(said.starts_with("Host \"monitor.example:8888\" is not this server; use 127.0.0.1:"), "{said}");
    let private = yaml.replace("access:\n", "hosts: [\"monitor.example:8888\"]\naccess:\n  public: false\n");
    write_config(running.folder.path(), &private);
    let (status, said) = running.post("/api/v1/reload", &[("authorization", &bearer(TOKEN))]).await;
    assert_eq!((status, said.as_str()), (200, Some("1 services are watched")), "no restart is needed");
    assert_eq!(get(&running, "/api/v1/audit", &by_name).await.status, 200);
    assert_eq!(get(&running, "/api/v1/status", &[]).await.status, 401);
    running.stop().await;
}

#[tokio::test]
async fn live_events_end_when_their_reader_may_have_lost_her_permission() {
    let target = Target::ok("");
    let yaml = format!("{}{}", access("  public: false\n"), service(&target));
    let running = Running::start(&yaml).await;
    let client = kit::http::client::<Full<Bytes>>(LIMIT);
    let request = Request::get(format!("{}/api/v1/events", running.url)).header("authorization", bearer(VIEWER));
    let mut stream = client.request(request.body(Full::default()).unwrap()).await.unwrap().into_body();
    assert!(stream.frame().await.unwrap().is_ok(), "hello");
    running.reload.send(()).await.unwrap();
    let ended = async { while let Some(Ok(_frame)) = stream.frame().await {} };
    tokio::time::timeout(LIMIT, ended).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn five_failures_in_a_minute_shut_the_door_and_all_are_told_the_same() {
    let target = Target::ok("");
    let running = Running::start(&format!("{}{}", access(""), service(&target))).await;
    let mut answers = Vec::new();
    for token in ["", "wrong", &OPERATOR[1..], &OPERATOR.to_uppercase(), &"x".repeat(2000)] {
        let answer = send(&running, Method::POST, "/login", &[FORM], &format!("token={token}")).await;
        assert_eq!(answer.status, 401, "{token}");
        let said = answer.text.split("role=\"alert\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
        answers.push(said);
    }
    assert!(answers.iter().all(|said| said == "This token is not known here."), "{answers:?}");
    let answer = send(&running, Method::POST, "/login", &[FORM], &format!("token={OPERATOR}")).await;
    assert_eq!(answer.status, 429, "not even the right one");
    let secs: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&secs) && answer.header("set-cookie").is_empty(), "{secs}");
    let refused = eventually("five failures in the audit", LIMIT, async || {
        let rows = audit(&running).await;
        (rows.len() >= 5).then_some(rows)
    });
    let row = ["somebody unknown", "login.refused", "from 127.0.0.1"].map(str::to_owned);
    assert_eq!(refused.await, [row.clone(), row.clone(), row.clone(), row.clone(), row]);
    running.stop().await;
}

#[tokio::test]
async fn a_token_or_session_through_a_proxy_counts_if_the_proxy_is_ours() {
    let target = Target::ok("");
    let more = "public_url: https://status.example.com\n";
    let through = [("x-forwarded-for", "192.0.2.7"), ("host", "status.example.com")];
    for (trusted, expected) in [("", 403), ("  trusted_proxies: [127.0.0.0/8]\n", 200)] {
        let running = Running::start(&format!("{more}{}{}", access(trusted), service(&target))).await;
        let token = bearer(OPERATOR);
        let with = |headers: &[(&'static str, &str)]| {
            headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
        };
        let ask = async |path: &str, method: Method, headers: Vec<(&'static str, String)>, body: &str| {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            send(&running, method, path, &headers, body).await
        };
        let [forwarded, host] = through;
        let found = ask("/api/v1/audit", Method::GET, with(&[forwarded, host, ("authorization", &token)]), "").await;
        assert_eq!(found.status, expected, "{}", found.text);
        let sign_in = format!("token={OPERATOR}");
        let found = ask("/login", Method::POST, with(&[forwarded, host, FORM]), &sign_in).await;
        assert_eq!(found.status, if expected == 200 { 303 } else { 403 }, "{}", found.text);
        if expected == 200 {
            assert!(found.header("set-cookie").ends_with("; Secure"), "people come by https");
            let cookie = found.cookie();
            let found = ask("/api/v1/audit", Method::GET, with(&[forwarded, host, ("cookie", &cookie)]), "").await;
            assert_eq!(found.status, 200);
            assert!(until_audited(&running, "olga", "login").await.contains("from 192.0.2.7"), "not from the proxy");
            let rebound = with(&[forwarded, ("host", "evil.example"), ("authorization", &token)]);
            assert_eq!(ask("/api/v1/audit", Method::GET, rebound, "").await.status, 403);
        }
        assert_eq!(
            ask("/", Method::GET, with(&[forwarded, ("host", "anything")]), "").await.status,
            200,
            "reading is free"
        );
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_names_only_learns_no_address_no_log_line_and_no_label() {
    let target = Target::ok("");
    target.set_status(503);
    let yaml = format!(
        "{}defaults: {{ every: 1s, every_when_failing: 100ms, fail_after: 2, timeout: 500ms }}\nservices:\n  web:\n    about: the shop's front\n    labels: {{ team: label-secret }}\n    checks: {{ home: {{ http: {{ url: \"{}\" }} }} }}\n  job:\n    workload: {{ process: {{ command: [sh, -c, \"echo log-secret; exit 3\"], restart: on-failure }} }}\n    checks: {{ port: {{ tcp: {{ address: \"127.0.0.1:9\" }} }} }}\n",
        access("  public: names\n"),
        target.url("/path-secret")
    );
    let running = Running::start(&yaml).await;
    let mut events = {
        let client = kit::http::client::<Full<Bytes>>(LIMIT);
        let request = Request::get(format!("{}/api/v1/events", running.url)).body(Full::default()).unwrap();
        client.request(request).await.unwrap().into_body()
    };
    running.until("web", "down").await;
    let incident = open_incident(&running).await;
    let token = bearer(VIEWER);
    let known = eventually("the process to have written its line", LIMIT, async || {
        let text = get(&running, "/api/v1/status", &[("authorization", &token)]).await.text;
        text.contains("log-secret").then_some(text)
    });
    let port = target.addr().port().to_string();
    let secrets =
        [&*port, "path-secret", "log-secret", "label-secret", "127.0.0.1:9", "status 503", "refused", "exit code"];
    let known = known.await;
    assert!(known.contains(&port) && known.contains("path-secret") && known.contains("status 503"), "{known}");

    let document = get(&running, "/api/v1/openapi.json", &[]).await.json();
    let mut paths: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let pages =
        ["/", "/services", "/services/web", "/services/job", "/audit", "/login", "/metrics", "/health", "/readyz"];
    paths.extend(pages.map(str::to_owned));
    paths.push(format!("/incidents/{incident}"));
    paths.push(format!("/incidents/{incident}/acknowledge?token=guess"));
    let mut seen = 0;
    for path in paths.iter().filter(|path| *path != "/api/v1/events") {
        let path = path.replace("{id}", &incident.to_string()).replace("{incident}", &incident.to_string());
        for service in ["web", "job"] {
            let path = path
                .replace("{service}", service)
                .replace("{name}", service)
                .replace("{file}", &format!("{service}.json"));
            for accept in ["application/json", "text/html"] {
                let answer = get(&running, &path, &[("accept", accept)]).await;
                seen += usize::from(answer.status == 200);
                for secret in secrets {
                    assert!(!answer.text.contains(secret), "{path} shows {secret:?}: {}", answer.text);
                }
            }
        }
    }
    assert!(seen >= 20, "{seen} answers were looked at");
    let page = get(&running, "/", &[HTML]).await.text;
    for told in ["web", "job", "the shop&#39;s front", "down"] {
        assert!(page.contains(told), "no {told:?} in {page}");
    }
    let status = get(&running, "/api/v1/status", &[]).await.json();
    assert_eq!((&status["services"][0]["verdict"], &status["services"][0]["why"]), (&"down".into(), &"".into()));
    // Everything that was told live until now, and the change that follows.
    target.set_status(200);
    running.until("web", "up").await;
    let mut told = String::new();
    while !told.contains("\"up\"") {
        let frame = tokio::time::timeout(LIMIT, events.frame()).await.unwrap().unwrap().unwrap();
        told.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    assert!(told.contains("\"verdict\":\"down\""), "{told}");
    for secret in secrets {
        assert!(!told.contains(secret), "events show {secret:?}: {told}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_link_shows_to_whoever_looks_and_acts_for_whoever_says_her_name() {
    let target = Target::ok("");
    let running =
        Running::start(&format!("public_url: https://status.example.com\n{}{}", access(""), service(&target))).await;
    running.until("web", "up").await;
    target.set_status(503);
    let id = open_incident(&running).await;
    let token = running.shared.alerts.link_token(id);
    let path = format!("/incidents/{id}/acknowledge");
    let link = format!("{path}?token={token}");
    let taken = async || {
        let found = get(&running, &format!("/api/v1/incidents/{id}"), &[]).await.json();
        found["acknowledged"]["by"].as_str().map(ToOwned::to_owned)
    };
    // Mail scanners look at every link, also through proxies and more than once.
    for headers in [&[][..], &[HTML], &[("x-forwarded-for", "192.0.2.7"), ("host", "status.example.com")]] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(send(&running, method, &link, headers, "").await.status, 200);
        }
    }
    let page = get(&running, &link, &[HTML]).await;
    assert!(page.text.contains("web is down") && page.text.contains("name=\"name\""), "{}", page.text);
    assert!(page.text.contains(&format!("name=\"token\" value=\"{token}\"")), "{}", page.text);
    for wrong in
        [path.clone(), format!("{path}?token=guess"), format!("/incidents/{}/acknowledge?token={token}", Uuid::nil())]
    {
        let page = get(&running, &wrong, &[HTML]).await;
        assert_eq!(page.status, 403, "{wrong}");
        assert!(!page.text.contains("web is down") && page.text.contains("This link is not right"), "{}", page.text);
    }
    assert_eq!(taken().await, None, "nobody has pressed the button");

    let post = async |headers: &[(&str, &str)], body: &str| {
        send(&running, Method::POST, &path, &[&[FORM], headers].concat(), body).await
    };
    let proxied =
        [("x-forwarded-for", "192.0.2.7"), ("host", "status.example.com"), ("origin", "https://status.example.com")];
    let signed = format!("token={token}&name=Ada+Lovelace&note=on+it");
    // A POST through a proxy without a token is refused, and so is whatever another site sends.
    assert_eq!(post(&proxied, "name=ada").await.status, 403);
    assert_eq!(post(&[], "name=ada").await.status, 401);
    assert_eq!(post(&[], "token=guess&name=ada").await.status, 401);
    assert_eq!(post(&[("host", "evil.example")], &signed).await.status, 403);
    assert_eq!(post(&[("origin", "http://evil.example")], &signed).await.status, 403);
    assert_eq!(post(&[("sec-fetch-site", "cross-site")], &signed).await.status, 403);
    let nameless = post(&[], &format!("token={token}&name=+")).await;
    assert!(nameless.status == 400 && nameless.text.contains("Say who you are."), "{}", nameless.text);
    assert_eq!(taken().await, None);

    // A person's acknowledgement is in the audit with her name.
    let answer = post(&proxied, &signed).await;
    assert!(answer.status == 200 && answer.text.contains("Ada Lovelace (link)"), "{}", answer.text);
    assert_eq!(taken().await.as_deref(), Some("Ada Lovelace (link)"));
    assert_eq!(until_audited(&running, "Ada Lovelace (link)", "incident.acknowledge").await, "on it");
    let again = get(&running, &link, &[HTML]).await;
    assert!(again.text.contains("Ada Lovelace (link) has taken it"), "{}", again.text);

    // An operator needs no link, acts as herself, and goes on at the incident's page.
    let cookie = sign_in(&running, OPERATOR).await;
    let page = get(&running, &path, &[("cookie", &cookie)]).await;
    assert!(page.text.contains("As olga.") && !page.text.contains("name=\"name\""), "{}", page.text);
    let form = format!("csrf={}&note=mine", page.form_token());
    let answer = post(&[("cookie", &cookie), ("origin", &running.url)], &form).await;
    assert_eq!((answer.status, answer.header("location")), (303, format!("/incidents/{id}").as_str()));
    assert_eq!(taken().await.as_deref(), Some("olga"));
    let cookie = sign_in(&running, VIEWER).await;
    assert_eq!(get(&running, &path, &[("cookie", &cookie)]).await.status, 403, "a viewer needs the link");

    target.set_status(200);
    running.until("web", "up").await;
    let over = eventually("the incident to be over", LIMIT, async || {
        let page = get(&running, &link, &[HTML]).await;
        (page.status == 410).then_some(page.text)
    });
    assert!(over.await.contains("It is over: works again, "));
    let late = post(&[], &signed).await;
    assert!(late.status == 410 && late.text.contains("nothing left to do"), "{}", late.text);
    running.stop().await;
}

#[tokio::test]
async fn every_change_leaves_a_row_and_no_row_holds_a_secret() {
    let target = Target::ok("");
    let yaml = format!("{}{}", access(""), service(&target));
    let running = Running::start(&yaml).await;
    let operator = bearer(TOKEN);
    running.post("/api/v1/reload", &[("authorization", &operator)]).await;
    std::fs::write(running.folder.path().join("monitor.yml"), "services: [").unwrap();
    assert_eq!(running.post("/api/v1/reload?force=true", &[("authorization", &operator)]).await.0, 409);
    running.reload.send(()).await.unwrap();
    assert_eq!(until_audited(&running, "the file or a signal", "config.reload").await, "refused");
    sign_in(&running, OPERATOR).await;
    send(&running, Method::POST, "/login", &[FORM], "token=a-wrong-secret").await;
    until_audited(&running, "somebody unknown", "login.refused").await;
    let rows = audit(&running).await;
    let told: Vec<String> = rows.iter().map(|[who, action, detail]| format!("{who}: {action} {detail}")).collect();
    assert_eq!(
        told[..2],
        ["operator: config.reload 1 services are watched", "operator: config.reload by force: refused"]
    );
    let all = get(&running, "/api/v1/audit", &[("authorization", &operator)]).await.text;
    for secret in [TOKEN, OPERATOR, "a-wrong-secret", "monitor_session"] {
        assert!(!all.contains(secret), "{all}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_command_line_shows_a_token_where_one_is_needed() {
    let target = Target::ok("");
    let running = Running::start(&format!("{}{}", access("  public: false\n"), service(&target))).await;
    let file = running.folder.path().join("token");
    std::fs::write(&file, VIEWER).unwrap();
    let url = running.url.clone();
    let run = async move |args: &[&str], token: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_monitor"));
        command.args(args).args(["--url", &url]).env_remove("MONITOR_TOKEN_FILE");
        match token {
            Some(token) => command.env("MONITOR_TOKEN", token),
            None => command.env_remove("MONITOR_TOKEN"),
        };
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["cursor"], None).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("a token with the role viewer is needed") && said.contains("--token-file"), "{said}");
    assert_eq!(run(&["cursor"], Some("wrong")).await.0, Some(64));
    assert_eq!(run(&["cursor"], Some(VIEWER)).await.0, Some(0));
    assert_eq!(run(&["cursor", "--token-file", file.to_str().unwrap()], None).await.0, Some(0));
    let wait = Duration::from_secs(30);
    let gate = ["gate", "--all", "--stable", "1", "--wait", &format!("{}s", wait.as_secs())];
    assert_eq!(run(&gate, Some(VIEWER)).await.0, Some(0));
    running.stop().await;
}

#[test]
fn a_new_token_is_shown_once_with_the_line_that_lets_it_in() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["token", "ada", "--role", "operator"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let token = lines[1];
    assert_eq!(token.len(), 64, "256 bits: {text}");
    let digest = SecretDigest::of(token.as_bytes()).to_hex();
    assert_eq!(lines[3], format!("- {{ name: \"ada\", role: operator, sha256: \"{digest}\" }}"));
    let wrong = std::process::Command::new(env!("CARGO_BIN_EXE_monitor")).args(["token", "Ada L"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
}
