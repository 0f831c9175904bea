//! Letters, one at a time.

use serde_json::{Value, json};
use testkit::eventually;

use super::{ACTS, NO_ADDRESS};
use crate::daemon::machine::{LIMIT, Machine, QUEUE};

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_counted_shown_and_redriven_once_for_each_key() {
    let machine = Machine::start(ACTS).await;
    let ids = machine.fail(3, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let letters = machine.listed(3).await;
    let letter = letters.iter().find(|letter| letter["job"] == json!(ids[0])).unwrap();
    let id = letter["id"].as_str().unwrap();
    assert_eq!((&letter["attempts"], &letter["stalls"]), (&json!(1), &json!(0)), "{letter}");

    let filter = ["ls", "--queue", QUEUE, "--class", "malformed", "--message", "NO ADDRESS", "--failed-after", "2h"];
    let page = machine.says(&[&filter[..], &["--limit", "2"]].concat()).await.json();
    assert_eq!(page["letters"].as_array().unwrap().len(), 2);
    assert!(page["next"].is_i64(), "{page}");
    let none = machine.says(&["ls", "--failed-before", "2026-01-31T12:00:00Z", "--state", "parked"]).await;
    assert_eq!((none.code, none.json()), (0, json!({ "letters": [], "next": null })));

    let stats = machine.says(&["stats"]).await.json();
    let numbers = &stats["numbers"][0];
    assert_eq!(
        (&numbers["state"], &numbers["class"], &numbers["letters"]),
        (&json!("parked"), &json!("malformed"), &json!(3))
    );
    let alike = machine.says(&["fingerprints"]).await.json()["fingerprints"][0].clone();
    assert_eq!((&alike["count"], &alike["waiting"], &alike["message"]), (&json!(3), &json!(3), &json!(NO_ADDRESS)));
    assert_eq!(alike["fingerprint"], letter["fingerprint"]);

    machine.does(json!({})).await;
    let redrive = ["redrive", id, "--reason", "it was mended", "--key", "k-1"];
    for _again in 0..2 {
        let said = machine.says(&redrive).await;
        assert_eq!((said.code, &said.json()["key"]), (0, &json!("k-1")), "{}", said.errors);
    }
    let shown = eventually("the letter to be resolved", LIMIT, async || {
        let shown = machine.says(&["show", id]).await.json();
        (shown["letter"]["state"] == "resolved").then_some(shown)
    });
    let shown = shown.await;
    assert_eq!((machine.runs(&ids[0]).await, machine.runs(&ids[1]).await), (2, 1));
    assert_eq!((&shown["data"], &shown["audit"][0]["why"]), (&json!({ "number": 0 }), &json!("it was mended")));
    assert!(shown["letter"]["stack"].as_str().unwrap().contains(NO_ADDRESS), "{shown}");
    let audit: Value = machine.says(&["audit"]).await.json();
    assert_eq!((&audit["audit"][0]["what"], &audit["audit"][0]["letter"]), (&json!("redrive"), &json!(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_edited_shown_before_and_after_and_put_into_another_queue() {
    let machine = Machine::start(ACTS).await;
    machine.bull.work("slow").await;
    machine.fail(1, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let letter = machine.listed(1).await.remove(0);
    let id = letter["id"].as_str().unwrap();
    let write = |patch: Value| std::fs::write(machine.folder.path().join("patch.json"), patch.to_string()).unwrap();
    write(json!([{ "op": "test", "path": "/number", "value": 9 }]));
    let edit = ["edit", id, "--patch", "patch.json", "--reason", "it was wrong"];
    let refused = machine.says(&edit).await;
    let expected = "operation 1 (test \"/number\"): value did not match";
    assert!(refused.code == 64 && refused.errors.contains(expected), "{}: {}", refused.code, refused.errors);
    write(json!([{ "op": "replace", "path": "/number", "value": 7 }]));
    let edited = machine.says(&edit).await.json();
    assert_eq!(edited["edit"]["data"], json!({ "number": 7 }), "{edited}");
    let shown = machine.says(&["show", id]).await.json();
    assert_eq!((&shown["data"], &shown["edit"]["data"]), (&json!({ "number": 0 }), &json!({ "number": 7 })));
    let removed = machine.says(&["edit", id, "--remove", "--reason", "never mind"]).await.json();
    assert_eq!(removed["edit"], Value::Null);
    assert_eq!(machine.says(&edit).await.code, 0);
    let said = machine.says(&["redrive", id, "--to", "slow", "--reason", "it takes too long"]).await;
    assert_eq!(said.code, 0, "{}", said.errors);
    let shown = eventually("the letter to be resolved", LIMIT, async || {
        let shown = machine.says(&["show", id]).await.json();
        (shown["letter"]["state"] == "resolved").then_some(shown)
    });
    let shown = shown.await;
    assert_eq!(shown["letter"]["to_queue"], "slow");
    let runs = machine.bull.runs("slow", shown["letter"]["new_job"].as_str().unwrap()).await;
    assert_eq!(runs, [json!({ "name": "job", "data": { "number": 7 } })]);
}
