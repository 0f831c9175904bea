//! Letters that are put back as other jobs: into another queue, or with something else in them.

use dlq_processor::ledger::Listed;
use dlq_processor::source::State;
use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{Daemon, LIMIT, Machine, QUEUE};

const CONFIG: &str =
    "queues: [{ queue: '*', mode: act }, { queue: legal, mode: observe }]\noperator_token_file: token\n";
const NO_ADDRESS: &str = "ValidationError: no address";

async fn post(machine: &Machine, path: &str, key: &str, body: &Value) -> (u16, Value) {
    machine.ask_as_operator("POST", &format!("/api/v1/letters/{path}"), key, body).await
}

async fn shown(machine: &Machine, id: &str) -> Value {
    machine.ask_as_operator("GET", &format!("/api/v1/letters/{id}"), "", &Value::Null).await.1
}

async fn taken_in(machine: &Machine, letters: usize) -> Vec<Listed> {
    eventually("letters to be taken in", LIMIT, async || {
        Some(machine.letters().await).filter(|found| found.len() == letters)
    })
    .await
}

async fn is(machine: &Machine, id: &str, state: &str) -> Listed {
    eventually(&format!("the letter to be {state}"), LIMIT, async || {
        machine.letters().await.into_iter().find(|letter| letter.id == id && letter.state == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_letter_is_put_back_once_as_another_job_wherever_power_is_cut() {
    let machine = Machine::start(CONFIG).await;
    let ids = machine.fail(1, NO_ADDRESS).await;
    let daemon = machine.daemon().await;
    let letter = taken_in(&machine, 1).await.remove(0);
    let id = letter.id.as_str();
    let replace = |value: Value| json!([{ "op": "replace", "path": "/number", "value": value }]);
    let edit = |patch: Value| json!({ "patch": patch, "reason": "it was wrong" });
    let (secret, hidden) = (json!({ "apiKey": "k-123456789" }), json!({ "apiKey": "[redacted]" }));
    for (key, value, told) in [("1", json!(1), json!(1)), ("2", secret, hidden)] {
        for _again in 0..2 {
            let (status, body) = post(&machine, &format!("{id}/edit"), key, &edit(replace(value.clone()))).await;
            assert_eq!((status, &body["edit"]["data"]), (200, &json!({ "number": told })), "{body}");
        }
    }
    let whole = shown(&machine, id).await;
    assert_eq!((&whole["data"], &whole["edit"]["who"]), (&json!({ "number": 0 }), &json!("operator")), "{whole}");
    assert_eq!(whole["edit"]["patch"], replace(json!({ "apiKey": "[redacted]" })));
    assert_eq!(
        shown(&machine, &format!("{id}?raw=true")).await["error"],
        "this needs the role admin; operator is operator"
    );
    let what: Vec<&Value> = whole["audit"].as_array().unwrap().iter().map(|entry| &entry["what"]).collect();
    assert_eq!(what, ["edit", "edit"]);
    let (_, body) = post(&machine, &format!("{id}/unedit"), "3", &json!({ "reason": "never mind" })).await;
    assert_eq!(body["edit"], Value::Null, "{body}");
    let (status, body) = post(&machine, &format!("{id}/unedit"), "4", &json!({ "reason": "never mind" })).await;
    assert!(status == 409 && body["error"] == "a letter that is not edited cannot be unedited", "{body}");
    assert_eq!(post(&machine, &format!("{id}/edit"), "5", &edit(replace(json!(7)))).await.0, 200);

    machine.does(json!({})).await;
    // Nothing is put back while it is paused.
    machine.bull.ask(json!({ "call": "pause", "queue": QUEUE })).await;
    assert_eq!(post(&machine, &format!("{id}/redrive"), "6", &json!({ "reason": "mended" })).await.0, 200);
    daemon.kill();
    machine.bull.ask(json!({ "call": "resume", "queue": QUEUE })).await;
    for place in ["after_intent", "after_lua", "after_redriven"] {
        Daemon::spawn_with(machine.folder.path(), &[("DLQ_FAILPOINT", place)]).ended().await;
    }
    let _daemon = machine.daemon().await;
    let letter = is(&machine, id, "resolved").await;
    let new = letter.new_job.unwrap();
    assert!(new.starts_with("dlq~"), "{new}");
    machine.bull.is(QUEUE, &new, State::Completed).await;
    assert_eq!(machine.bull.runs(QUEUE, &new).await, [json!({ "name": "job", "data": { "number": 7 } })]);
    assert_eq!(machine.runs(&ids[0]).await, 1);
    let (status, body) = post(&machine, &format!("{id}/edit"), "7", &edit(replace(json!(8)))).await;
    assert!(status == 409 && body["error"] == "a letter that is resolved cannot be edited", "{body}");
    assert_eq!(taken_in(&machine, 1).await.len(), 1, "nothing else came of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_goes_into_another_queue_is_followed_there_and_leaves_where_it_failed() {
    let machine = Machine::start(CONFIG).await;
    machine.bull.ask(json!({ "call": "work", "queue": "slow" })).await;
    machine.bull.ask(json!({ "call": "add", "queue": "slow", "jobs": [] })).await;
    machine.bull.ask(json!({ "call": "add", "queue": "legal", "jobs": [] })).await;
    let ids = machine.fail(2, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let letters = taken_in(&machine, 2).await;
    let [first, second] = [&letters[0].id, &letters[1].id];
    for (to, status, expected) in [
        ("nowhere", 422, "jobs has no queue nowhere; `dlq-processor queues` lists those that it has"),
        ("dead-letter-queue", 422, "dead-letter-queue holds nothing but what is dead; name a queue that somebody"),
        ("legal", 409, "nothing is redriven in legal: give it mode: act in the configuration"),
    ] {
        let answer = post(&machine, &format!("{first}/redrive"), to, &json!({ "reason": "x", "to": to })).await;
        assert!(answer.0 == status && answer.1["error"].as_str().unwrap().starts_with(expected), "{answer:?}");
    }
    let to = json!({ "reason": "it takes too long", "to": "slow" });
    let (status, body) = post(&machine, &format!("{first}/park"), "p", &to).await;
    assert!(status == 400 && body["error"].as_str().unwrap().starts_with("to is for redrive and release"), "{body}");
    for _again in 0..2 {
        assert_eq!(post(&machine, &format!("{first}/redrive"), "1", &to).await.0, 200);
    }
    assert_eq!(post(&machine, &format!("{first}/redrive"), "1", &json!({ "reason": "x" })).await.0, 409, "another act");
    let done = is(&machine, first, "resolved").await;
    let new = done.new_job.unwrap();
    assert_eq!(done.to_queue.as_deref(), Some("slow"));
    assert_eq!(machine.bull.runs("slow", &new).await.len(), 1);
    let gone = ids.iter().find(|id| **id == done.job).unwrap();
    machine.bull.is(QUEUE, gone, State::Gone).await;
    assert_eq!(machine.runs(gone).await, 1);
    let audit = shown(&machine, first).await["audit"].clone();
    assert_eq!(audit[0]["what"], "redrive to slow");

    // What fails there is a letter of that queue.
    machine.bull.does("slow", json!({ "throws": NO_ADDRESS })).await;
    assert_eq!(post(&machine, &format!("{second}/redrive"), "2", &to).await.0, 200);
    let failed = is(&machine, second, "recurred").await;
    let letters = taken_in(&machine, 3).await;
    let of_new = letters.iter().find(|letter| Some(&letter.job) == failed.new_job.as_ref()).unwrap();
    assert_eq!((of_new.queue.as_str(), of_new.state.as_str()), ("slow", "parked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_edits_are_told_which_operation_is_wrong_and_change_nothing() {
    let machine = Machine::start(CONFIG).await;
    machine.fail(1, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let letter = taken_in(&machine, 1).await.remove(0);
    for (number, (patch, status, expected)) in [
        (json!("x"), 400, "patch is not a list of operations (RFC 6902); write it like [{"),
        (json!([{ "op": "sing", "path": "/a" }]), 400, "operation 1 (sing \"/a\"): unknown variant `sing`"),
        (json!([{ "op": "remove", "path": "/to" }]), 422, "operation 1 (remove \"/to\"): path is invalid"),
        (
            json!([{ "op": "test", "path": "/number", "value": 0 }, { "op": "test", "path": "/number", "value": 1 }]),
            422,
            "operation 2 (test \"/number\"): value did not match",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "patch": patch, "reason": "x" });
        let answer = post(&machine, &format!("{}/edit", letter.id), &number.to_string(), &body).await;
        assert!(answer.0 == status && answer.1["error"].as_str().unwrap().starts_with(expected), "{answer:?}");
    }
    let body = json!({ "patch": [{ "op": "remove", "path": "" }], "reason": "x" });
    assert_eq!(post(&machine, "nothing/edit", "n", &body).await.0, 404);
    assert_eq!(taken_in(&machine, 1).await, [letter]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_queue_has_gone_goes_into_another_and_else_waits_and_says_so() {
    let machine = Machine::start(CONFIG).await;
    machine.bull.ask(json!({ "call": "work", "queue": "slow" })).await;
    machine.bull.ask(json!({ "call": "add", "queue": "slow", "jobs": [] })).await;
    machine.fail(2, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let letters = taken_in(&machine, 2).await;
    machine.rest().await;
    let keys: Vec<String> = machine.bull.query(redis::cmd("KEYS").arg(format!("bull:{QUEUE}:*"))).await;
    machine.bull.query::<()>(redis::cmd("DEL").arg(keys)).await;
    let [other, same] = [&letters[0].id, &letters[1].id];
    let to = json!({ "reason": "mails is no more", "to": "slow" });
    assert_eq!(post(&machine, &format!("{other}/redrive"), "1", &to).await.0, 200);
    is(&machine, other, "resolved").await;
    assert_eq!(post(&machine, &format!("{same}/redrive"), "2", &json!({ "reason": "once more" })).await.0, 200);
    eventually("it to be said that the queue is not there", LIMIT, async || {
        let queues: Value = serde_json::from_str(&machine.get("/api/v1/queues").await?).ok()?;
        (queues["sources"][0]["queues"][QUEUE]["held"] == "absent").then_some(())
    })
    .await;
    assert_eq!(post(&machine, &format!("{same}/park"), "3", &json!({ "reason": "never mind" })).await.0, 200);
    eventually("nothing to be due there any more", LIMIT, async || {
        let queues: Value = serde_json::from_str(&machine.get("/api/v1/queues").await?).ok()?;
        queues["sources"][0]["queues"][QUEUE].is_null().then_some(())
    })
    .await;
}
