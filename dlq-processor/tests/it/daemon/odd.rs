//! Questions that hold what PostgreSQL takes for no text: a NUL.

use serde_json::{Value, json};
use testkit::{Postgres, eventually};

use super::machine::{LIMIT, Machine, QUEUE, TOKEN};
use crate::asking::ask_with;

const ADMIN: &str = "access: { tokens: [{ name: root, role: admin, token_file: token }] }\n";

/// With the id of a letter that there is.
async fn is_told(machine: &Machine, letter: &str) {
    let token = format!("Bearer {TOKEN}");
    let ask = async |method: &str, path: &str, key: &str, body: &Value| {
        let headers = [("authorization", token.as_str()), ("idempotency-key", key)];
        machine.ask(machine.request(method, path, &headers), body).await.unwrap()
    };
    for (path, status, said) in [
        ("/api/v1/letters/%00", 404, "no such letter"),
        ("/api/v1/letters/a%00b?raw=true", 404, "no such letter"),
        ("/api/v1/plans/%00", 404, "no such plan"),
        ("/letters/%00", 404, "There is no such letter"),
        ("/plans/%00", 404, "There is no such plan"),
        ("/letters?name=%00a", 400, "name has a control character in it"),
        ("/api/v1/letters?queue=%00", 400, "queue has a control character in it"),
        ("/api/v1/letters?message_re=a%00", 400, "message_re has a control character in it"),
        ("/api/v1/letters?before=%00", 400, "before"),
        ("/api/v1/export?reason=x&fingerprint=%00", 400, "fingerprint has a control character in it"),
        ("/api/v1/export?reason=a%00", 400, "reason has a control character in it"),
    ] {
        let (answered, body) = ask("GET", path, "", &Value::Null).await;
        assert!(answered == status && body.contains(said), "{path}: {answered} {body}");
    }
    let because = json!({ "reason": "x" });
    let patch = json!({ "patch": [{ "op": "add", "path": "/a", "value": "\0" }], "reason": "x" });
    let breaker = json!({ "source": "jobs", "queue": "a\0", "name": "b\0", "state": "open", "reason": "x" });
    let plan = json!({ "act": "park", "filter": { "data": { "pointer": "/a\0", "value": "\0" } }, "reason": "x" });
    let queue = json!({ "act": "park", "filter": { "queue": "\0" }, "reason": "x" });
    let source = json!({ "source": "\0", "reason": "x" });
    for (path, body, status) in [
        ("/api/v1/letters/%00/redrive".to_owned(), &because, 404),
        ("/api/v1/letters/%00/park".to_owned(), &because, 404),
        ("/api/v1/letters/%00/discard".to_owned(), &json!({ "reason": "x", "hard": true }), 404),
        ("/api/v1/letters/%00/edit".to_owned(), &patch, 404),
        ("/api/v1/letters/%00/unedit".to_owned(), &because, 404),
        (format!("/api/v1/letters/{letter}/%00"), &because, 404),
        ("/api/v1/plans/%00/cancel".to_owned(), &because, 404),
        ("/api/v1/plans".to_owned(), &queue, 400),
        ("/api/v1/reconcile".to_owned(), &source, 404),
        ("/api/v1/policy/simulate?since=%00".to_owned(), &because, 400),
        // What is no text of the ledger may hold it, and so may names of jobs.
        (format!("/api/v1/letters/{letter}/edit"), &patch, 200),
        ("/api/v1/plans".to_owned(), &plan, 201),
        ("/api/v1/breakers".to_owned(), &breaker, 200),
    ] {
        let (answered, said) = ask("POST", &path, &format!("{path}{status}"), body).await;
        assert_eq!(answered, status, "{path}: {said}");
    }
    let headers = [("authorization", token.as_str()), ("idempotency-key", "import")];
    let request = machine.request("POST", "/api/v1/import?reason=%00", &headers);
    assert_eq!(ask_with(request, "{}".to_owned()).await.unwrap().0, 400);
}

/// Of three failed jobs the ledger can take all but so many.
async fn story(config: &str, refused: usize) {
    let machine = Machine::start(config).await;
    machine.does(json!({ "throws": "ValidationError: no address" })).await;
    machine.work().await;
    let id = "a\0b";
    machine.bull.add(QUEUE, json!({ "name": "job", "data": { "odd": true }, "opts": { "jobId": id } })).await;
    // One that no index of PostgreSQL takes.
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'A' + (state >> 24) as u8 % 58)
    };
    let long: String = (0..6_000).map(|_| next()).collect();
    machine.bull.add(QUEUE, json!({ "name": "job", "data": {}, "opts": { "jobId": long } })).await;
    machine.fail(1, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    let letter = eventually("a letter to be taken in", LIMIT, async || {
        let (_, answer) = machine.ask_as_operator("GET", "/api/v1/letters", "", &Value::Null).await;
        let letters = answer["letters"].as_array()?;
        let jobs: Vec<&str> = letters.iter().map(|letter| letter["job"].as_str().unwrap()).collect();
        // A job whose id is no text keeps no other from being written, nor is it lost itself.
        let missed = machine.metric("dlq_capture_missed_total", "").await.unwrap_or_default();
        (jobs.len() == 3 - refused && missed == refused as f64 && jobs.contains(&"a\u{fffd}b")).then_some(())?;
        letters[0]["id"].as_str().map(str::to_owned)
    })
    .await;
    is_told(&machine, &letter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_with_a_nul_is_told_that_there_is_nothing_or_what_is_wrong_in_a_file() {
    story(ADMIN, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_with_a_nul_is_told_that_there_is_nothing_or_what_is_wrong_in_a_server() {
    let postgres = Postgres::start().await;
    story(&format!("{ADMIN}ledger: '{}'\n", postgres.url()), 1).await;
}
