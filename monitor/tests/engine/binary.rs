//! The real binary: exit codes, signals, and what kill -9 leaves behind.

use std::process::Command;

use nix::sys::signal::Signal;
use testkit::{Target, eventually, free_port};

use crate::harness::{Binary, LIMIT, processes_with, write_config};

fn config(folder: &std::path::Path, port: u16, services: &str) -> std::path::PathBuf {
    write_config(
        folder,
        &format!(
            "listen: 127.0.0.1:{port}\ndefaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\nservices:\n{services}"
        ),
    )
}

fn web(target: &Target) -> String {
    format!("  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n", target.url("/"))
}

#[tokio::test]
async fn two_monitors_never_work_in_one_data_folder() {
    let (folder, target, port) = (tempfile::tempdir().unwrap(), Target::ok(""), free_port());
    let file = config(folder.path(), port, &web(&target));
    let first = Binary::start("run", &file, port);
    first.until("web", "up").await;
    let second = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["run", "--config"])
        .arg(&file)
        .env("TOKEN", crate::harness::TOKEN)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&format!("another monitor (pid {}) already works in", first.child.id())), "{said}");
    first.signal(Signal::SIGTERM);
    assert_eq!(first.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_causes_apart() {
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_monitor")).args(args).env("TOKEN", crate::harness::TOKEN).output().unwrap()
    };
    assert_eq!(run(&["frobnicate"]).status.code(), Some(64));
    assert_eq!(run(&["run", "--config", "/nonexistent.yml"]).status.code(), Some(78));
    assert_eq!(run(&["check-config", "/nonexistent.yml"]).status.code(), Some(78));
    let nobody = format!("http://127.0.0.1:{}", free_port());
    assert_eq!(run(&["status", "--url", &nobody]).status.code(), Some(69));
    assert_eq!(run(&["gate", "web", "--url", &nobody]).status.code(), Some(69));
    assert_eq!(run(&["healthcheck", &nobody]).status.code(), Some(1));
    let (taken, folder) = (Target::ok(""), tempfile::tempdir().unwrap());
    let file = config(folder.path(), taken.addr().port(), &web(&taken));
    let output = run(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(71));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("cannot listen on {}", taken.addr())), "{said}");
    assert_eq!(run(&["healthcheck", &taken.url("/")]).status.code(), Some(0));
}

#[tokio::test]
async fn kill_9_of_up_leaves_no_child_and_no_grandchild() {
    let (folder, target, port) = (tempfile::tempdir().unwrap(), Target::ok(""), free_port());
    let token = format!("orphan-{port}");
    let services = format!(
        "  family:\n    workload: {{ process: {{ command: [sh, -c, \"(setsid sh -c 'sleep 1000; : {token}' &) ; sleep 1000; : {token}\"] }} }}\n    checks: {{ home: {{ http: {{ url: \"{}\" }} }} }}\n",
        target.url("/")
    );
    let file = config(folder.path(), port, &services);
    let monitor = Binary::start("up", &file, port);
    monitor.until("family", "up").await;
    eventually("child and grandchild to run", LIMIT, async || (processes_with(&token).len() >= 2).then_some(())).await;
    monitor.signal(Signal::SIGKILL);
    eventually("everything to be gone", LIMIT, async || processes_with(&token).is_empty().then_some(())).await;
}

#[tokio::test]
async fn kill_9_and_a_new_start_keep_history_streaks_and_ledger_and_show_the_gap_as_no_data() {
    let (folder, target, dead, port) = (tempfile::tempdir().unwrap(), Target::ok(""), Target::refuse(), free_port());
    let services = format!(
        "{}  looper:\n    workload: {{ process: {{ command: [sh, -c, \"exit 3\"] }} }}\n    checks: {{ port: {{ tcp: {{ address: \"{}\" }} }} }}\n",
        web(&target),
        dead.addr()
    );
    let file = config(folder.path(), port, &services);
    let first = Binary::start("run", &file, port);
    let before = first.until("looper", "crash_looping").await;
    first.until("web", "up").await;
    target.set_status(500);
    let down = first.until("web", "down").await;
    // Fresh points reach the disk every few seconds; wait until some have.
    let written = eventually("a commit of history", LIMIT, async || {
        let (_, metrics) = first.get("/metrics").await;
        let text = metrics.as_str()?.to_owned();
        let commits =
            text.lines().find(|line| line.starts_with("monitor_store_commits_total{store=\"history\"}"))?.to_owned();
        (commits.rsplit(' ').next()?.parse::<f64>().ok()? >= 4.0).then_some(())
    });
    written.await;
    first.signal(Signal::SIGKILL);
    first.ended().await;
    let second = Binary::start("run", &file, port);
    let again = second.until("web", "down").await;
    assert_eq!(again["since"], down["since"], "a restart is no news");
    let transitions = second.get("/api/v1/transitions?service=web").await.1;
    assert_eq!(transitions.as_array().unwrap().len(), 2, "{transitions}");
    let looper = second.until("looper", "crash_looping").await;
    let exits = |status: &serde_json::Value| status["workload"]["unplanned_exits"].as_u64().unwrap();
    assert!(exits(&looper) >= exits(&before), "{looper}");
    let history = second.get("/api/v1/services/web/history?back=1h&grain=raw").await.1;
    let points = history["checks"]["home"].as_array().unwrap().clone();
    assert!(points.iter().any(|point| point["pass"] == 1), "passes from before the kill: {history}");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended().await, Some(0));
}

