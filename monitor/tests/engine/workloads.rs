//! Processes that the monitor runs.

use testkit::{Target, eventually, free_port};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running, processes_with};

#[tokio::test]
async fn a_process_that_dies_at_once_loops_with_its_cause_and_last_lines() {
    let dead = Target::refuse();
    let yaml = format!(
        "defaults: {{ every: 1s }}\nservices:\n  looper:\n    workload: {{ process: {{ command: [sh, -c, \"echo out of luck; exit 3\"] }} }}\n    checks: {{ port: {{ tcp: {{ address: \"{}\" }} }} }}\n",
        dead.addr()
    );
    let engine = Running::start(&yaml).await;
    let looping = engine.until("looper", "crash_looping").await;
    assert!(looping["why"].as_str().unwrap().starts_with("exited with code 3"), "{looping}");
    assert_eq!(looping["workload"]["last_lines"], serde_json::json!(["out of luck"]));
    // Verdicts are shown before they are on the disk.
    let written = eventually("the change on the disk", LIMIT, async || {
        let transitions = engine.get("/api/v1/transitions?service=looper").await.1;
        let loops = transitions.as_array()?.iter().filter(|change| change["to"] == "crash_looping").count();
        (loops > 0).then_some(loops)
    });
    assert_eq!(written.await, 1);
}

#[tokio::test]
async fn a_missing_program_is_said_and_not_hammered() {
    let yaml = "services:\n  ghost: { workload: { process: { command: [./no-such-program] } } }\n";
    let engine = Running::start(yaml).await;
    let down = engine.until("ghost", "down").await;
    let why = down["why"].as_str().unwrap();
    assert!(why.contains("No such file or directory"), "{why}");
    assert_eq!(down["workload"]["unplanned_exits"], 1);
}

#[tokio::test]
async fn services_start_after_what_they_need_and_stop_before_it() {
    let (first, second) = (free_port(), free_port());
    let token = format!("order-{first}-{second}");
    let log = tempfile::NamedTempFile::new().unwrap();
    let script = |name: &str, port: u16| {
        format!(
            "[python3, -c, \"import http.server, signal, sys; f = open('{}', 'a', buffering=1); f.write('start {name}\\\\n'); signal.signal(signal.SIGTERM, lambda *a: (f.write('stop {name}\\\\n'), sys.exit(0))); http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()\", {token}]",
            log.path().display()
        )
    };
    let service = |name: &str, needs: &str, port: u16| {
        format!(
            "  {name}:\n    needs: [{needs}]\n    workload: {{ process: {{ command: {} }} }}\n    checks: {{ home: {{ http: {{ url: \"http://127.0.0.1:{port}/\" }} }} }}\n",
            script(name, port)
        )
    };
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n{}{}",
        service("web", "database", second),
        service("database", "", first)
    );
    let engine = Running::start(&yaml).await;
    engine.until("web", "up").await;
    engine.stop().await;
    assert_eq!(std::fs::read_to_string(log.path()).unwrap(), "start database\nstart web\nstop web\nstop database\n");
    assert_eq!(processes_with(&token), Vec::<i32>::new());
}

#[tokio::test]
async fn a_crash_that_is_over_at_once_is_a_ledger_entry_and_no_outage() {
    let port = free_port();
    let token = format!("crash-{port}");
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  web:\n    workload: {{ process: {{ command: [python3, -m, http.server, \"{port}\", --bind, 127.0.0.1], env: {{ MARK: {token} }} }} }}\n    checks: {{ home: {{ http: {{ url: \"http://127.0.0.1:{port}/\" }} }} }}\n"
    );
    let engine = Running::start(&yaml).await;
    let up = engine.until("web", "up").await;
    let pid = i32::try_from(up["workload"]["pid"].as_i64().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let back = eventually("the service to be back under another pid", LIMIT, async || {
        let (_, web) = engine.get("/api/v1/services/web").await;
        (web["verdict"] == "up" && web["workload"]["pid"] != pid && web["workload"]["pid"].is_number()).then_some(web)
    });
    let back = back.await;
    assert_eq!(
        (&back["workload"]["unplanned_exits"], &back["workload"]["last_end"]),
        (&1.into(), &"killed by SIGKILL".into())
    );
    let transitions = engine.get("/api/v1/transitions?service=web").await.1.to_string();
    assert!(!transitions.contains("\"down\""), "{transitions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_prints_of_its_own_secrets_stays_in_the_house() {
    let (sink, secret) = (Target::ok(""), "opensesame-4711");
    let yaml = format!(
        "services:\n  web:\n    workload: {{ process: {{ command: [sh, -c, \"echo using $VAULT_TOKEN now; exit 3\"], \
         env: {{ VAULT_TOKEN: {secret} }} }} }}\n\
         channels:\n  hook: {{ webhook: {{ url: \"{}\" }}, evidence: full }}\n",
        sink.url("/hook")
    );
    let running = Running::start(&yaml).await;
    let page = eventually("the page", LIMIT, async || accepted(&sink).into_iter().next()).await;
    let lines = &page["alerts"][0]["evidence"]["last_lines"];
    assert_eq!(lines[0], "using [redacted] now", "{page}");
    let (_, service) = running.get("/api/v1/services/web").await;
    assert!(service.to_string().contains("using [redacted] now") && !service.to_string().contains(secret), "{service}");
    running.stop().await;
}
