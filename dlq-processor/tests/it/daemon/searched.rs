//! Letters that are looked for by regular expressions that take too long.

use std::fmt::Write as _;

use dlq_processor::ledger::LetterId;
use dlq_processor::source::Episode;
use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{LIMIT, Machine};

const ADMIN: &str = "access: { tokens: [{ name: root, role: admin, token_file: token }] }\n";
/// Letters that are looked through at once.
const LETTERS: usize = 1_000;
/// The longest message, in bytes.
const LONGEST: usize = 8 << 10;

/// Lines of letters, each with other zeros and ones for a message.
fn lines() -> String {
    let (mut lines, mut random) = (String::new(), 1_u64);
    for number in 0..LETTERS {
        let job = number.to_string();
        let episode = Episode { queue: "mails".to_owned(), job: job.clone(), failed_at_ms: 1_000 };
        let message: String = (0..LONGEST)
            .map(|_| {
                // Xorshift (Marsaglia 2003).
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                if random & 1 == 0 { '0' } else { '1' }
            })
            .collect();
        let line = json!({
            "id": LetterId::of("jobs", &episode).as_str(), "source": "jobs", "queue": "mails", "job": job, "name": "send",
            "failed_at_ms": 1_000, "message": message, "data_base64": "e30=", "kept_base64": "",
        });
        writeln!(lines, "{line}").unwrap();
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_takes_too_long_is_told_so_and_how_to_ask_for_less() {
    let machine = Machine::start(ADMIN).await;
    let _daemon = machine.daemon().await;
    eventually("the ledger to be open", LIMIT, async || machine.get("/api/v1/letters").await).await;
    let (status, answer) = machine.import("reason=moved", "1", &lines()).await;
    assert_eq!((status, &answer["new"]), (200, &json!(LETTERS)), "{answer}");

    // Each one begins a place where it may end: hundreds of them are followed at once.
    let search = "/api/v1/letters?message_re=1%5B01%5D%7B900%7D%5Ba-z%5D";
    let why = "message_re takes too long to look for in so many letters; narrow them by queue, class or time \
        (failed_after, failed_before), or look for some of their words with message";
    let (status, answer) = machine.ask_as_operator("GET", search, "", &Value::Null).await;
    assert_eq!((status, &answer["error"]), (422, &json!(why)));
    let plan = json!({ "act": "discard", "filter": { "message_re": "1[01]{900}[a-z]" }, "reason": "x" });
    let (status, answer) = machine.ask_as_operator("POST", "/api/v1/plans", "2", &plan).await;
    assert_eq!((status, &answer["error"]), (422, &json!(why)));
    for narrower in ["&queue=others", "&failed_after=2026-01-01T00:00:00Z", "&message=refused"] {
        let (status, answer) = machine.ask_as_operator("GET", &format!("{search}{narrower}"), "", &Value::Null).await;
        assert_eq!((status, &answer["letters"]), (200, &json!([])), "{narrower}");
    }
    let (status, answer) = machine.ask_as_operator("GET", "/api/v1/letters?message_re=0", "", &Value::Null).await;
    assert_eq!((status, answer["letters"].as_array().map(Vec::len)), (200, Some(50)));
}
