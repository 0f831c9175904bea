//! Many letters at once.

use serde_json::json;
use testkit::eventually;

use super::{ACTS, NO_ADDRESS, said};
use crate::daemon::machine::{LIMIT, Machine, QUEUE};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_shown_first_and_then_applied_to_its_end() {
    let machine = Machine::start(ACTS).await;
    let ids = machine.fail(12, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    machine.listed(12).await;
    machine.does(json!({})).await;

    let filter = ["--queue", QUEUE, "--class", "malformed", "--reason", "it's mended"];
    let only_one = machine.says(&[&["redrive"][..], &filter, &["--data", "/number=3"]].concat()).await.json();
    assert_eq!((&only_one["plan"]["total"], &only_one["plan"]["state"]), (&json!(1), &json!("dry")), "{only_one}");
    let make = ["plan", "make", "--act", "redrive", "--rate", "500/s", "--stop-on-failures", "50%"];
    let made = machine.says(&[&make[..], &filter].concat()).await.json();
    assert_eq!((&made["plan"]["total"], &made["queues"]), (&json!(12), &json!([[QUEUE, 12]])), "{made}");
    assert_eq!(made["samples"].as_array().unwrap().len(), 10);
    let id = made["plan"]["id"].as_str().unwrap();
    let apply = format!(r"dlq-processor plan apply {id} --reason 'it'\''s mended' --url {}", machine.url());
    assert_eq!(made["apply"], json!(apply));
    assert_eq!(machine.runs(&ids[0]).await, 1, "nothing is done until it is applied");

    let applied = machine.says(&["plan", "apply", id, "--reason", "it is time", "--wait"]).await;
    assert_eq!((applied.code, &applied.json()["plan"]["state"]), (0, &json!("done")), "{}", applied.errors);
    assert_eq!(applied.json()["progress"]["done"], json!(12));
    for id in &ids {
        eventually("it to be done", LIMIT, async || (machine.runs(id).await == 2).then_some(())).await;
    }
    let again = machine.says(&["plan", "apply", id, "--reason", "it is time"]).await;
    assert_eq!(again.code, 1);
    assert!(again.errors.contains("a plan that is done cannot be asked to apply"), "{}", again.errors);
    let plans = machine.says(&["plan", "ls"]).await.json();
    assert_eq!([&plans["plans"][0]["state"], &plans["plans"][1]["state"]], ["done", "dry"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_plan_that_is_cancelled_is_told_no() {
    let machine = Machine::start(ACTS).await;
    machine.fail(3, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    machine.listed(3).await;
    let breaker = ["breaker", "open", "--source", "jobs", "--queue", QUEUE, "--name", "job", "--reason", "a patch"];
    assert_eq!(machine.says(&breaker).await.code, 0);
    let queues = machine.says(&["queues"]).await.json();
    assert_eq!(queues["sources"][0]["queues"][QUEUE]["breakers"][0]["state"], "open", "{queues}");

    let redrive = ["redrive", "--class", "malformed", "--reason", "it was mended", "--yes", "--wait", "--key", "k"];
    let waiting = machine.start_command(&redrive, &[]);
    let plan = eventually("the plan to be under way", LIMIT, async || {
        let plans = machine.says(&["plan", "ls"]).await.json();
        let plan = plans["plans"].get(0).filter(|plan| plan["state"] == "running")?;
        Some(plan["id"].as_str()?.to_owned())
    });
    let plan = plan.await;
    assert_eq!(machine.says(&["plan", "cancel", &plan, "--reason", "not now"]).await.code, 0);
    let waited = said(waiting).await;
    assert_eq!((waited.code, &waited.json()["plan"]["state"]), (1, &json!("cancelled")));
    assert!(waited.errors.contains("is cancelled: it was not carried out to its end"), "{}", waited.errors);
}
