//! The real program: its command line, its first moment, and what kill -9 leaves behind.

use std::process::{Child, Command, Output};

use serde_json::Value;
use testkit::{Target, eventually, free_port};

use crate::LIMIT;
use crate::fake::Fake;

/// A running daemon in a folder of its own; it is killed when this is dropped.
struct Daemon {
    child: Child,
    port: u16,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn program(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auth-monitor"));
    command.args(arguments).current_dir(folder).env_clear();
    command
}

impl Daemon {
    fn start(folder: &std::path::Path, config: Option<&str>, platform: &str) -> Self {
        let port = free_port();
        let mut command = program(folder, &["run"]);
        if let Some(config) = config {
            std::fs::write(folder.join("own.yml"), config).unwrap();
            command.args(["--config", "own.yml"]);
        }
        let child = command
            .env("AUTH_MONITOR_LISTEN", format!("127.0.0.1:{port}"))
            .env("AUTH_MONITOR_PLATFORM_URL", platform)
            .env("AUTH_MONITOR_GATEWAY_URL", platform)
            .env("AUTH_MONITOR_AIRTABLE_URL", platform)
            // These tests may run within a container.
            .env("AUTH_MONITOR_LOOPBACK", "allowed")
            .spawn();
        Self { child: child.unwrap(), port }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = hyper::Request::get(url).body(Default::default()).unwrap();
        let (status, body) = kit::http::get(request, LIMIT, 8 << 20).await.ok()?;
        status.is_success().then(|| String::from_utf8(body.to_vec()).unwrap())
    }