#[tokio::test]
async fn a_stopped_monitor_wakes_without_false_alarms_and_counts_the_gap() {
    let (folder, target, port) = (tempfile::tempdir().unwrap(), Target::ok(""), free_port());
    let file = config(folder.path(), port, &web(&target));
    let monitor = Binary::start("run", &file, port);
    monitor.until("web", "up").await;
    monitor.signal(Signal::SIGSTOP);
    // The gap itself is what is tested: longer than the 5 s after which nobody can have looked.
    let until = kit::clock::Moment::now() + monitor::schedule::GAP_AFTER * 2;
    eventually("the gap to be long enough", LIMIT, async || (kit::clock::Moment::now() > until).then_some(())).await;
    monitor.signal(Signal::SIGCONT);
    let gaps = eventually("the gap to be counted", LIMIT, async || {
        let (_, metrics) = monitor.get("/metrics").await;
        metrics
            .as_str()?
            .lines()
            .find(|line| line.starts_with("monitor_gaps_total "))
            .map(str::to_owned)
            .filter(|line| !line.ends_with(" 0"))
    });
    // A starved machine may add gaps of its own.
    gaps.await;
    let seen = target.connections();
    eventually("more probes", LIMIT, async || (target.connections() >= seen + 3).then_some(())).await;
    let transitions = monitor.get("/api/v1/transitions?service=web").await.1;
    assert_eq!(transitions.as_array().unwrap().len(), 1, "{transitions}");
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
}

#[tokio::test]
async fn the_metrics_are_clean_for_promtool_and_every_name_of_the_contract_is_there() {
    let (folder, target, port) = (tempfile::tempdir().unwrap(), Target::ok(""), free_port());
    let services = web(&target).replace("  web:", "  platform-services:");
    let file = config(folder.path(), port, &services);
    let monitor = Binary::start("run", &file, port);
    monitor.until("platform-services", "up").await;
    let (_, text) = monitor.get("/metrics").await;
    let text = text.as_str().unwrap().to_owned();
    let input = folder.path().join("metrics.txt");
    std::fs::write(&input, &text).unwrap();
    let output =
        Command::new("promtool").args(["check", "metrics"]).stdin(std::fs::File::open(&input).unwrap()).output();
    let output = output.expect("promtool is installed by compose/e2e/setup");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in [
        "service_health{service=\"platform-services\"} 1",
        "auth_service_status 1",
        "services_healthy_count 1",
        "services_total_count 1",
        "monitoring_last_update ",
        "monitor_build_info{version=",
        "monitor_scheduler_lag_seconds_count ",
        "monitor_config_last_reload_successful 1",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{text}");
    }
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_child_ended_while_there_was_no_monitor_is_on_record_with_its_code_and_lines() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let gate = folder.path().join("go");
    let child = format!(
        "  child: {{ workload: {{ process: {{ restart: never, command: [sh, -c, 'until [ -e {0} ]; do sleep 0.1; done; \
         for n in 1 2 3 4 5; do echo line $n; done; exit 7'] }} }} }}\n",
        gate.display()
    );
    let file = config(folder.path(), port, &child);
    let first = Binary::start("run", &file, port);
    let pid = eventually("the child to run", LIMIT, async || {
        first.get("/api/v1/services/child").await.1["workload"]["pid"].as_i64()
    })
    .await;
    first.signal(Signal::SIGKILL);
    assert_eq!(first.ended().await, None, "killed");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "it outlives the monitor");
    std::fs::write(&gate, "").unwrap();
    eventually("the child to end", LIMIT, async || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    })
    .await;
    let second = Binary::start("run", &file, port);
    let known = eventually("the end to be known", LIMIT, async || {
        let (_, service) = second.get("/api/v1/services/child").await;
        service["workload"]["runs"][0]["end"].is_object().then_some(service)
    })
    .await;
    let run = &known["workload"]["runs"][0];
    assert!(run["end"]["how"].as_str().unwrap().starts_with("exited with code 7"), "{known}");
    assert_eq!((&run["end"]["planned"], &run["end"]["by"]), (&false.into(), &"runtime".into()), "{known}");
    let lines: Vec<String> = (1..=5).map(|number| format!("line {number}")).collect();
    assert_eq!(run["last_lines"], serde_json::json!(lines), "no line is lost");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended().await, Some(0));
}
