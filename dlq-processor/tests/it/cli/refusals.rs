//! What is said to wrong questions.

use super::{ACTS, NO_ADDRESS};
use crate::daemon::machine::Machine;

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_exit_code_and_says_what_to_do() {
    let machine = Machine::start(ACTS).await;
    let nobody = machine.says(&["ls"]).await;
    assert_eq!(nobody.code, 69);
    assert!(
        nobody.errors.starts_with(&format!("dlq-processor: no dlq-processor at {}: ", machine.url())),
        "{}",
        nobody.errors
    );
    let late = machine.says(&["park", "abc", "--reason", "x", "--key", "k-7"]).await;
    assert!(late.code == 69 && late.errors.contains("--key k-7"), "{}", late.errors);

    machine.fail(1, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let letter = machine.listed(1).await.remove(0);
    let id = letter["id"].as_str().unwrap();
    std::fs::write(machine.folder.path().join("wrong"), "another-battery-staple").unwrap();
    let act = ["park", id, "--reason", "x"];
    for (arguments, token, code, expected) in [
        (&act[..], "wrong", 64, "give --token-file, or set DLQ_TOKEN"),
        (&act, "nothing", 64, "cannot read nothing"),
        (&act, "token", 1, "a letter that is parked cannot be asked to park"),
        (&["show", "abc"], "token", 1, "no such letter"),
        (&["show", "../plans"], "token", 64, "\"../plans\" is no id"),
        (&["park", id], "token", 64, "--reason <REASON>"),
        (&["park", id, "--reason", " "], "token", 64, "reason is needed"),
        (&["ls", "--state", "sad"], "token", 64, "state is \"sad\"; write one of observed"),
        (&["ls", "--failed-after", "noon"], "token", 64, "write it like 2026-01-31T12:00:00Z, or like 2h or 7d ago"),
        (&["redrive", "--reason", "x"], "token", 64, "name a letter, or say which with --queue"),
        (&["redrive", id, "--queue", "a", "--reason", "x"], "token", 64, "not both"),
        (&["plan", "make", "--act", "sing", "--reason", "x"], "token", 64, "[possible values: redrive, park, discard]"),
        (&["adopt", "--reason", "x"], "token", 1, "Whoever adopts them says that it is gone for good"),
        (&["adopt", "--reason", "x", "--yes"], "token", 64, "admin"),
        (&["policy", "reload", "--reason", "x"], "token", 64, "admin"),
    ] {
        let said = machine.says_with(arguments, &[("DLQ_TOKEN_FILE", token)]).await;
        assert!(said.code == code && said.errors.contains(expected), "{arguments:?}: {} {}", said.code, said.errors);
    }
}
