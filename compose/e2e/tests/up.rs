//! `make up` as a new user runs it: the real binaries on `compose/local.yml`, on free ports.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use e2e::program;
use http::Request;
use http_body_util::Full;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::{eventually, free_port};

const LIMIT: Duration = Duration::from_secs(100);

/// The folder with all programs that are started.
fn binaries() -> PathBuf {
    let built = ["api-gateway", "platform-services", "auth-monitor", "monitor"].map(program);
    built[0].parent().unwrap().to_owned()
}

struct Up {
    child: Child,
    folder: tempfile::TempDir,
    monitor: u16,
    gateway: u16,
}

impl Up {
    fn start() -> Self {
        let (folder, monitor, gateway) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let compose = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let out = std::fs::File::create(folder.path().join("out")).unwrap();
        let child = Command::new(program("monitor"))
            .args(["up", "--config"])
            .arg(compose.join("local.yml"))
            .current_dir(folder.path())
            .env("MONITOR_BIN", binaries())
            .env("MONITOR_PORT", monitor.to_string())
            .env("GATEWAY_PORT", gateway.to_string())
            .env("PLATFORM_PORT", free_port().to_string())
            .env("AUTH_MONITOR_PORT", free_port().to_string())
            .env("COMPOSE_DIR", compose)
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder, monitor, gateway }
    }

    async fn status(&self) -> Option<Value> {
        let request = Request::get(format!("http://127.0.0.1:{}/api/v1/status", self.monitor));
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let (_, body) = kit::http::get(request, Duration::from_secs(10), 1 << 20).await.ok()?;
        serde_json::from_slice(&body).ok()
    }

    async fn until_up(&self) -> Value {
        let up = eventually("everything to be up", LIMIT, async || {
            self.status().await.filter(|status| status["overall"] == "up")
        });
        up.await
    }

    fn monitor(&self, args: &[&str]) -> Option<i32> {
        let url = format!("http://127.0.0.1:{}", self.monitor);
        let mut command = Command::new(program("monitor"));
        command.args(args).env("MONITOR_URL", url).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn make_up_starts_everything_prints_the_address_mends_a_crash_and_stops_without_a_trace() {
    kit::tls::install();
    let mut up = Up::start();
    let status = up.until_up().await;
    let names: Vec<&str> =
        status["services"].as_array().unwrap().iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["monitor", "api-gateway", "platform-services", "auth-monitor"]);
    for secret in ["operator_token", "api_key", "jwt_secret"] {
        let mode = std::fs::metadata(up.folder.path().join("data/secrets").join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert_eq!(up.monitor(&["status"]), Some(0));
    assert_eq!(up.monitor(&["gate", "--all", "--stable", "2"]), Some(0));
    assert_eq!(up.monitor(&["healthcheck", &format!("http://127.0.0.1:{}/health", up.gateway)]), Some(0));

    let pid = status["services"][1]["workload"]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let back = eventually("the gateway to be back under another pid", LIMIT, async || {
        let gateway = up.status().await?["services"][1].clone();
        (gateway["verdict"] == "up" && gateway["workload"]["pid"].as_i64()? != pid).then_some(gateway)
    });
    let back = back.await;
    assert_eq!(back["workload"]["last_end"], "killed by SIGKILL");

    kill(Pid::from_raw(i32::try_from(up.child.id()).unwrap()), Signal::SIGINT).unwrap();
    let code = eventually("the monitor to stop", LIMIT, async || up.child.try_wait().unwrap()).await;
    assert_eq!(code.code(), Some(0));
    let gateway = back["workload"]["pid"].as_i64().unwrap();
    assert!(!Path::new(&format!("/proc/{gateway}")).exists(), "the gateway is gone before the monitor ends");
    let out = std::fs::read_to_string(up.folder.path().join("out")).unwrap();
    assert!(out.contains(&format!("status page: http://127.0.0.1:{}/", up.monitor)), "{out}");
}
