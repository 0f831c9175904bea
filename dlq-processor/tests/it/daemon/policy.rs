//! Policies that are checked before somebody writes them down, and that decide while everything runs.

use std::process::Command;

use serde_json::{Value, json};
use testkit::{Postgres, eventually};

use super::machine::{LIMIT, Machine, TOKEN};
use crate::asking;

const ADMIN: &str = "access: { tokens: [{ name: root, role: admin, token_file: token }] }\n";
const REASON: &str = "quota exceeded";

/// Fails a job, and returns what it is taken for, and by which rule.
async fn taken_for(machine: &Machine) -> (String, Option<String>) {
    let id = machine.fail(1, REASON).await.remove(0);
    eventually("it to be taken in", LIMIT, async || {
        let letters = machine.letters().await;
        letters.into_iter().find(|letter| letter.job == id).map(|letter| (letter.class, letter.rule))
    })
    .await
}

fn rule(id: &str, class: &str) -> String {
    format!("{ADMIN}rules:\n  - {{ id: {id}, when: {{ contains: ['{REASON}'] }}, class: {class} }}\n")
}

/// Status and answer of a reload.
async fn reload(machine: &Machine, key: &str) -> (u16, Value) {
    machine.ask_as_operator("POST", "/api/v1/policy/reload", key, &json!({ "reason": "quotas pass" })).await
}

async fn is_good(machine: &Machine, wanted: f64) -> Option<()> {
    machine.metric("dlq_config_last_reload_successful", "").await.filter(|is_good| *is_good == wanted).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_decides_once_somebody_asks_or_signals_and_a_wrong_one_never() {
    let machine = Machine::start(ADMIN).await;
    let mut daemon = machine.daemon().await;
    let by = |class: &str, rule: &str| (class.to_owned(), Some(rule.to_owned()));
    assert_eq!(taken_for(&machine).await, ("unknown".to_owned(), None));

    machine.configure(&format!("{}max_ledger: 1GiB\nqueues: [{{ queue: a }}]\n", rule("quota", "throttled")));
    let asked = machine.request("POST", "/api/v1/policy/reload", &[("idempotency-key", "1")]);
    assert_eq!(machine.ask(asked, &json!({ "reason": "quotas pass" })).await.unwrap().0, 401);
    assert_eq!(reload(&machine, "").await.0, 400, "without a key");
    let (status, answer) = reload(&machine, "1").await;
    assert_eq!((status, &answer["needs_restart"]), (200, &json!(["queues", "max_ledger"])), "{answer}");
    assert_eq!(taken_for(&machine).await, by("throttled", "quota"));

    // What was not asked for has not failed.
    let other = json!({ "source": "jobs", "queue": "a", "name": "b", "state": "open", "reason": "x" });
    assert_eq!(machine.ask_as_operator("POST", "/api/v1/breakers", "other", &other).await.0, 200);
    let (status, answer) = reload(&machine, "other").await;
    assert_eq!((status, &answer["error"]), (409, &json!("this Idempotency-Key was used for something else")));
    is_good(&machine, 1.0).await.expect("no reload was tried");

    machine.configure(&format!("{}max_age: soon\n", rule("other", "nonsense")));
    let (status, answer) = reload(&machine, "2").await;
    let mistakes: Vec<&str> = answer["mistakes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((status, mistakes.len()), (422, 2), "{answer}");
    assert!(mistakes[0].starts_with("dlq-processor.yml:6:") && mistakes[0].contains("nonsense"), "{mistakes:?}");
    assert_eq!(answer["error"], json!(mistakes.join("\n")));
    is_good(&machine, 0.0).await.expect("the metric says so");
    assert_eq!(taken_for(&machine).await, by("throttled", "quota"));

    machine.configure(&rule("signalled", "auth"));
    let sent = Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().unwrap();
    assert!(sent.success());
    eventually("the signal to be heard", LIMIT, async || is_good(&machine, 1.0).await).await;
    assert_eq!(taken_for(&machine).await, by("auth", "signalled"));
    assert!(daemon.runs());

    let (_, audit) = machine.ask_as_operator("GET", "/api/v1/audit", "", &Value::Null).await;
    let who: Vec<[&str; 4]> = audit["audit"].as_array().unwrap().iter().map(line).collect();
    let what = "policy.reload";
    let opened = ["root", "breaker.open", "jobs/a/b", "x"];
    assert_eq!(who, [["a signal", what, "policy", "SIGHUP"], opened, ["root", what, "policy", "quotas pass"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_the_ledger_is_away_is_visible_and_taken_as_soon_as_it_is_there() {
    let mut postgres = Postgres::start().await;
    let ledger = format!("ledger: '{}'\n", postgres.url());
    let machine = Machine::start(&format!("{ADMIN}{ledger}")).await;
    postgres.end();
    let mut daemon = machine.daemon().await;
    is_good(&machine, 1.0).await.expect("what is read at the start is taken");
    machine.configure(&format!("{}{ledger}", rule("signalled", "auth")));
    let sent = Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().unwrap();
    assert!(sent.success());
    eventually("it to be visible", LIMIT, async || is_good(&machine, 0.0).await).await;
    postgres.begin().await;
    eventually("it to be taken", LIMIT, async || is_good(&machine, 1.0).await).await;
    machine.fail(1, REASON).await;
    eventually("a letter by the new rule", LIMIT, async || {
        let (_, text) = machine.ask_as_operator("GET", "/api/v1/letters", "", &Value::Null).await;
        (text["letters"][0]["rule"] == "signalled").then_some(())
    })
    .await;
    assert!(daemon.runs());
}

fn line(line: &Value) -> [&str; 4] {
    ["who", "what", "letter", "why"].map(|key| line[key].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_checked_for_whoever_may_read_and_nothing_that_it_names_is_looked_at() {
    let machine = Machine::start(&format!("{}\n", ADMIN.replace("{ tokens", "{ public: names, tokens"))).await;
    let _daemon = machine.daemon().await;
    let token = format!("Bearer {TOKEN}");
    let check = async |headers: &[(&str, &str)], text: &str| {
        let request = machine.request("POST", "/api/v1/policy/validate", headers);
        let (status, answer) = asking::ask_with(request, text.to_owned()).await.unwrap();
        (status, serde_json::from_str::<Value>(&answer).unwrap())
    };
    let read = [("authorization", token.as_str()), ("content-type", "application/yaml")];
    let policy = "sources: { a: { bullmq: { url_file: /etc/passwd } } }\nbuiltin_rules: false\n\
        jobs:\n  - { name: send, idempotent: true }\n";
    assert_eq!(check(&[], policy).await.0, 401);
    assert_eq!(check(&read, policy).await, (200, json!({ "is_valid": true, "jobs": 1, "rules": 0 })));
    let (status, answer) = check(&read, "jobs:\n  - { name: '${HOME}', critical: perhaps, idempotent: true }\n").await;
    let expected = [
        "policy:2:13: jobs[0].name: variables are not read here; write what it is, or use check-config",
        "policy:2:34: jobs[0].critical: expected true or false, found \"perhaps\"",
    ];
    assert_eq!((status, &answer["mistakes"]), (422, &json!(expected)));
    assert_eq!(check(&read, " \n").await.0, 400);
    let (status, answer) = check(&read, &format!("# {}", "x".repeat(256 << 10))).await;
    assert!(status == 413 && answer["error"].as_str().unwrap().contains("may have 262144 bytes"), "{answer}");
}
