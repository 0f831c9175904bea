//! auth-monitor on the real platform and its gateway: each thing that is broken makes the right check fail with the right
//! reason at its next run, no other check, and is over once it is mended.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test ends at the first surprise")]

use std::time::Duration;

use e2e::{KEY, LIMIT, Program, SECRET, ask, get};
use http::Request;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const OTHER_KEY: &str = "a-key-of-another-platform";
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";
/// How long a login is held up: more than its budget, and three of them less than the deadline.
const HELD_UP: Duration = Duration::from_millis(2500);

/// What the daemon watches: the built-in kinds, asked often enough for a test.
const WATCHED: &str = r#"
defaults: { every: 2s, every_when_failing: 1s, timeout: 10s, fail_after: 1, recover_after: 1 }
services:
  platform:
    checks:
      health: { http: { url: "${PLATFORM}/health" } }
      sign-in: { sign-in: { url: "${PLATFORM}", api_key: "${API_KEY}", budget: 10s } }
      tokens: { tokens: { url: "${PLATFORM}", api_key: "${API_KEY}", account: true, secret: "${JWT_SECRET}", budget: 10s } }
      events: { auth-events: { url: "${PLATFORM}", api_key: "${ISSUED_KEY}" } }
  gateway:
    checks:
      health: { http: { url: "${GATEWAY}/readyz" } }
      sign-in:
        sign-in:
          url: "${GATEWAY}"
          api_key: "${API_KEY}"
          path: /api/v1/auth
          profile: /api/v1/users/profile
          budget: 10s
      tokens:
        tokens:
          url: "${GATEWAY}"
          api_key: "${API_KEY}"
          path: /api/v1/auth
          profile: /api/v1/users/profile
          guarded: /api/v1/chat/history/auth-monitor
          account: true
          secret: "${JWT_SECRET}"
          budget: 10s
  slow-way:
    checks:
      # Three logins of a run are held up.
      sign-in: { timeout: 20s, sign-in: { url: "${SLOW_WAY}", api_key: "${API_KEY}", budget: 2s } }
"#;

/// Starts a program, and waits until it can work.
async fn start(program: &mut Program, folder: &TempDir, variables: &[(&str, &str)]) {
    program.start(folder.path(), &[], variables).await;
    program.until_ready().await;
}

/// A way to a server on which every login is held up, while it is told so.
async fn slow_way(server: String) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, (sender, is_slow)) = (listener.local_addr().unwrap().port(), watch::channel(false));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, is_slow) = (server.clone(), is_slow.clone());
            tokio::spawn(async move {
                let mut head = vec![0; 64];
                let read = client.read_exact(&mut head).await;
                if *is_slow.borrow() && String::from_utf8_lossy(&head).contains("/login ") {
                    tokio::time::sleep(HELD_UP).await;
                }
                if let (Ok(_), Ok(mut upstream)) = (read, TcpStream::connect(server).await) {
                    let _either_may_hang_up = upstream.write_all(&head).await;
                    let _as_before = copy_bidirectional(&mut client, &mut upstream).await;
                }
            });
        }
    });
    (port, sender)
}

/// The platform, its gateway and the daemon that watches them.
struct Stack {
    folder: TempDir,
    platform: Program,
    gateway: Program,
    daemon: Program,
    is_slow: watch::Sender<bool>,
    key_id: String,
}

