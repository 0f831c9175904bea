//! A policy tried out on letters that there are.

use serde_json::{Value, json};

use super::{ACTS, NO_ADDRESS};
use crate::asking::ask_with;
use crate::daemon::machine::Machine;

/// Status and answer of the same over HTTP, for whoever may read.
async fn simulate(machine: &Machine, query: &str, policy: &str) -> (u16, Value) {
    let request = machine.request("POST", &format!("/api/v1/policy/simulate{query}"), &[]);
    let (status, answer) = ask_with(request, policy.to_owned()).await.unwrap();
    (status, serde_json::from_str(&answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_out_on_the_letters_that_there_are_and_changes_nothing() {
    let machine = Machine::start(ACTS).await;
    machine.fail(4, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let before = machine.listed(4).await;
    let same = machine.says(&["policy", "simulate", "--since", "1h"]).await.json();
    let unchanged = json!([{ "was": "park", "would_be": "park", "letters": 4, "examples": [] }]);
    assert_eq!((&same["actions"], &same["is_all"]), (&unchanged, &json!(true)));
    assert_eq!(simulate(&machine, "?since=1h", "").await, (200, same), "without one it is the policy that decides");

    let new = "sources: {}\nrules: [{ id: soon, when: { contains: [no address] }, class: transient }]\n";
    std::fs::write(machine.folder.path().join("new.yml"), new).unwrap();
    let command = ["policy", "simulate", "--since", "1h", "--config", "new.yml"];
    let changed = machine.says(&command).await.json();
    let change = &changed["actions"][0];
    assert_eq!(
        (&change["was"], &change["would_be"], &change["letters"]),
        (&json!("park"), &json!("redrive"), &json!(4)),
        "{changed}"
    );
    assert_eq!(change["examples"].as_array().unwrap().len(), 3);
    assert_eq!(simulate(&machine, "", new).await, (200, changed), "the same of the last week");
    assert_eq!(simulate(&machine, "?since=2099-01-01T00:00:00Z", new).await.1["actions"], json!([]));
    for (query, policy, status, why) in [
        ("?since=soon", new, 400, "since: \"soon\" is no time; write it like"),
        ("?until=1h", new, 400, "unknown field `until`"),
        ("", "max_age: soon", 422, "policy:1:10: max_age: \"soon\" is not a duration"),
        ("", "rules: [{ id: '${HOME}', when: {}, class: auth }]", 422, "variables are not read here"),
    ] {
        let (answered, answer) = simulate(&machine, query, policy).await;
        assert!(answered == status && answer["error"].as_str().unwrap().contains(why), "{answered} {answer}");
    }
    assert_eq!(machine.listed(4).await, before);

    let id = before[0]["id"].as_str().unwrap();
    assert_eq!(machine.says(&["quarantine", id, "--reason", "it looks odd"]).await.code, 0);
    assert_eq!(machine.says(&command).await.json()["said_by_people"], 1);
    assert_eq!(simulate(&machine, "", new).await.1["said_by_people"], 1);
    let bad = machine.says_with(&["policy", "simulate"], &[("DLQ_RATE", "fast")]).await;
    assert!(bad.code == 78 && bad.errors.contains("\"fast\" is not a rate"), "{} {}", bad.code, bad.errors);
}
