//! The lists of a source, for scripts that read them.

use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{Daemon, LIMIT, Machine, QUEUE, TOKEN};

/// With a password, which nobody is to see.
const WHY: &str = "ValidationError: no address for password=hunter2hunter2";

/// A daemon's configuration, with lists as they are written here.
async fn machine(lists: &str) -> Machine {
    let machine = Machine::start("operator_token_file: token\n").await;
    let path = machine.folder.path().join("dlq-processor.yml");
    let config = std::fs::read_to_string(&path).unwrap();
    let with_lists = config.replace("bullmq: {", &format!("bullmq: {{ lists: {lists},"));
    assert_ne!(with_lists, config);
    std::fs::write(path, with_lists).unwrap();
    machine
}

/// What is in a list, the newest first; none while Redis is away.
async fn list(machine: &Machine, key: &str) -> Vec<Value> {
    let entries: Vec<String> = machine.bull.query(redis::cmd("LRANGE").arg(key).arg(0).arg(-1)).await;
    entries.iter().map(|entry| serde_json::from_str(entry).unwrap()).collect()
}

async fn until_there_are(machine: &Machine, key: &str, entries: usize) -> Vec<Value> {
    let are_there = async || Some(list(machine, key).await).filter(|found| found.len() == entries);
    eventually(&format!("{entries} entries in {key}"), LIMIT, are_there).await
}

async fn discard(machine: &Machine, id: &str) {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("idempotency-key", id)];
    let request = machine.request("POST", &format!("/api/v1/letters/{id}/discard"), &headers);
    assert_eq!(machine.ask(request, &json!({ "reason": "nobody needs it" })).await.unwrap().0, 200);
}

async fn failures(machine: &Machine) -> f64 {
    machine.metric("dlq_list_failures_total", "").await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_what_waits_for_a_person_and_what_was_given_up_and_no_more_than_they_keep() {
    let machine = machine("{ prefix: old, keep: 2 }").await;
    let jobs = machine.fail(3, WHY).await;
    let _daemon = machine.daemon().await;
    let all_are_written = async || machine.metric("dlq_listed_total", "list=\"alerts\"").await.filter(|it| *it == 3.0);
    eventually("all to be written", LIMIT, all_are_written).await;
    let alerts = list(&machine, "old:alerts").await;
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    let letters = machine.letters().await;
    for entry in &alerts {
        let letter = letters.iter().find(|letter| entry["originalJobId"] == *letter.job).unwrap();
        let failed_at: jiff::Timestamp = entry["failedAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(failed_at.as_millisecond(), letter.failed_at_ms);
        let expected = json!({
            "originalQueue": QUEUE, "originalJobId": letter.job, "originalJobName": "job", "attempts": 1,
            "failureReason": "ValidationError: no address for password=[redacted]", "failedAt": entry["failedAt"],
            "letterId": letter.id, "state": "parked", "class": "malformed",
        });
        assert_eq!(*entry, expected);
    }
    let letter = letters.iter().find(|letter| letter.job == jobs[0]).unwrap();
    discard(&machine, &letter.id).await;
    let discarded = until_there_are(&machine, "old:discarded", 1).await;
    assert_eq!((&discarded[0]["letterId"], &discarded[0]["state"]), (&json!(letter.id), &json!("discarded")));
    assert_eq!(list(&machine, "old:alerts").await, alerts);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_redis_is_away_is_written_when_it_is_back() {
    let mut machine = machine("{}").await;
    machine.fail(1, WHY).await;
    let _daemon = machine.daemon().await;
    let first = until_there_are(&machine, "dlq:alerts", 1).await.remove(0);
    assert_eq!(failures(&machine).await, 0.0);
    machine.bull.redis.end();
    discard(&machine, first["letterId"].as_str().unwrap()).await;
    eventually("the lists to fail", LIMIT, async || (failures(&machine).await > 0.0).then_some(())).await;
    machine.bull.redis.begin().await;
    let discarded = until_there_are(&machine, "dlq:discarded", 1).await.remove(0);
    assert_eq!(discarded["letterId"], first["letterId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_list_holds_up_the_lists_alone() {
    let machine = machine("{}").await;
    machine.bull.set("dlq:archive", "somebody else's").await;
    machine.fail(3, WHY).await;
    let _daemon = machine.daemon().await;
    eventually("the lists to fail", LIMIT, async || (failures(&machine).await > 0.0).then_some(())).await;
    let is_taken_in = async || (machine.letters().await.len() == 3).then_some(());
    eventually("all to be taken in", LIMIT, is_taken_in).await;
    assert_eq!(list(&machine, "dlq:alerts").await, Vec::<Value>::new());
    let health = machine.get("/health").await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&health).unwrap()["checks"]["source jobs"]["status"], "healthy");
    machine.bull.query::<()>(redis::cmd("DEL").arg("dlq:archive")).await;
    until_there_are(&machine, "dlq:alerts", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_power_is_cut_an_entry_is_written_once_at_least() {
    let machine = machine("{}").await;
    machine.fail(1, WHY).await;
    // In the ledger, and not yet in the list; then in the list, and not yet noted.
    for (place, entries) in [("before_lists", 0), ("after_lists", 1)] {
        Daemon::spawn_with(machine.folder.path(), &[("DLQ_FAILPOINT", place)]).ended().await;
        assert_eq!(machine.letters().await.len(), 1);
        assert_eq!(list(&machine, "dlq:alerts").await.len(), entries, "{place}");
    }
    let daemon = machine.daemon().await;
    let again = until_there_are(&machine, "dlq:alerts", 2).await;
    assert_eq!(again[0], again[1]);
    daemon.kill();
    // What is noted is not written again.
    let _daemon = machine.daemon().await;
    machine.fail(1, WHY).await;
    until_there_are(&machine, "dlq:alerts", 3).await;
}