impl Stack {
    async fn start() -> Self {
        kit::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let [mut platform, mut gateway, mut daemon] =
            ["platform-services", "api-gateway", "auth-monitor"].map(Program::new);
        start(&mut platform, &folder, &[]).await;
        let new = json!({ "name": "auth-monitor", "scopes": ["events"] });
        let request = Request::post(format!("{}/auth/keys", platform.url())).header("x-api-key", KEY);
        let (status, key) = ask(request, &new).await.unwrap();
        assert_eq!(status, 201, "{key}");
        let key: Value = serde_json::from_str(&key).unwrap();
        let (way, is_slow) = slow_way(platform.address()).await;
        let key_id = key["id"].as_str().unwrap().to_owned();
        start(&mut gateway, &folder, &[("PLATFORM_SERVICES_URL", &platform.url())]).await;
        std::fs::write(folder.path().join("watched.yml"), WATCHED).unwrap();
        let variables = [
            ("AUTH_MONITOR_LISTEN", daemon.address()),
            // These tests may run within a container.
            ("AUTH_MONITOR_LOOPBACK", "allowed".to_owned()),
            ("AUTH_MONITOR_CONFIG", "watched.yml".to_owned()),
            ("PLATFORM", platform.url()),
            ("GATEWAY", gateway.url()),
            ("SLOW_WAY", format!("http://127.0.0.1:{way}")),
            ("ISSUED_KEY", key["key"].as_str().unwrap().to_owned()),
        ];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        start(&mut daemon, &folder, &variables).await;
        Self { folder, platform, gateway, daemon, is_slow, key_id }
    }

    async fn start_gateway(&mut self, secret: &str) {
        let platform = self.platform.url();
        let variables = [("JWT_SECRET", secret), ("PLATFORM_SERVICES_URL", &platform)];
        start(&mut self.gateway, &self.folder, &variables).await;
    }

    async fn start_platform(&mut self, key: &str) {
        start(&mut self.platform, &self.folder, &[("API_KEY", key)]).await;
    }

