//! Plans through the API of the daemon, which is killed while it carries one out.

use serde_json::{Value, json};
use testkit::{at_scale, eventually};

use super::machine::{Daemon, LIMIT, Machine};

const CONFIG: &str = "queues: [{ queue: '*', mode: act, rate: 500/s }]\nrate: 500/s\noperator_token_file: token\n";

impl Machine {
    /// Asks as an operator, under a key.
    async fn progress(&self, plan: &str) -> Option<Value> {
        serde_json::from_str(&self.get(&format!("/api/v1/plans/{plan}")).await?).ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_redrives_its_letters_once_through_power_cuts_a_pause_and_a_kill() {
    let machine = Machine::start(CONFIG).await;
    let jobs = at_scale(1_000, 100_000);
    let ids = machine.fail(jobs, "ValidationError: no address").await;
    let daemon = machine.daemon().await;
    eventually("all to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= jobs as f64).map(drop)
    })
    .await;
    machine.does(json!({})).await;
    let wanted = json!({
        "filter": { "class": "malformed", "message": "NO ADDRESS" }, "act": "redrive", "rate": "2000/s",
        "stop_on_failures": "50%", "reason": "addresses were mended",
    });
    let (status, made) = machine.ask_as_operator("POST", "/api/v1/plans", "make", &wanted).await;
    assert_eq!((status, &made["plan"]["state"], &made["plan"]["total"]), (201, &json!("dry"), &json!(jobs)), "{made}");
    assert_eq!(made["samples"].as_array().unwrap().len(), 10);
    let plan = made["plan"]["id"].as_str().unwrap();
    let step = async |step: &str, key: &str| {
        let because = json!({ "reason": "it is time" });
        machine.ask_as_operator("POST", &format!("/api/v1/plans/{plan}/{step}"), key, &because).await
    };
    assert_eq!(step("sing", "sing").await.0, 404);
    assert_eq!(step("resume", "too early").await.0, 409);
    assert_eq!(step("apply", "apply").await.0, 200);
    daemon.kill();
    Daemon::spawn_with(machine.folder.path(), &[("DLQ_FAILPOINT", "mid_plan")]).ended().await;
    let daemon = machine.daemon().await;
    eventually("some to be redriven", LIMIT, async || {
        machine.metric("dlq_redrive_total", "result=\"moved\"").await.filter(|moved| *moved > 50.0).map(drop)
    })
    .await;
    assert_eq!(step("pause", "pause").await.0, 200);
    daemon.kill();
    let _daemon = machine.daemon().await;
    let shown = eventually("the plan to be shown", LIMIT, async || machine.progress(plan).await).await;
    assert_eq!(shown["plan"]["state"], "paused");
    assert_eq!(step("resume", "resume").await.0, 200);
    let done = eventually("the plan to be done", LIMIT * at_scale(1, 20), async || {
        machine
            .progress(plan)
            .await
            .filter(|plan| plan["plan"]["state"] == "done" && plan["progress"]["states"] == json!([["resolved", jobs]]))
    });
    assert_eq!(done.await["progress"]["done"], json!(jobs));
    for id in &ids {
        assert_eq!(machine.runs(id).await, 2, "job {id}");
    }
    let (_, audit) = machine.ask_as_operator("GET", "/api/v1/audit", "", &Value::Null).await;
    let done: Vec<&str> = audit["audit"].as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(done, ["plan.resume", "plan.pause", "plan.apply", "plan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_plans_are_told_what_to_write() {
    let machine = Machine::start("operator_token_file: token\n").await;
    machine.fail(1, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    eventually("it to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= 1.0).map(drop)
    })
    .await;
    for (plan, status, expected) in [
        (json!({ "act": "sing", "reason": "x" }), 400, "act is \"sing\"; write one of redrive, park, discard"),
        (json!({ "act": "park", "reason": " " }), 400, "reason is needed"),
        (json!({ "act": "park", "reason": "x", "rate": "fast" }), 400, "rate is \"fast\"; write it like 20/s"),
        (json!({ "act": "park", "reason": "x", "stop_on_failures": "half" }), 400, "write it like 50%"),
        (json!({ "act": "park", "reason": "x", "filter": { "state": "sad" } }), 400, "state is \"sad\"; write one of"),
        (json!({ "act": "park", "reason": "x", "filter": { "quueue": "a" } }), 422, "unknown field"),
        (
            json!({ "act": "park", "reason": "x", "filter": { "message_re": "a(b" } }),
            422,
            "no regular expression: error: unclosed group",
        ),
        (json!({ "act": "park", "reason": "x", "filter": [null, null] }), 422, "filter: invalid type: sequence"),
        (json!({ "act": "park", "reason": "x", "max": 0 }), 400, "max is 0; write how many letters there may be"),
        (json!({ "act": "park", "reason": "x", "to": "slow" }), 400, "to is for redrive; park puts nothing anywhere"),
    ] {
        let (found, answer) = machine.ask_as_operator("POST", "/api/v1/plans", "key", &plan).await;
        assert!(
            found == status && answer.to_string().contains(&expected.replace('"', "\\\"")),
            "{plan}: {found} {answer}"
        );
    }
    let redrive = json!({ "act": "redrive", "reason": "x" });
    let (_, made) = machine.ask_as_operator("POST", "/api/v1/plans", "made", &redrive).await;
    assert_eq!(made["obstacle"], "nothing is redriven in mails: give it mode: act in the configuration");
    let path = format!("/api/v1/plans/{}/apply", made["plan"]["id"].as_str().unwrap());
    let (status, answer) = machine.ask_as_operator("POST", &path, "apply", &json!({ "reason": "x" })).await;
    assert!(
        status == 409 && answer.to_string().contains("nothing is redriven in mails: give it mode: act"),
        "{answer}"
    );
}
