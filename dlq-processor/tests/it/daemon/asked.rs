//! What people see and do over the API.

use serde_json::{Value, json};
use testkit::{Target, eventually};

use super::machine::{LIMIT, Machine, QUEUE, TOKEN};

const CONFIG: &str = "queues: [{ queue: '*', mode: act }]\noperator_token_file: token\n";

async fn status(machine: &Machine, id: &str, act: &str, headers: &[(&str, &str)]) -> u16 {
    let request = machine.request("POST", &format!("/api/v1/letters/{id}/{act}"), headers);
    machine.ask(request, &json!({ "reason": "it was mended" })).await.unwrap().0
}

/// What an operator shows.
fn token() -> String {
    format!("Bearer {TOKEN}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_redrives_a_letter_once_for_each_key_and_that_is_written_down() {
    let machine = Machine::start(CONFIG).await;
    let ids = machine.fail(3, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    let letters = eventually("all to be taken in", LIMIT, async || {
        let page: Value = serde_json::from_str(&machine.get("/api/v1/letters?class=malformed").await?).unwrap();
        page["letters"].as_array().filter(|letters| letters.len() == 3).cloned()
    });
    let letters = letters.await;
    assert!(letters.iter().all(|it| it["state"] == "parked" && it["rule"] == "bad-data"), "{letters:?}");
    let letter = letters.iter().find(|it| it["job"] == json!(ids[0])).unwrap();
    let id = letter["id"].as_str().unwrap();
    machine.does(json!({})).await;

    let (token, key) = (token(), ("idempotency-key", "a-1"));
    let token = ("authorization", token.as_str());
    assert_eq!(status(&machine, id, "redrive", &[key]).await, 401);
    assert_eq!(status(&machine, id, "redrive", &[("authorization", "Bearer wrong"), key]).await, 401);
    assert_eq!(status(&machine, id, "redrive", &[token]).await, 400, "without a key");
    assert_eq!(status(&machine, id, "sing", &[token, key]).await, 404);
    assert_eq!(status(&machine, "nothing", "redrive", &[token, key]).await, 404);
    assert_eq!(status(&machine, id, "release", &[token, key]).await, 409, "it is not in quarantine");
    for _again in 0..2 {
        assert_eq!(status(&machine, id, "redrive", &[token, key]).await, 200);
    }
    assert_eq!(status(&machine, id, "park", &[token, key]).await, 409, "the key is taken");
    let path = format!("/api/v1/letters/{id}");
    let answer = eventually("the letter to be resolved", LIMIT, async || {
        let answer: Value = serde_json::from_str(&machine.get(&path).await?).unwrap();
        (answer["letter"]["state"] == "resolved").then_some(answer)
    });
    let answer = answer.await;
    assert_eq!(machine.runs(&ids[0]).await, 2);
    assert!(
        answer["data"].is_null() && answer["audit"].is_null(),
        "payloads and the audit are for operators: {answer}"
    );
    let (_, shown) = machine.ask(machine.request("GET", &path, &[token]), &Value::Null).await.unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["data"], json!({ "number": 0 }));
    assert_eq!(shown["audit"].as_array().unwrap().len(), 1, "{shown}");
    let entry = &shown["audit"][0];
    assert_eq!(
        [&entry["who"], &entry["what"], &entry["why"]],
        [&json!("operator"), &json!("redrive"), &json!("it was mended")]
    );
    for id in &ids[1..] {
        assert_eq!(machine.runs(id).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_told_what_to_ask() {
    let machine = Machine::start("operator_token_file: token\n").await;
    let _daemon = machine.daemon().await;
    eventually("the ledger to be open", LIMIT, async || machine.get("/api/v1/letters").await).await;
    for (path, expected) in [
        ("/api/v1/letters?state=lost", "state is \\\"lost\\\"; write one of observed, scheduled"),
        ("/api/v1/letters?class=bad", "class is \\\"bad\\\"; write one of transient"),
        ("/api/v1/letters?limit=0", "limit is 0; write 1 to 500"),
        ("/api/v1/letters?quee=a", "unknown field `quee`"),
    ] {
        let (status, body) = machine.ask(machine.request("GET", path, &[]), &Value::Null).await.unwrap();
        assert!(status == 400 && body.contains(expected), "{path}: {status} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_is_told_once_of_failures_that_are_alike_and_that_they_are_over() {
    let monitor = Target::ok("");
    let config = format!("operator_token_file: token\nmonitor: {{ url: \"{}\" }}\n", monitor.url(""));
    let machine = Machine::start(&config).await;
    machine.fail(3, "ValidationError: no address").await;
    let daemon = machine.daemon().await;
    let posted = |is_wanted: fn(&Value) -> bool| {
        let alerts = monitor
            .requests()
            .into_iter()
            .filter_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).ok());
        alerts.flatten().find(is_wanted)
    };
    let fired = eventually("the monitor to be told", LIMIT, async || {
        posted(|alert| alert["annotations"]["summary"].as_str().is_some_and(|it| it.starts_with("3 dead letters wait")))
    });
    let fired = fired.await;
    let labels = &fired["labels"];
    assert_eq!([&labels["alertname"], &labels["severity"], &labels["service"]], ["DeadLetters", "ticket", "mails"]);
    let page = fired["generatorURL"].as_str().unwrap();
    let all = format!("{page}letters?fingerprint={}", labels["fingerprint"].as_str().unwrap());
    let said = fired["annotations"]["description"].as_str().unwrap();
    let ids: Vec<String> = machine.letters().await.into_iter().map(|letter| letter.id).collect();
    let shown = ids.iter().filter(|id| said.contains(&format!("dlq-processor show {id} "))).count();
    assert!(said.ends_with(&format!(" · {all}")) && shown == 2, "{said}");
    let (answered, listed) = machine.ask(http::Request::get(all), &Value::Null).await.unwrap();
    assert!(answered == 200 && ids.iter().all(|id| listed.contains(&format!("/letters/{id}"))), "{listed}");
    // Whoever comes after it knows what was told.
    daemon.kill();
    let _daemon = machine.daemon().await;
    eventually("the ledger to be open", LIMIT, async || machine.get("/api/v1/letters").await).await;
    for (number, letter) in machine.letters().await.iter().enumerate() {
        let headers = [("authorization", &*token()), ("idempotency-key", &*number.to_string())];
        assert_eq!(status(&machine, &letter.id, "discard", &headers).await, 200);
    }
    eventually("the monitor to be told that it is over", LIMIT, async || posted(|alert| !alert["endsAt"].is_null()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_queue_has_thrown_away_is_made_anew_when_somebody_asks() {
    let machine = Machine::start(CONFIG).await;
    let ids = machine.fail(1, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    eventually("it to be taken in", LIMIT, async || {
        machine.metric("dlq_captured_total", "").await.filter(|taken| *taken >= 1.0).map(drop)
    })
    .await;
    let id = &ids[0];
    machine.bull.query::<()>(redis::cmd("ZREM").arg(format!("bull:{QUEUE}:failed")).arg(id)).await;
    machine.bull.query::<()>(redis::cmd("DEL").arg(format!("bull:{QUEUE}:{id}"))).await;
    machine.does(json!({})).await;
    let letter = machine.letters().await.remove(0);
    let headers = [("authorization", &*token()), ("idempotency-key", "1")];
    assert_eq!(status(&machine, &letter.id, "redrive", &headers).await, 200);
    eventually("it to be done", LIMIT, async || (machine.runs(id).await == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_opens_and_closes_breakers_and_sees_what_is_held_back() {
    let config = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\noperator_token_file: token\n";
    let machine = Machine::start(config).await;
    // A queue that is there at the start need not be found.
    machine.fail(0, "").await;
    let _daemon = machine.daemon().await;
    let queues = async || -> Option<Value> {
        let queues: Value = serde_json::from_str(&machine.get("/api/v1/queues").await?).unwrap();
        (queues["acts"] == true).then_some(queues)
    };
    eventually("it to act", LIMIT, queues).await;
    let token = token();
    let set = async |state: &str, source: &str| {
        let wanted =
            json!({ "source": source, "queue": QUEUE, "name": "job", "state": state, "reason": "maintenance" });
        let headers = [("authorization", token.as_str()), ("idempotency-key", state)];
        machine.ask(machine.request("POST", "/api/v1/breakers", &headers), &wanted).await.unwrap()
    };
    assert_eq!(set("ajar", "jobs").await.0, 400);
    assert_eq!(set("open", "nothing").await.0, 404);
    assert_eq!(set("open", "jobs").await.0, 200);
    let ids = machine.fail(1, "connect ECONNREFUSED 127.0.0.1:25").await;
    eventually("it to be taken in", LIMIT, async || machine.letters().await.pop()).await;
    machine.does(json!({})).await;
    let breaker = &queues().await.unwrap()["sources"][0]["queues"][QUEUE]["breakers"][0];
    assert_eq!((&breaker["name"], &breaker["state"]), (&json!("job"), &json!("open")));
    assert_eq!(machine.runs(&ids[0]).await, 1);
    assert_eq!(set("closed", "jobs").await.0, 200);
    eventually("it to be redriven", LIMIT, async || (machine.runs(&ids[0]).await == 2).then_some(())).await;
}