    /// Makes the key that the platform issued run out, or last for ever again.
    fn set_key_end(&self, end_ms: Option<i64>) {
        let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=30); \
                      db.execute('UPDATE api_keys SET expires_ms = ? WHERE id = ?', (eval(sys.argv[2]), sys.argv[3])); db.commit()";
        let file = self.folder.path().join("data/platform-services/platform.db");
        let end = end_ms.map_or_else(|| "None".to_owned(), |ms| ms.to_string());
        let mut python = std::process::Command::new("python3");
        assert!(python.args(["-c", script]).arg(file).args([&end, &self.key_id]).status().unwrap().success());
    }

    /// Returns health and reason of each check, as `service/check`.
    async fn checks(&self) -> Option<Vec<(String, String, String)>> {
        let body = get(&format!("{}/api/v1/status", self.daemon.url())).await?;
        let status: Value = serde_json::from_str(&body).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |service: &Value| {
            let name = text(&service["name"]);
            let checks = service["checks"].as_array().unwrap().clone();
            checks.into_iter().map(move |check| {
                (format!("{name}/{}", text(&check["name"])), text(&check["health"]), text(&check["reason"]))
            })
        };
        Some(status["services"].as_array()?.iter().flat_map(of).collect())
    }

    /// How often a check passed until now.
    async fn passes(&self, check: &str) -> u64 {
        let (service, check) = check.split_once('/').unwrap();
        let metrics = get(&format!("{}/metrics", self.daemon.url())).await.unwrap();
        let labels = [format!("service=\"{service}\""), format!("check=\"{check}\""), "outcome=\"pass\"".to_owned()];
        let line = metrics.lines().find(|line| {
            line.starts_with("monitor_probe_results_total{") && labels.iter().all(|label| line.contains(label))
        });
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    async fn until_all_is_up(&self) {
        let is_up = async || self.checks().await?.iter().all(|(_, health, _)| health == "up").then_some(());
        if tokio::time::timeout(LIMIT, eventually("every check to be up", LIMIT, is_up)).await.is_err() {
            panic!("{:?}", self.checks().await);
        }
    }

    /// Waits until these checks, and no others, have this health and reason: what each says, or begins with. None of them
    /// passes a run that began after the break.
    async fn becomes(&self, broken: &[(&str, &str, &str)]) {
        let mut before = Vec::new();
        for (check, _, _) in broken {
            before.push(self.passes(check).await);
        }
        let is_found = async || {
            let checks = self.checks().await?;
            let is_so = |(name, health, reason): &(String, String, String)| match broken
                .iter()
                .find(|(check, _, _)| check == name)
            {
                Some((_, wanted, said)) => health == wanted && reason.starts_with(said),
                None => health == "up",
            };
            checks.iter().all(is_so).then_some(())
        };
        if tokio::time::timeout(LIMIT, eventually("what is broken to be found", 2 * LIMIT, is_found)).await.is_err() {
            panic!("{broken:?} is found as {:?}", self.checks().await);
        }
        for ((check, health, _), before) in broken.iter().zip(before) {
            let after = self.passes(check).await;
            // One may have been under way.
            assert!(*health != "down" || after <= before + 1, "{check} passed {before} and {after} times");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_is_found_at_the_next_run_and_what_is_mended_too() {
    let mut stack = Stack::start().await;
    stack.until_all_is_up().await;

    stack.platform.stop().await;
    let at = stack.platform.address();
    let refused = format!("step \"register\" (1 of 10): connection refused by {at}");
    stack
        .becomes(&[
            ("platform/health", "down", &format!("connection refused by {at}")),
            ("platform/sign-in", "down", &refused),
            ("platform/tokens", "down", &refused),
            ("platform/events", "down", &format!("connection refused by {at}")),
            (
                "gateway/sign-in",
                "down",
                "step \"register\" (1 of 10): status 502, expected 200 or 201: platform-services is not reachable",
            ),
            (
                "gateway/tokens",
                "down",
                "step \"register\" (1 of 10): status 502, expected 200 or 201: platform-services is not reachable",
            ),
            ("slow-way/sign-in", "down", "step \"register\" (1 of 10): "),
        ])
        .await;
    stack.start_platform(KEY).await;
    stack.until_all_is_up().await;

    stack.gateway.stop().await;
    let at = stack.gateway.address();
    let refused = |step: &str| format!("{step}connection refused by {at}");
    stack
        .becomes(&[
            ("gateway/health", "down", &refused("")),
            ("gateway/sign-in", "down", &refused("step \"register\" (1 of 10): ")),
            ("gateway/tokens", "down", &refused("step \"register\" (1 of 10): ")),
        ])
        .await;
    // It believes nothing that the platform signs, which shows where it decides itself.
    stack.start_gateway(OTHER_SECRET).await;
    let refused =
        "step \"good-token\" (2 of 10): a good token is refused at /api/v1/chat/history/auth-monitor with status 401";
    stack.becomes(&[("gateway/tokens", "down", refused)]).await;
    stack.gateway.stop().await;
    stack.start_gateway(SECRET).await;
    stack.until_all_is_up().await;

    stack.platform.stop().await;
    stack.start_platform(OTHER_KEY).await;
    let unknown = "step \"register\" (1 of 10): status 401, expected 200 or 201: ";
    let down = |check| (check, "down", unknown);
    let broken = ["platform/sign-in", "platform/tokens", "gateway/sign-in", "gateway/tokens", "slow-way/sign-in"];
    stack.becomes(&broken.map(down)).await;
    stack.platform.stop().await;
    stack.start_platform(KEY).await;
    stack.until_all_is_up().await;

    stack.set_key_end(Some(1));
    stack.becomes(&[("platform/events", "down", "status 401, expected 200: ")]).await;
    stack.set_key_end(None);
    stack.until_all_is_up().await;

    stack.is_slow.send_replace(true);
    stack.becomes(&[("slow-way/sign-in", "degraded", "step \"login\" (2 of 10): took ")]).await;
    stack.is_slow.send_replace(false);
    stack.until_all_is_up().await;

    stack.platform.signal(Signal::SIGSTOP);
    stack
        .becomes(&[
            ("platform/health", "down", "no answer within 10s"),
            ("platform/sign-in", "down", "step \""),
            ("platform/tokens", "down", "step \""),
            ("platform/events", "down", "no answer within 10s"),
            ("gateway/sign-in", "down", "step \""),
            ("gateway/tokens", "down", "step \""),
            ("slow-way/sign-in", "down", "step \""),
        ])
        .await;
    stack.platform.signal(Signal::SIGCONT);
    stack.until_all_is_up().await;
}
