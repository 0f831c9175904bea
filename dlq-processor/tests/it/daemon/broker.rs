//! The daemon beside a broker.

use std::path::Path;

use lapin::BasicProperties;
use serde_json::{Value, json};
use testkit::{eventually, free_port};

use super::machine::{Daemon, LIMIT, TOKEN};
use crate::asking;
use crate::rabbit::{Broker, text};

async fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &Value) -> Option<(u16, Value)> {
    let request = http::Request::builder().method(method).uri(url);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let (status, body) = asking::ask(request, body).await?;
    Some((status, serde_json::from_str(&body).unwrap_or_default()))
}

/// Writes the configuration of a daemon that acts beside a broker.
fn configure(folder: &Path, port: u16, broker: &Broker) {
    let config = format!(
        "listen: 127.0.0.1:{port}\ndata_dir: data\noperator_token_file: token\n\
        sources: {{ broker: {{ rabbitmq: {{ url: '{}', dead_letter_queues: [orders.dlq] }} }} }}\n\
        queues: [{{ queue: '*', mode: act }}]\n",
        broker.rabbit.url()
    );
    std::fs::write(folder.join("dlq-processor.yml"), config).unwrap();
    std::fs::write(folder.join("token"), TOKEN).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_message_is_taken_out_of_its_queue_and_put_back_when_somebody_asks() {
    let (broker, folder, port) = (Broker::start().await, tempfile::tempdir().unwrap(), free_port());
    configure(folder.path(), port, &broker);
    let properties = BasicProperties::default().with_message_id("o-1".into()).with_delivery_mode(2);
    broker.publish("shop", "order.placed", properties, "{\"order\":1}").await;
    broker.reject("orders").await;
    let _daemon = Daemon::spawn(folder.path());
    let at = |path: &str| format!("http://127.0.0.1:{port}/api/v1/letters{path}");
    let letter = eventually("the message to be taken in", LIMIT, async || {
        let (_, page) = ask("GET", &at(""), &[], &Value::Null).await?;
        page["letters"].get(0).cloned()
    });
    let letter = letter.await;
    assert_eq!([&letter["queue"], &letter["state"]], [&json!("orders.dlq"), &json!("parked")], "{letter}");
    broker.wait_for_ready("orders.dlq", 0).await;

    let (id, token) = (letter["id"].as_str().unwrap(), format!("Bearer {TOKEN}"));
    let headers = [("authorization", token.as_str()), ("idempotency-key", "1")];
    let patch = json!({ "patch": [{ "op": "remove", "path": "/order" }], "reason": "it was wrong" });
    let (status, refused) = ask("POST", &at(&format!("/{id}/edit")), &headers, &patch).await.unwrap();
    assert!(
        status == 409 && refused["error"].as_str().unwrap().starts_with("jobs of broker cannot be edited"),
        "{refused}"
    );
    let asked = ask("POST", &at(&format!("/{id}/redrive")), &headers, &json!({ "reason": "it was mended" })).await;
    assert_eq!(asked.unwrap().0, 200);
    let back = broker.take("orders").await;
    assert_eq!((back.routing_key.as_str(), back.data.as_slice()), ("order.placed", b"{\"order\":1}".as_slice()));
    let headers = back.properties.headers().clone().unwrap();
    assert_eq!(
        headers.inner().get("x-redrive-of"),
        Some(&text(letter["job"].as_str().unwrap().trim_end_matches("@orders")))
    );
    let state = async || {
        ask("GET", &at(&format!("/{id}")), &[], &Value::Null).await.map(|(_, it)| it["letter"]["state"].clone())
    };
    eventually("the letter to be redriven", LIMIT, async || state().await.filter(|state| *state == "redriven")).await;

    // It dies again: the first letter ends with that, and a second one is there.
    back.nack(lapin::options::BasicNackOptions { requeue: false, multiple: false }).await.unwrap();
    eventually("the letter to have failed again", LIMIT, async || state().await.filter(|state| *state == "recurred"))
        .await;
    let (_, page) = ask("GET", &at(""), &[], &Value::Null).await.unwrap();
    let jobs: Vec<&Value> = page["letters"].as_array().unwrap().iter().map(|letter| &letter["job"]).collect();
    assert_eq!(jobs, [&letter["job"]; 2]);
    broker.wait_for_ready("orders.dlq", 0).await;
}

/// Asks until power is cut, perhaps before there is an answer: who asks again under a key asks the same.
async fn ask_and_cut(folder: &Path, place: &str, url: &str, key: &str) {
    let mut daemon = Daemon::spawn_with(folder, &[("DLQ_FAILPOINT", place)]);
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str()), ("idempotency-key", key)];
    eventually("power to be cut", LIMIT, async || {
        let _status = ask("POST", url, &headers, &json!({ "reason": "it was mended" })).await;
        (!daemon.runs()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_power_is_cut_a_dead_message_is_not_lost_and_never_put_back_twice_without_being_asked() {
    let (broker, folder, port) = (Broker::start().await, tempfile::tempdir().unwrap(), free_port());
    configure(folder.path(), port, &broker);
    let properties = BasicProperties::default().with_message_id("o-1".into()).with_delivery_mode(2);
    broker.publish("shop", "order.placed", properties, "{}").await;
    broker.reject("orders").await;
    // Nothing is taken out of the queue before the ledger has it.
    Daemon::spawn_with(folder.path(), &[("DLQ_FAILPOINT", "after_capture_commit")]).ended().await;
    broker.wait_for_ready("orders.dlq", 1).await;
    let daemon = Daemon::spawn(folder.path());
    broker.wait_for_ready("orders.dlq", 0).await;
    let at = |path: &str| format!("http://127.0.0.1:{port}/api/v1/letters{path}");
    let letters = async || ask("GET", &at(""), &[], &Value::Null).await?.1["letters"].as_array().cloned();
    let found = eventually("the letter", LIMIT, letters).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let redrive = at(&format!("/{}/redrive", found[0]["id"].as_str().unwrap()));
    daemon.kill();

    // A broker remembers no order: whether it was carried out nobody knows, and a person decides.
    for (place, copies) in [("after_intent", 0), ("after_lua", 1)] {
        ask_and_cut(folder.path(), place, &redrive, place).await;
        broker.wait_for_ready("orders", copies).await;
        let daemon = Daemon::spawn(folder.path());
        eventually("it to be left to somebody", LIMIT, async || {
            letters().await.filter(|found| found[0]["state"] == "uncertain").map(drop)
        })
        .await;
        assert_eq!(broker.ready("orders").await, copies, "{place}");
        daemon.kill();
    }
    // What the ledger knows to be done is followed and not done again.
    ask_and_cut(folder.path(), "after_redriven", &redrive, "after_redriven").await;
    broker.wait_for_ready("orders", 2).await;
    let _daemon = Daemon::spawn(folder.path());
    eventually("it to be followed", LIMIT, async || {
        letters().await.filter(|found| found[0]["state"] == "redriven").map(drop)
    })
    .await;
    assert_eq!((broker.ready("orders").await, broker.ready("orders.dlq").await), (2, 0), "as often as somebody asked");
}
