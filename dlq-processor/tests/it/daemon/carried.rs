//! Letters that are carried from one daemon to another, and such as are discarded for good.

use data_encoding::BASE64;
use dlq_processor::source::State;
use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{LIMIT, Machine, QUEUE, TOKEN};
use crate::asking::ask_with;

const ADMIN: &str =
    "queues: [{ queue: '*', mode: act }]\naccess: { tokens: [{ name: root, role: admin, token_file: token }] }\n";
const OPERATOR: &str = "queues: [{ queue: '*', mode: act }]\noperator_token_file: token\n";
const NO_ADDRESS: &str = "ValidationError: no address";

impl Machine {
    /// The lines of an export, without what says that they are all.
    async fn exported(&self, query: &str) -> Vec<Value> {
        let (status, body) = self.ask_for_export(query).await;
        assert_eq!(status, 200, "{body}");
        let lines = body.lines().filter(|line| !line.is_empty());
        let mut lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let end = lines.pop().unwrap();
        assert_eq!(end, json!({ "end": true, "letters": lines.len() }));
        lines
    }

    async fn ask_for_export(&self, query: &str) -> (u16, String) {
        let token = format!("Bearer {TOKEN}");
        let request = self.request("GET", &format!("/api/v1/export?{query}"), &[("authorization", &token)]);
        self.ask(request, &Value::Null).await.unwrap()
    }

