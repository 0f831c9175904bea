//! A look at everything that somebody asks for.

use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{LIMIT, Machine, QUEUE};

const CONFIG: &str = "queues: [{ queue: '*', mode: act }]\noperator_token_file: token\n";

impl Machine {
    async fn reconcile(&self, key: &str, body: Value) -> (u16, Value) {
        self.ask_as_operator("POST", "/api/v1/reconcile", key, &body).await
    }

    /// Has a job have failed long ago that no queue told of.
    async fn seed(&self, job: &str) {
        let mut asked = redis::cmd("HSET");
        asked.arg(format!("bull:{QUEUE}:{job}")).arg("name").arg("job").arg("data").arg("{}").arg("opts").arg("{}");
        asked.arg("timestamp").arg(5).arg("finishedOn").arg(10).arg("failedReason").arg("ValidationError: no address");
        self.bull.query::<i64>(&asked).await;
        self.bull.query::<i64>(redis::cmd("ZADD").arg(format!("bull:{QUEUE}:failed")).arg(10).arg(job)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_listed_out_of_its_order_is_found_when_somebody_asks_and_orphans_are_named() {
    let machine = Machine::start(CONFIG).await;
    machine.fail(1, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    eventually("it to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= 1.0).map(drop)
    })
    .await;
    machine.seed("old").await;
    let mut orphan = redis::cmd("HSET");
    orphan.arg(format!("bull:{QUEUE}:stray")).arg("name").arg("job").arg("timestamp").arg(5);
    machine.bull.query::<i64>(&orphan).await;

    assert_eq!(machine.reconcile("1", json!({ "reason": " " })).await.0, 400);
    assert_eq!(machine.reconcile("1", json!({ "reason": "x", "source": "nothing" })).await.0, 404);
    assert_eq!(machine.reconcile("1", json!({ "reason": "x", "look": i64::MAX })).await.0, 400);
    let (status, answer) = machine.reconcile("1", json!({ "reason": "it was restored", "source": "jobs" })).await;
    let source = &answer["sources"][0];
    assert!(status == 200 && answer["is_done"] == true && source["is_done"] == true, "{answer}");
    assert_eq!([&source["taken_in"], &source["missed"], &source["lost"]], [1, 0, 0].map(|it| json!(it)).each_ref());
    let orphans = json!([{ "queue": QUEUE, "count": 1, "jobs": ["stray"], "is_all": true }]);
    assert_eq!(source["orphans"], orphans, "{answer}");
    let letters = machine.letters().await;
    assert!(letters.iter().any(|letter| letter.job == "old"), "{letters:?}");
    // Whoever asks for the same look waits for nothing more, and has nothing sought once more.
    let mut second = redis::cmd("HSET");
    second.arg(format!("bull:{QUEUE}:stray-2")).arg("name").arg("job").arg("timestamp").arg(5);
    machine.bull.query::<i64>(&second).await;
    let again = json!({ "reason": "it was restored", "look": answer["look"] });
    let (status, again) = machine.reconcile("2", again).await;
    assert_eq!((status, &again["look"], &again["sources"][0]["taken_in"]), (200, &answer["look"], &json!(1)));
    assert_eq!(again["sources"][0]["orphans"], orphans, "{again}");
    let (_, later) = machine.reconcile("3", json!({ "reason": "to be sure" })).await;
    assert_eq!((&later["is_done"], &later["sources"][0]["taken_in"]), (&json!(true), &json!(0)), "{later}");
    assert_eq!(later["sources"][0]["orphans"][0]["count"], 2, "{later}");
    let (_, audit) = machine.ask_as_operator("GET", "/api/v1/audit", "", &Value::Null).await;
    let done: Vec<_> = audit["audit"].as_array().unwrap().iter().map(|it| (&it["letter"], &it["why"])).collect();
    let expected = [["all sources", "to be sure"], ["jobs", "it was restored"]].map(|it| it.map(|it| json!(it)));
    assert_eq!(done, expected.each_ref().map(|[of, why]| (of, why)), "once for each look: {audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_ends_while_a_redriven_job_runs_and_after_it_was_done() {
    let machine = Machine::start(CONFIG).await;
    let ids = machine.fail(1, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    eventually("it to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= 1.0).map(drop)
    })
    .await;
    machine.does(json!({ "waits": true })).await;
    let letter = machine.letters().await.remove(0).id;
    machine.redrive(&letter, "it was mended").await;
    eventually("it to run", LIMIT, async || (machine.runs(&ids[0]).await == 2).then_some(())).await;
    let (status, answer) = machine.reconcile("1", json!({ "reason": "x" })).await;
    assert_eq!((status, &answer["sources"][0]["ended"]), (200, &json!(0)), "it runs: {answer}");
    machine.bull.query::<i64>(redis::cmd("LPUSH").arg(format!("go:{QUEUE}:job")).arg(1)).await;
    eventually("it to be resolved", LIMIT, async || {
        (machine.letters().await.remove(0).state == "resolved").then_some(())
    })
    .await;
    let (_, answer) = machine.reconcile("2", json!({ "reason": "x" })).await;
    assert_eq!((&answer["is_done"], &answer["sources"][0]["trouble"]), (&json!(true), &Value::Null), "{answer}");
}
