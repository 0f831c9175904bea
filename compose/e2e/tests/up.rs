//! `make up` as a new user runs it: the real binaries on `compose/local.yml`, on free ports.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod stack;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack::{LIMIT, Up};
use testkit::eventually;

/// The exit code of a command that asks the monitor.
fn monitor(up: &Up, args: &[&str]) -> Option<i32> {
    let url = format!("http://{}", up.address("monitor"));
    let mut command = Command::new(program("monitor"));
    command.args(args).env("MONITOR_URL", url).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn make_up_starts_everything_prints_the_address_mends_a_crash_and_stops_without_a_trace() {
    kit::tls::install();
    let mut up = Up::start("", &[]);
    let status = up.until_up().await;
    let names: Vec<&str> =
        status["services"].as_array().unwrap().iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["monitor", "api-gateway", "platform-services", "auth-monitor", "dlq-processor"]);
    for secret in ["operator_token", "api_key", "jwt_secret"] {
        let mode = std::fs::metadata(up.folder.path().join("data/secrets").join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert_eq!(monitor(&up, &["status"]), Some(0));
    assert_eq!(monitor(&up, &["gate", "--all", "--stable", "2"]), Some(0));
    assert_eq!(monitor(&up, &["healthcheck", &format!("http://{}/health", up.address("api-gateway"))]), Some(0));

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
    assert!(out.contains(&format!("status page: http://{}/", up.address("monitor"))), "{out}");
}