    pub(super) async fn import(&self, query: &str, key: &str, lines: &str) -> (u16, Value) {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str()), ("idempotency-key", key)];
        let request = self.request("POST", &format!("/api/v1/import?{query}"), &headers);
        let (status, answer) = ask_with(request, lines.to_owned()).await.unwrap();
        (status, serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    }

    async fn has(&self, letters: usize) {
        eventually("letters to be taken in", LIMIT, async || {
            self.get("/api/v1/letters").await?;
            (self.letters().await.len() == letters).then_some(())
        })
        .await;
    }
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_exported_byte_for_byte_imported_elsewhere_and_redriven_there_once() {
    let (one, other) = tokio::join!(Machine::start(ADMIN), Machine::start(ADMIN));
    let large = "é😀\u{0}x".repeat(150_000);
    let held = json!({ "to": "\u{0}😀", "apiKey": "k-123456789", "large": large });
    assert!(held.to_string().len() > 1 << 20);
    one.does(json!({ "throws": NO_ADDRESS })).await;
    one.work().await;
    let id = one.bull.add(QUEUE, json!({ "name": "job", "data": held })).await;
    let _first = one.daemon().await;
    one.has(1).await;
    let bytes = one.bull.field(QUEUE, &id, "data").await.unwrap();

    let lines = one.exported("reason=another+machine&raw=true").await;
    let line = &lines[0];
    assert_eq!(BASE64.decode(line["data_base64"].as_str().unwrap().as_bytes()).unwrap(), bytes);
    assert_eq!((&line["job"], &line["message"], &line["state"]), (&json!(id), &json!(NO_ADDRESS), &json!("parked")));
    let redacted = one.exported("reason=look&state=parked").await;
    assert_eq!((&redacted[0]["data"]["to"], redacted[0].get("kept_base64")), (&json!("\u{0}😀"), None));
    assert!(!text(&redacted).contains("k-123456789"), "secrets are hidden");
    assert_eq!(one.exported("reason=look&state=resolved").await, [Value::Null; 0]);
    let (_, nothing) = one.ask_for_export("reason=look&message_re=nobody+says+so").await;
    assert_eq!(nothing, "\n{\"end\":true,\"letters\":0}\n", "something comes also where nothing is wanted");
    let (_, audit) = one.ask_as_operator("GET", "/api/v1/audit", "", &Value::Null).await;
    let done: Vec<_> = audit["audit"].as_array().unwrap().iter().map(|it| (&it["what"], &it["why"])).collect();
    assert_eq!(done[3], (&json!("export.raw"), &json!("another machine")), "{audit}");

    other.work().await;
    let _second = other.daemon().await;
    other.has(0).await;
    let lines = text(&lines);
    let (status, refused) = other.import("reason=x", "r", &text(&redacted)).await;
    let why = "what it held is hidden in it; export it with --raw";
    assert_eq!((status, &refused["refused"]), (200, &json!([{ "line": 1, "why": why }])));
    for (query, key, expected) in [
        ("reason=moved&dry=true", "a", json!({ "new": 1, "back": 0, "here": 0, "refused": [], "is_dry": true })),
        ("reason=moved", "a", json!({ "new": 1, "back": 0, "here": 0, "refused": [], "is_dry": false })),
        ("reason=moved", "a", json!({ "new": 0, "back": 0, "here": 1, "refused": [], "is_dry": false })),
    ] {
        assert_eq!(other.import(query, key, &lines).await, (200, expected), "{query}");
    }
    assert_eq!(other.import("reason=moved", "a", "\n").await.0, 409, "the key is taken");
    let letter = other.letters().await.remove(0);
    assert_eq!((letter.state.as_str(), letter.reason.as_str()), ("parked", "imported"));
    assert_eq!(other.runs(&id).await, 0);
    other.redrive(&letter.id, "it was mended").await;
    other.bull.is(QUEUE, &id, State::Completed).await;
    assert_eq!(other.bull.field(QUEUE, &id, "data").await.unwrap(), bytes);
    assert_eq!(other.runs(&id).await, 1);
    other.bull.is_idle(QUEUE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_lines_are_told_by_number_and_the_others_of_their_batch_are_taken_in() {
    let machine = Machine::start(ADMIN).await;
    let _daemon = machine.daemon().await;
    machine.has(0).await;
    // As a cold file has them; the id is made of the rest.
    let right = json!({
        "id": "ce9f6d4b6d4c2f3d6a5a4cb0bd4bc4d3", "source": "jobs", "queue": "mails", "job": "7", "name": "send",
        "failed_at_ms": 1_000, "message": NO_ADDRESS, "data_base64": "e30=", "kept_base64": "",
    });
    let with = |field: &str, value: Value| {
        let mut line = right.clone();
        line[field] = value;
        line
    };
    let (_, answer) = machine.import("reason=x&dry=true", "0", &right.to_string()).await;
    assert_eq!(answer["refused"][0]["why"], "id is not that of its source, queue, job and failed_at_ms");
    let id = dlq_processor::ledger::LetterId::of(
        "jobs",
        &dlq_processor::source::Episode { queue: "mails".to_owned(), job: "7".to_owned(), failed_at_ms: 1_000 },
    );
    let right = with("id", json!(id.as_str()));
    let with = |field: &str, value: Value| {
        let mut line = right.clone();
        line[field] = value;
        line.to_string()
    };
    let mut without = right.clone();
    without.as_object_mut().unwrap().remove("queue");
    let wrong = [
        ("hunter2 {".to_owned(), "it is not JSON (column 1)"),
        (without.to_string(), "missing field `queue`"),
        (with("data_base64", json!("hunter2")), "what is to be base64 is none"),
        (with("message", json!({ "hunter2": 1 })), "a value is of the wrong kind (column "),
        (with("name", json!("n".repeat(513))), "name is longer than 512 bytes"),
        (with("source", json!("hunter2")), "there is no such source here; there are: jobs"),
        (with("job", json!("8")), "id is not that of its source, queue, job and failed_at_ms"),
        (with("state", json!("hunter2")), "state is none of observed, scheduled"),
        (with("attempts", json!(-1)), "attempts is no count"),
        (with("queue", json!("")), "queue is empty"),
        (with("job", json!("")), "job is empty"),
        (with("fingerprint", json!("ledger/full")), "fingerprint is none: 16 hexadecimal digits; leave it out"),
        (with("surprise", json!(1)), "unknown field `surprise`"),
        (with("data_base64", Value::Null), "it says not what its job held; import the line of the file"),
    ];
    let lines: Vec<String> = wrong.iter().map(|(line, _)| line.clone()).collect();
    let (status, answer) = machine.import("reason=x", "1", &(lines.join("\n") + "\n\n" + &right.to_string())).await;
    assert_eq!((status, &answer["new"]), (200, &json!(1)), "{answer}");
    let refused = answer["refused"].as_array().unwrap();
    assert_eq!(refused.len(), wrong.len(), "{answer}");
    for (at, (refused, (_, why))) in refused.iter().zip(&wrong).enumerate() {
        assert_eq!(refused["line"], json!(at + 1));
        assert!(refused["why"].as_str().unwrap().starts_with(why), "{why}: {refused}");
    }
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    let letter = machine.letters().await.remove(0);
    assert_eq!(
        (letter.class.as_str(), letter.rule.as_deref()),
        ("malformed", Some("bad-data")),
        "as if it had failed now"
    );
    let (status, answer) = machine.import("reason=x", "nothing", "").await;
    assert!(status == 400 && answer["error"].as_str().unwrap().starts_with("there are no lines; send"), "{answer}");
    let many = format!("{right}\n").repeat(1_001);
    let (status, answer) = machine.import("reason=x", "2", &many).await;
    assert!(status == 400 && answer["error"] == "there are over 1000 lines; send them in several batches", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_carry_what_is_hidden_and_discard_for_good() {
    let machine = Machine::start(OPERATOR).await;
    machine.fail(1, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    machine.has(1).await;
    assert_eq!(machine.exported("reason=look").await.len(), 1);
    for (query, expected, why) in [
        ("reason=x&raw=true", 403, "raw needs the role admin; operator is operator"),
        ("reason=%20", 400, "reason is needed"),
        ("raw=false", 400, "missing field `reason`"),
        ("reason=x&state=sad", 400, "state is \\\"sad\\\"; write one of observed"),
        ("reason=%00a", 400, "reason has a control character in it"),
        ("reason=x&message=%00", 400, "message has a control character in it"),
    ] {
        let (status, body) = machine.ask_for_export(query).await;
        assert!(status == expected && body.contains(why), "{query}: {status} {body}");
    }
    assert_eq!(machine.import("reason=x", "1", "").await.0, 403);
    let stranger = machine.ask(machine.request("GET", "/api/v1/export?reason=x", &[]), &Value::Null).await.unwrap();
    assert_eq!(stranger.0, 401);
    let id = machine.letters().await.remove(0).id;
    let discard = async |act: &str, key: &str, body: Value| {
        let path = format!("/api/v1/letters/{id}/{act}");
        let (status, answer) = machine.ask_as_operator("POST", &path, key, &body).await;
        (status, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let odd = json!({ "reason": "x", "to": "a\0" });
    let why = "to has a control character in it, such as the end of a line; leave it out".to_owned();
    assert_eq!(discard("redrive", "0", odd).await, (400, why.clone()));
    let plan = json!({ "act": "redrive", "to": "a\0", "reason": "x" });
    let (status, answer) = machine.ask_as_operator("POST", "/api/v1/plans", "plan", &plan).await;
    assert_eq!((status, &answer["error"]), (400, &json!(why)));
    let hard = json!({ "reason": "x", "hard": true });
    let why = "to discard for good needs the role admin; operator is operator";
    assert_eq!(discard("discard", "1", hard.clone()).await, (403, why.to_owned()));
    assert_eq!(discard("park", "2", hard).await, (400, "hard is for discard; park removes nothing".to_owned()));
    assert_eq!(machine.letters().await[0].state, "parked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_discarded_for_good_is_not_redriven_and_says_why() {
    let machine = Machine::start(ADMIN).await;
    let ids = machine.fail(1, NO_ADDRESS).await;
    let daemon = machine.daemon().await;
    machine.has(1).await;
    machine.does(json!({})).await;
    let id = machine.letters().await.remove(0).id;
    let act = async |act: &str, key: &str, body: Value| {
        machine.ask_as_operator("POST", &format!("/api/v1/letters/{id}/{act}"), key, &body).await
    };
    let hard = json!({ "reason": "she wants to be forgotten", "hard": true });
    for _again in 0..2 {
        let (status, answer) = act("discard", "1", hard.clone()).await;
        assert_eq!((status, &answer["letter"]["reason"], &answer["note"]), (200, &json!("removed"), &Value::Null));
    }
    let refused = act("redrive", "2", json!({ "reason": "x" })).await;
    let why = "a letter that is discarded for good, with all that its job held, cannot be asked to redrive";
    assert_eq!((refused.0, &refused.1["error"]), (409, &json!(why)));
    let line = machine.exported("reason=x&raw=true").await.remove(0);
    assert_eq!(
        (&line["data_base64"], &line["kept_base64"], &line["stack"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    // Its queue has it still; a daemon that lists all of it anew takes nothing in.
    daemon.kill();
    let _daemon = machine.daemon().await;
    let looked = eventually("it to list all of it", LIMIT, async || {
        let body = json!({ "reason": "to be sure" });
        let (status, answer) = machine.ask_as_operator("POST", "/api/v1/reconcile", "look", &body).await;
        (status == 200).then_some(answer)
    });
    assert_eq!(looked.await["sources"][0]["taken_in"], 0);
    let (_, after) = machine.ask_as_operator("GET", &format!("/api/v1/letters/{id}"), "", &Value::Null).await;
    assert_eq!((&after["letter"]["state"], &after["audit"][0]["what"]), (&json!("discarded"), &json!("discard.hard")));
    assert_eq!((machine.letters().await.len(), machine.runs(&ids[0]).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_away_is_taken_back_from_its_file_and_a_discard_for_good_names_that_file() {
    let machine = Machine::start(ADMIN).await;
    let ids = machine.fail(2, NO_ADDRESS).await;
    let daemon = machine.daemon().await;
    machine.has(2).await;
    machine.does(json!({})).await;
    daemon.kill();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(machine.folder.path().join("data/ledger.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE letters SET changed_at_ms = 1").execute(&pool).await.unwrap();
    pool.close().await;
    machine.configure(&format!("retention: {{ waiting: 1h, cold_dir: cold }}\n{ADMIN}"));
    let _daemon = machine.daemon().await;
    let letters = eventually("both to be put away", LIMIT, async || {
        let letters = machine.letters().await;
        letters.iter().all(|letter| letter.state == "expired").then_some(letters)
    });
    let letters = letters.await;
    let [back, gone] = [&letters[0], &letters[1]];
    let file = gone.cold.clone().unwrap();
    let hard = json!({ "reason": "she wants to be forgotten", "hard": true });
    let (_, answer) =
        machine.ask_as_operator("POST", &format!("/api/v1/letters/{}/discard", gone.id), "1", &hard).await;
    let note = format!("{file} still has what it held: whoever minds that file deletes its line");
    assert_eq!(answer["note"], json!(note), "{answer}");

    let lines = std::fs::read_to_string(machine.folder.path().join(&file)).unwrap();
    let (_, answer) = machine.import("reason=mended", "2", &lines).await;
    assert_eq!(
        [&answer["new"], &answer["back"], &answer["here"]],
        [0, 1, 1].map(|it| json!(it)).each_ref(),
        "{answer}"
    );
    let letters = machine.letters().await;
    let of = |id: &str| letters.iter().find(|letter| letter.id == id).unwrap();
    let taken_back = of(&back.id);
    assert_eq!(
        (taken_back.state.as_str(), taken_back.reason.as_str(), &taken_back.cold),
        ("parked", "imported", &None)
    );
    assert_eq!((of(&gone.id).state.as_str(), of(&gone.id).reason.as_str()), ("discarded", "removed"));
    // Its queue has lost it since.
    machine.bull.query::<i64>(redis::cmd("DEL").arg(format!("bull:{QUEUE}:{}", back.job))).await;
    machine.bull.query::<i64>(redis::cmd("ZREM").arg(format!("bull:{QUEUE}:failed")).arg(&back.job)).await;
    machine.redrive(&back.id, "it was mended").await;
    machine.bull.is(QUEUE, &back.job, State::Completed).await;
    assert_eq!(machine.runs(&back.job).await, 2);
    assert!(ids.contains(&back.job));
}
