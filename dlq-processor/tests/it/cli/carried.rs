//! Letters that are exported, imported and discarded for good.

use std::os::unix::fs::PermissionsExt;

use dlq_processor::source::State;
use serde_json::{Value, json};

use super::{NO_ADDRESS, said};
use crate::daemon::machine::{Machine, QUEUE};

/// More than a line of 32 MiB can hold.
const LARGE_BYTES: usize = 20 << 20;
const ADMIN: &str =
    "queues: [{ queue: '*', mode: act }]\naccess: { tokens: [{ name: root, role: admin, token_file: token }] }\n";

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_exported_into_a_file_of_their_own_and_imported_once() {
    let machine = Machine::start(ADMIN).await;
    machine.fail(3, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    machine.listed(3).await;
    let export = ["export", "--raw", "--to", "letters.jsonl", "--class", "malformed", "--reason", "another machine"];
    let said = machine.says(&export).await;
    assert_eq!((said.code, said.errors.trim()), (0, "3 letters in letters.jsonl"));
    let path = machine.folder.path().join("letters.jsonl");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!machine.folder.path().join("letters.jsonl.part").exists());
    let lines = std::fs::read_to_string(&path).unwrap();
    assert!(lines.lines().count() == 4 && lines.ends_with("{\"end\":true,\"letters\":3}\n"), "{lines}");
    let refused = machine.says(&export).await;
    assert!(
        refused.code == 64 && refused.errors.contains("letters.jsonl is there already; name another"),
        "{}",
        refused.errors
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
    let shown = machine.says(&["export", "--state", "parked", "--reason", "look"]).await;
    let first: Value = serde_json::from_str(shown.output.lines().next().unwrap()).unwrap();
    assert!(shown.code == 0 && first["data"]["number"].is_u64() && first.get("data_base64").is_none(), "{first}");

    let other = Machine::start(ADMIN).await;
    let _other_daemon = other.daemon().await;
    other.listed(0).await;
    // Twice the same, and two that are wrong: more than one batch.
    let first = lines.lines().next().unwrap();
    let many = format!("{lines}hunter2\n{}{}\n", format!("{first}\n").repeat(600), first.replace("\"queue\"", "\"q\""));
    std::fs::write(other.folder.path().join("in.jsonl"), many).unwrap();
    let import = ["import", "in.jsonl", "--reason", "moved", "--key", "k-1"];
    let dry = other.says(&import).await;
    assert_eq!(dry.code, 1, "{}", dry.errors);
    assert_eq!(dry.json()["is_dry"], true);
    assert_eq!(other.listed(0).await, [Value::Null; 0]);
    let yes = [&import[..], &["--yes"]].concat();
    let done = other.says(&yes).await;
    let said = done.json();
    let counts = ["new", "back", "here", "refused"].map(|what| said[what].as_u64().unwrap());
    assert_eq!((done.code, counts), (1, [3, 0, 600, 2]), "{said}");
    assert_eq!(said["lines"][0], json!({ "line": 5, "why": "it is not JSON (column 1)" }));
    assert_eq!(said["lines"][1]["line"], 606, "{said}");
    assert_eq!(other.says(&yes).await.json()["new"], 0, "once for each key");
    let letters = other.listed(3).await;
    assert!(letters.iter().all(|it| it["state"] == "parked" && it["reason"] == "imported"), "{letters:?}");
    std::fs::write(other.folder.path().join("in.jsonl"), &lines).unwrap();
    let here = other.says(&["import", "in.jsonl", "--reason", "moved"]).await;
    assert_eq!((here.code, &here.json()["here"]), (0, &json!(3)));
    let nothing = other.says(&["import", "nothing.jsonl", "--reason", "moved"]).await;
    assert!(nothing.code == 64 && nothing.errors.contains("nothing.jsonl: No such file"), "{}", nothing.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_many_mebibytes_is_carried_as_any_other_and_redriven_there() {
    let (one, other) = tokio::join!(Machine::start(ADMIN), Machine::start(ADMIN));
    let held = json!({ "large": "0123456789abcdef".repeat(LARGE_BYTES / 16) });
    one.does(json!({ "throws": NO_ADDRESS })).await;
    one.work().await;
    let id = one.bull.add(QUEUE, json!({ "name": "job", "data": held })).await;
    let _first = one.daemon().await;
    one.listed(1).await;
    let bytes = one.bull.field(QUEUE, &id, "data").await.unwrap();
    assert!(bytes.len() > LARGE_BYTES);
    let said = one.says(&["export", "--raw", "--to", "letters.jsonl", "--reason", "another machine"]).await;
    assert_eq!((said.code, said.errors.trim()), (0, "1 letter in letters.jsonl"));

    other.work().await;
    let _second = other.daemon().await;
    other.listed(0).await;
    let line = std::fs::read(one.folder.path().join("letters.jsonl")).unwrap();
    // Beside shorter ones, and wrong ones.
    std::fs::write(other.folder.path().join("in.jsonl"), [b"wrong\n", &line[..], b"wrong\n"].concat()).unwrap();
    let done = other.says(&["import", "in.jsonl", "--reason", "moved", "--yes"]).await;
    let said = done.json();
    let lines: Vec<&Value> = said["lines"].as_array().unwrap().iter().map(|line| &line["line"]).collect();
    assert_eq!((done.code, &said["new"], lines), (1, &json!(1), vec![&json!(1), &json!(4)]), "{said}");
    let letter = other.listed(1).await.remove(0);
    other.redrive(letter["id"].as_str().unwrap(), "it was mended").await;
    other.bull.is(QUEUE, &id, State::Completed).await;
    assert!(other.bull.field(QUEUE, &id, "data").await.unwrap() == bytes, "byte for byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_stopped_leaves_nothing_and_what_one_left_that_was_killed_is_named() {
    let machine = Machine::start(ADMIN).await;
    let part = machine.folder.path().join("letters.jsonl.part");
    let export = ["export", "--to", "letters.jsonl", "--reason", "another machine"];
    // A daemon that never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for signal in ["INT", "TERM"] {
        let child = machine.start_command(&export, &[("DLQ_URL", &url)]);
        let asked = silent.accept().await.unwrap();
        assert!(part.exists());
        let id = child.id().unwrap().to_string();
        let sent = tokio::process::Command::new("kill").args([&format!("-{signal}"), &id]).status().await.unwrap();
        assert!(sent.success());
        let said = said(child).await;
        let why = "dlq-processor: the export was stopped; letters.jsonl was not written";
        assert_eq!((said.code, said.errors.trim()), (1, why), "{signal}");
        assert!(!part.exists(), "{signal}");
        drop(asked);
    }
    std::fs::write(&part, "").unwrap();
    let said = machine.says(&export).await;
    let why = "if none is, remove letters.jsonl.part";
    assert!(said.code == 64 && said.errors.contains(why) && part.exists(), "{}", said.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_removed_for_good_is_said_before_it_is_done() {
    let machine = Machine::start(ADMIN).await;
    machine.fail(1, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    let letter = machine.listed(1).await.remove(0);
    let id = letter["id"].as_str().unwrap();
    let hard = ["discard", id, "--hard", "--reason", "she wants to be forgotten"];
    let said = machine.says(&hard).await;
    let answer = said.json();
    assert_eq!((said.code, &answer["is_dry"], &answer["letter"]["state"]), (0, &json!(true), &json!("parked")));
    assert!(answer["note"].as_str().unwrap().contains("it can never be redriven"), "{answer}");
    assert_eq!(machine.says(&["discard", id, "--yes", "--reason", "x"]).await.code, 64, "--yes is for --hard");
    assert_eq!(machine.says(&["show", id]).await.json()["data"], json!({ "number": 0 }));
    let done = machine.says(&[&hard[..], &["--yes", "--key", "k-1"]].concat()).await;
    assert_eq!((done.code, &done.json()["letter"]["reason"]), (0, &json!("removed")), "{}", done.errors);
    let refused = machine.says(&["redrive", id, "--reason", "x"]).await;
    assert!(
        refused.code == 1 && refused.errors.contains("discarded for good, with all that its job held,"),
        "{}",
        refused.errors
    );
    let shown = machine.says(&["show", id]).await.json();
    assert_eq!((&shown["data"], &shown["audit"][0]["what"]), (&json!(""), &json!("discard.hard")));
}
