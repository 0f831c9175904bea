//! A policy tried out on letters that there are.

use serde_json::json;

use super::{ACTS, NO_ADDRESS};
use crate::daemon::machine::Machine;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_out_on_the_letters_that_there_are_and_changes_nothing() {
    let machine = Machine::start(ACTS).await;
    machine.fail(4, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let before = machine.listed(4).await;
    let same = machine.says(&["policy", "simulate", "--since", "1h"]).await.json();
    let unchanged = json!([{ "was": "park", "would_be": "park", "letters": 4, "examples": [] }]);
    assert_eq!((&same["actions"], &same["is_all"]), (&unchanged, &json!(true)));

    let new = "sources: {}\nrules: [{ id: soon, when: { contains: [no address] }, class: transient }]\n";
    std::fs::write(machine.folder.path().join("new.yml"), new).unwrap();
    let simulate = ["policy", "simulate", "--since", "1h", "--config", "new.yml"];
    let changed = machine.says(&simulate).await.json();
    let change = &changed["actions"][0];
    assert_eq!(
        (&change["was"], &change["would_be"], &change["letters"]),
        (&json!("park"), &json!("redrive"), &json!(4)),
        "{changed}"
    );
    assert_eq!(change["examples"].as_array().unwrap().len(), 3);
    assert_eq!(machine.listed(4).await, before);

    let id = before[0]["id"].as_str().unwrap();
    assert_eq!(machine.says(&["quarantine", id, "--reason", "it looks odd"]).await.code, 0);
    assert_eq!(machine.says(&simulate).await.json()["said_by_people"], 1);
    let bad = machine.says_with(&["policy", "simulate"], &[("DLQ_RATE", "fast")]).await;
    assert!(bad.code == 78 && bad.errors.contains("\"fast\" is not a rate"), "{} {}", bad.code, bad.errors);
}