    /// Waits until a line of its metrics begins so.
    async fn until(&self, line: &str) {
        eventually(line, LIMIT, async || self.get("/metrics").await?.lines().any(|found| found == line).then_some(()))
            .await;
    }
}

fn said(output: &Output) -> (i32, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn it_lives_and_is_measured_from_the_first_moment_though_nothing_it_watches_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Target::refuse();
    let daemon = Daemon::start(folder.path(), None, &gone.url(""));
    eventually("it to live", LIMIT, async || daemon.get("/livez").await).await;
    let metrics = daemon.get("/metrics").await.unwrap();
    for name in [
        "auth_monitor_build_info{",
        "auth_attempts_total{service=\"platform-services\",status=\"success\"} 0",
        "monitor_overall{",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    daemon.until("auth_success_status{service=\"platform-services\"} 0").await;
    daemon.until("auth_test_success_rate 0").await;
    let page = daemon.get("/").await.unwrap();
    assert!(page.contains(" – auth-monitor</title>") && !page.contains(" – monitor</title>"), "{page}");
    let health: Value = serde_json::from_str(&daemon.get("/health").await.unwrap()).unwrap();
    assert_eq!((&health["service"], &health["status"]), (&"auth-monitor".into(), &"healthy".into()));
    let url = format!("http://127.0.0.1:{}/livez", daemon.port);
    assert_eq!(said(&program(folder.path(), &["healthcheck", &url]).output().unwrap()).0, 0);
}

#[tokio::test]
async fn in_a_container_it_says_so_and_does_not_ask_itself() {
    let (folder, target) = (tempfile::tempdir().unwrap(), Target::ok("fine"));
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_auth-monitor"));
    command.current_dir(folder.path()).env_clear().env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let child = command
        .env("AUTH_MONITOR_LISTEN", format!("127.0.0.1:{port}"))
        .env("AUTH_MONITOR_PLATFORM_URL", format!("http://localhost:{}", target.addr().port()))
        .env("AUTH_MONITOR_GATEWAY_URL", target.url(""))
        .env("AUTH_MONITOR_AIRTABLE_URL", target.url(""))
        .spawn();
    let daemon = Daemon { child: child.unwrap(), port };
    let reason = eventually("a reason", LIMIT, async || {
        let status: Value = serde_json::from_str(&daemon.get("/api/v1/status").await?).unwrap();
        let checks = status["services"].as_array()?.iter().flat_map(|service| service["checks"].as_array().unwrap());
        let reasons: Vec<&str> = checks.map(|check| check["reason"].as_str().unwrap()).collect();
        reasons.iter().all(|reason| !reason.is_empty()).then(|| reasons.join("\n"))
    });
    let reason = reason.await;
    assert!(reason.lines().all(|line| line.starts_with("misconfigured: ")), "{reason}");
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_changed_file_is_taken_at_a_signal_and_what_it_no_longer_names_is_forgotten() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let config = |services: &[&str]| {
        let service =
            |name: &&str| format!("  {name}: {{ checks: {{ a: {{ tokens: {{ url: '{}' }} }} }} }}\n", fake.url());
        format!("data_dir: data\nservices:\n{}", services.iter().map(service).collect::<String>())
    };
    let daemon = Daemon::start(folder.path(), Some(&config(&["one", "two", "three", "four"])), &fake.url());
    daemon.until("auth_success_status{service=\"four\"} 1").await;
    std::fs::write(folder.path().join("own.yml"), config(&["one", "two", "three", "five"])).unwrap();
    let hung_up = Command::new("kill").args(["-HUP", &daemon.child.id().to_string()]).status().unwrap();
    assert!(hung_up.success());
    daemon.until("auth_success_status{service=\"five\"} 1").await;
    let metrics = daemon.get("/metrics").await.unwrap();
    assert!(!metrics.contains("\"four\""), "{metrics}");
}

#[test]
fn exit_codes_and_messages_tell_causes_apart() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| said(&program(folder.path(), arguments).output().unwrap());
    assert_eq!(run(&["frobnicate"]).0, 64);
    let (code, text) = run(&["check-config"]);
    assert_eq!(code, 0);
    assert!(text.contains("platform-services/sign-in") && text.contains("every    1m"), "{text}");
    let (code, text) = run(&["print-config"]);
    assert_eq!((code, text.as_str()), (0, auth_monitor::BUILT_IN));
    let wrong = "services: { a: { checks: { b: { sign-in: { url: 'http://x', path: auth, user: { email: a@b.c }, bugdet: 1s } } } } }";
    std::fs::write(folder.path().join("own.yml"), wrong).unwrap();
    let (code, text) = run(&["check-config", "--config", "own.yml"]);
    assert_eq!(code, 78);
    for part in [
        "services.a.checks.b.sign-in.path: \"auth\" is not a path; write it like /auth",
        "a user has an email and a password; set both, or none for an account of the check's own",
        "unknown key \"bugdet\"; did you mean \"budget\"?",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let missing = program(folder.path(), &["run"]).env("API_KEY_FILE", "nowhere").output().unwrap();
    let (code, text) = said(&missing);
    assert_eq!((code, text.contains("API_KEY_FILE: cannot read nowhere")), (78, true), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_a_journey_leaves_one_account_until_the_next_start() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let config = "data_dir: data\ndefaults: { every: 1m, timeout: 60s }\nservices:\n  platform:\n    checks: { sign-in: { sign-in: { \
                  url: '${AUTH_MONITOR_PLATFORM_URL}' } } }\n";
    fake.hold_logins();
    let daemon = Daemon::start(folder.path(), Some(config), &fake.url());
    eventually("an account to be made", LIMIT, async || (fake.accounts() == 1).then_some(())).await;
    drop(daemon);
    assert_eq!(fake.accounts(), 1, "nobody was there to delete it");
    let written = std::fs::read_dir(folder.path().join("data/accounts")).unwrap().count();
    assert_eq!(written, 1);

    fake.let_go();
    let next = Daemon::start(folder.path(), Some(config), &fake.url());
    next.until("auth_monitor_accounts_swept_total 1").await;
    next.until("auth_success_status{service=\"platform\"} 1").await;
    next.until("auth_monitor_accounts_left 0").await;
    assert_eq!(fake.accounts(), 0);
}
