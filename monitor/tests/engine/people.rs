//! What people do about alerts at the command line, and the ping that says that somebody could be told.

use std::process::{Command, Output};

use monitor::Kinds;
use testkit::{Target, eventually};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running, TOKEN};

/// Runs `monitor ARGS` against a daemon; returns the exit code and what it said.
fn monitor(running: &Running, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
    let Output { status, stdout, stderr } =
        command.args(args).args(["--url", &running.url]).env("MONITOR_TOKEN", TOKEN).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap(), text(&stdout) + &text(&stderr))
}

fn config(target: &Target, sink: &Target, more: &str) -> String {
    format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         services:\n  web: {{ labels: {{ team: shop }}, checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n\
         channels:\n  hook: {{ webhook: {{ url: \"{}\" }} }}\n{more}",
        target.url("/"),
        sink.url("/hook")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_takes_silences_retries_and_tries_the_way_out() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let running = Running::start_in(tempfile::tempdir().unwrap(), &config(&target, &sink, ""), Kinds::standard()).await;
    running.until("web", "up").await;
    let (code, said) = monitor(&running, &["alerts"]);
    assert_eq!(code, 0, "{said}");
    sink.set_status(400);
    target.set_status(503);
    let dead = eventually("a dead letter", LIMIT, async || {
        let (_, said) = monitor(&running, &["alerts", "dead"]);
        said.contains("hook").then_some(said)
    })
    .await;
    assert!(dead.contains("400"), "{dead}");
    let (code, open) = monitor(&running, &["alerts"]);
    assert_eq!(code, 1, "{open}");
    assert!(open.contains("web is down: home: status 503"), "{open}");
    let (_, json) = monitor(&running, &["alerts", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let id = json.as_array().unwrap().iter().find(|incident| incident["service"] == "web").unwrap()["id"].clone();
    let id = id.as_str().unwrap();
    sink.set_status(200);
    let (code, said) = monitor(&running, &["alerts", "retry", "--all"]);
    assert_eq!(code, 0, "{said}");
    eventually("the page", LIMIT, async || (!accepted(&sink).is_empty()).then_some(())).await;
    let (code, said) = monitor(&running, &["alerts", "ack", id, "--note", "on it"]);
    assert_eq!(code, 0, "{said}");
    let (code, shown) = monitor(&running, &["alerts", "show", id]);
    assert!(code != 64 && shown.contains("operator has taken it: on it"), "{shown}");
    assert!(shown.contains("reason   status 503"), "{shown}");
    let (code, said) = monitor(&running, &["alerts", "silence", "team=shop", "--for", "1h", "--comment", "new disk"]);
    assert_eq!(code, 0, "{said}");
    let (_, said) = monitor(&running, &["alerts", "silences"]);
    assert!(said.contains("team=\"shop\"") && said.contains("new disk") && !said.contains("."), "{said}");
    let (code, said) = monitor(&running, &["alerts", "silence", "team", "--for", "1h"]);
    assert!(code != 0 && said.contains("write label=value"), "{code}: {said}");
    let (code, said) = monitor(&running, &["alerts", "route-test", "severity=page", "service=web"]);
    assert!(code == 0 && said.contains("hook"), "{code}: {said}");
    let (code, said) = monitor(&running, &["alerts", "channels"]);
    assert!(code == 0 && said.contains("hook"), "{code}: {said}");
    let (code, said) = monitor(&running, &["drill"]);
    assert!(code == 0 && said.contains("hook"), "{code}: {said}");
    assert!(accepted(&sink).iter().any(|message| message["drill"] == true), "the drill went the whole way");
    sink.set_status(400);
    let (code, said) = monitor(&running, &["drill", "--channel", "hook"]);
    assert_eq!(code, 1, "{said}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_mans_ping_goes_out_only_while_messages_get_through() {
    let (target, sink, switch) = (Target::ok(""), Target::ok(""), Target::ok(""));
    let more = format!("dead_man: {{ url: \"{}\", every: 1s }}\n", switch.url("/ping"));
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start_in(folder, &config(&target, &sink, &more), Kinds::standard()).await;
    let pings = async |more_than: usize| {
        eventually("a ping", LIMIT, async || Some(switch.requests().len()).filter(|count| *count > more_than)).await
    };
    pings(1).await;
    let (_, metrics) = running.get("/metrics").await;
    let last = "monitor_dead_man_last_success_timestamp_seconds ";
    let line = metrics.as_str().unwrap().lines().find(|line| line.starts_with(last)).unwrap().to_owned();
    assert!(line.trim_start_matches(last).parse::<f64>().unwrap() > 1.7e9, "{line}");
    sink.set_status(400);
    target.set_status(503);
    let blocked = eventually("the refusal to count", LIMIT, async || running.shared.alerts.blocked_channel()).await;
    assert_eq!(blocked, "hook");
    // A ping that was on its way may still arrive; after that the switch hears nothing while three probes, one a second, go by.
    let quiet = eventually("silence", LIMIT, async || {
        let (pings, probes) = (switch.requests().len(), target.requests().len());
        eventually("more probes", LIMIT, async || (target.requests().len() > probes + 3).then_some(())).await;
        (switch.requests().len() == pings).then_some(pings)
    })
    .await;
    sink.set_status(200);
    assert_eq!(monitor(&running, &["drill"]).0, 0);
    pings(quiet).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_lies_is_told_with_its_line_and_our_section_does_not() {
    let (target, sink) = (Target::ok(""), Target::ok(""));
    let running = Running::start_in(tempfile::tempdir().unwrap(), &config(&target, &sink, ""), Kinds::standard()).await;
    running.until("web", "up").await;
    let document = running.folder.path().join("README.md");
    let path = document.to_str().unwrap();
    std::fs::write(&document, "# Shop\n\nNothing.\n").unwrap();
    let (code, said) = monitor(&running, &["report", "--check", path]);
    assert!(code == 64 && said.contains("says of no service how it stands; `monitor report --write"), "{said}");
    std::fs::write(&document, "# Shop\n\n| Service | State |\n|---|---|\n| `web` (80) | ✅ Operational |\n").unwrap();
    assert_eq!(monitor(&running, &["report", "--write", path]).0, 0);
    let (code, said) = monitor(&running, &["report", "--check", path]);
    assert_eq!((code, said), (0, format!("{path}: 3 claims, all true\n")));
    target.set_status(503);
    running.until("web", "down").await;
    let (code, said) = monitor(&running, &["report", "--check", path]);
    let why = "is down: home: status 503, expected 2xx";
    let expected = [
        format!("{path}:5: says web is ✅; it {why}\n"),
        format!(
            "{path}:8: says \"🟢 **up**: 1 of 1 services are up\"; it is \"🔴 **down**: 0 of 1 services are up\"\n"
        ),
        format!("{path}:12: says web is 🟢 up; it {why}\n"),
    ];
    assert_eq!((code, said), (1, expected.concat()));
    assert_eq!(monitor(&running, &["report", "--write", path]).0, 0);
    let text = std::fs::read_to_string(&document).unwrap();
    assert!(text.contains("| web | 🔴 down | 20") && text.contains("| home: status 503, expected 2xx |"), "{text}");
    let (code, said) = monitor(&running, &["report", "--check", path]);
    assert_eq!(
        (code, said),
        (1, format!("{path}:5: says web is ✅; it {why}\n")),
        "what a person wrote is theirs to mend"
    );
    running.stop().await;
}
