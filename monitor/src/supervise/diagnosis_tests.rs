//! What real checks write, and what is made of it.

use std::time::Duration;

use jiff::Timestamp;

use super::super::described::{DeclaredHealth, DeclaredProbe, DeclaredState};
use super::{Outside, why_healthy, why_unhealthy};

fn health(command: &str, exit: i64, output: &str) -> DeclaredHealth {
    DeclaredHealth {
        state: DeclaredState::Unhealthy,
        failing_streak: 3,
        test: vec!["CMD-SHELL".to_owned(), command.to_owned()],
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(3),
        start_period: Duration::from_secs(5),
        retries: 3,
        log: vec![DeclaredProbe {
            at: Timestamp::from_second(1_800_000_000).unwrap(),
            took: Duration::from_millis(20),
            exit,
            output: output.to_owned(),
        }],
    }
}

#[test]
fn a_check_that_fails_though_the_service_answers_is_explained_with_what_to_write() {
    let outside = Outside { target: Some("http://127.0.0.1:18006/health"), ports: &[8006], serves_since: None };
    let url = "\"http://127.0.0.1:8006/health\"";
    for (command, exit, output, what, fix) in [
        (
            "curl -f http://localhost:8006/health",
            127,
            "/bin/sh: 1: curl: not found\n",
            "the program of its own check, curl, is not in the image; the service answers",
            url,
        ),
        (
            "wget -q --spider http://localhost:8006/health",
            -1,
            r#"OCI runtime exec failed: exec failed: unable to start container process: exec: "wget": executable file not found in $PATH: unknown"#,
            "the program of its own check, wget, is not in the image; the service answers",
            url,
        ),
        (
            "python3 /check.py http://127.0.0.1:8006/healthy",
            1,
            "urllib.error.HTTPError: HTTP Error 404: Not Found\n",
            "its own check asks http://127.0.0.1:8006/healthy, which answers 404: there is no such path",
            url,
        ),
        (
            "cat /tmp/ready",
            1,
            "cat: can't open '/tmp/ready': No such file or directory\n",
            "its own check (cat /tmp/ready) ends with 1: cat: can't open '/tmp/ready': No such file or directory",
            url,
        ),
        (
            "curl -f http://127.0.0.1:8200/health",
            7,
            "curl: (7) Failed to connect to 127.0.0.1 port 8200: Connection refused",
            "its own check asks port 8200, where nothing listens; the service listens on 8006",
            url,
        ),
        (
            "curl -f http://127.0.0.1:8006/healthy",
            22,
            "curl: (22) The requested URL returned error: 404",
            "its own check asks http://127.0.0.1:8006/healthy, which answers 404: there is no such path",
            url,
        ),
        (
            "wget -qO- http://localhost:8006/health",
            1,
            "wget: can't connect to remote host: Connection refused",
            "its own check asks http://localhost:8006/health, and localhost is ::1 there first, where the service does not listen",
            "http://127.0.0.1:8006/health",
        ),
        (
            "curl -f http://127.0.0.1:8006/slow",
            -1,
            "Health check exceeded timeout (3s)",
            "its own check takes longer than its timeout of 3s",
            "timeout: 10s",
        ),
        (
            "/check.py",
            1,
            "Traceback\nModuleNotFoundError: No module named 'requests'\n",
            "its own check (/check.py) ends with 1: ModuleNotFoundError: No module named 'requests'",
            url,
        ),
    ] {
        let found = why_unhealthy(&health(command, exit, output), &outside);
        assert_eq!(found.what, what, "{command}");
        assert!(found.fix.contains(fix), "{command}: {}", found.fix);
    }
}

#[test]
fn a_start_period_that_is_too_short_is_named_with_a_longer_one() {
    let serves_since = Some(Timestamp::from_second(1_800_000_040).unwrap());
    let found = why_unhealthy(&health("/check", 1, "not yet"), &Outside { serves_since, ..Outside::default() });
    assert_eq!(
        found.what,
        "its own check failed while it still started: it answered 40s after the first fail, and start_period is 5s"
    );
    assert_eq!(found.fix, "healthcheck:\n  start_period: 1m20s");
}

#[test]
fn a_check_that_passes_though_the_service_fails_is_explained() {
    for (command, what) in [
        ("curl -f http://localhost/ || true", "its own check (curl -f http://localhost/ || true) can never fail"),
        ("exit 0", "its own check (exit 0) can never fail"),
        ("python -c 'import sys; sys.exit(0)'", "its own check (python -c 'import sys; sys.exit(0)') can never fail"),
        (
            "ps aux | grep dlq-processor",
            "its own check (ps aux | grep dlq-processor) looks for a process, and finds its own command line",
        ),
        (
            "curl -s http://127.0.0.1:80/",
            "its own check (curl -s http://127.0.0.1:80/) passes whatever the status is: curl needs --fail",
        ),
        ("psql -c 'select 1' | grep 1", "its own check (psql -c 'select 1' | grep 1) asks nothing over the network"),
        ("curl -kfsS https://127.0.0.1:9/ping", "its own check asks https://127.0.0.1:9/ping, which is not what fails"),
        ("test -f /tmp/ready", "its own check (test -f /tmp/ready) asks nothing over the network"),
        ("curl -fsS http://127.0.0.1:9/ping", "its own check asks http://127.0.0.1:9/ping, which is not what fails"),
    ] {
        assert_eq!(why_healthy(&health(command, 0, "")).what, what);
    }
}
