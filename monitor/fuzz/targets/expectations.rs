//! Any expectations, CEL among them, on any answer. Never: a panic; a judgement after its deadline, or two that differ; a pass of
//! an expression and of its negation; a pass that a plain reading of `status` or `body_contains` refuses; an expression of more
//! than 1 KiB; a pass of one that reads a body of more than 256 KiB.
//!
//! The input is the mapping under `expect:`, a line `===`, a line with the status and how often the body is repeated, headers, an
//! empty line, the body.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kit::config::{Cursor, Entry, Mistakes, Node, Place, Value};
use libfuzzer_sys::{Corpus, fuzz_target};
use monitor::probe::{Expectation, Expectations, Facts, Outcome};
use tokio::runtime::{Builder, Runtime};

const ALL: [Expectation; 6] = [
    Expectation::Status,
    Expectation::Header,
    Expectation::Body,
    Expectation::Json,
    Expectation::Certificate,
    Expectation::ExitCode,
];
const MAX_EXPRESSION_BYTES: usize = 1024;
const MAX_JUDGED_BYTES: usize = 256 * 1024;
/// Until a judgement must end, and what an overloaded machine may add.
const DEADLINE: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(4);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

fuzz_target!(init: monitor_fuzz::begin(), |bytes: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(bytes) else { return Corpus::Reject };
    let Some((yaml, answer)) = text.split_once("\n===\n") else { return Corpus::Reject };
    let Ok(node) = Node::parse("expect", yaml) else { return Corpus::Keep };
    let facts = facts(answer);
    if node.child("expr").is_some_and(|expression| is_costly(expression, &facts)) {
        return Corpus::Reject;
    }
    let Some(expect) = decode(&node) else { return Corpus::Keep };
    check(&node, &expect, &facts);
    Corpus::Keep
});

fn check(node: &Node, expect: &Expectations, facts: &Facts) {
    let passes = judge(expect, facts);
    assert_eq!(passes, judge(expect, facts), "judged twice");
    let body = facts.body.as_deref().unwrap_or_default();
    if passes {
        check_status(node.child("status"), facts.status.unwrap_or_default());
        check_contained(node.child("body_contains"), &String::from_utf8_lossy(body));
    }
    let Some(expression) = node.child("expr").and_then(Node::scalar_text) else { return };
    assert!(expression.len() <= MAX_EXPRESSION_BYTES, "{} bytes are accepted", expression.len());
    let alone = decode(&only("expr", expression.clone())).expect("an expression that was accepted");
    if body.len() > MAX_JUDGED_BYTES && alone.needs_body() {
        assert!(!judge(&alone, facts), "{} bytes are judged", body.len());
    }
    // A remark of the expression must not swallow what closes it.
    if let Some(negated) = decode(&only("expr", format!("!(\n{expression}\n)"))) {
        assert!(!(judge(&alone, facts) && judge(&negated, facts)), "{expression:?} and its negation pass");
    }
}

fn decode(node: &Node) -> Option<Expectations> {
    let mistakes = Mistakes::default();
    let decoded = Expectations::decode(Some(&Cursor::top(node, &mistakes)), &ALL);
    let mistakes = mistakes.into_sorted();
    assert!(decoded.is_some() || !mistakes.is_empty(), "refused without a reason");
    decoded.filter(|_| mistakes.is_empty())
}

fn judge(expect: &Expectations, facts: &Facts) -> bool {
    let began = Instant::now();
    let judged = RUNTIME.block_on(async {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        expect.judge(facts.clone(), Duration::from_millis(150), deadline).await
    });
    assert!(began.elapsed() < DEADLINE + SLACK, "judged for {:?}", began.elapsed());
    match judged {
        Ok(_) => true,
        Err(Outcome::Pass) => panic!("a pass is no error"),
        Err(Outcome::Fail(reason) | Outcome::Unknown(reason)) => {
            assert!(!reason.text.is_empty(), "{reason:?}");
            false
        }
    }
}

/// What does not end within its deadline keeps its thread, by design: more than one loop within another, or one over much,
/// would starve all later inputs.
fn is_costly(expression: &Node, facts: &Facts) -> bool {
    let text = expression.scalar_text().unwrap_or_default();
    let names = ["all", "exists", "map", "filter"];
    let loops: usize = names.iter().map(|name| text.matches(name).count()).sum();
    loops > 2 || loops > 0 && facts.body.as_ref().is_some_and(|body| body.len() > 4096)
}

/// Plainly: a status is one of the numbers, in one of the ranges, or of one of the classes.
fn check_status(expected: Option<&Node>, status: u16) {
    let written = match expected.map(|node| &node.value) {
        None => return assert!((200..=299).contains(&status), "{status} passes for 2xx"),
        Some(Value::List(items)) => items.iter().filter_map(Node::scalar_text).collect(),
        Some(_) => expected.and_then(Node::scalar_text).into_iter().collect::<Vec<_>>(),
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let fits = written.iter().any(|text| match (text.strip_suffix("xx"), text.split_once('-')) {
        (Some(class), _) => number(class) == Some(u64::from(status) / 100),
        (None, Some((low, high))) => {
            number(low).zip(number(high)).is_some_and(|(low, high)| (low..=high).contains(&status.into()))
        }
        (None, None) => number(text) == Some(status.into()),
    });
    // A key without a value is as if it were not written.
    let is_empty = written.is_empty() && expected.is_some_and(|node| node.value == Value::Null);
    assert!(fits || is_empty && (200..=299).contains(&status), "{status} passes for {written:?}");
}

fn check_contained(expected: Option<&Node>, body: &str) {
    let Some(node) = expected else { return };
    monitor_fuzz::visit(node, "", &mut |_, node| {
        let wanted = node.scalar_text().unwrap_or_default();
        assert!(body.contains(&wanted), "{wanted:?} is not in the body");
    });
}

fn only(key: &str, text: String) -> Node {
    let place = Place::whole("expect");
    let node = Node { place: place.clone(), value: Value::Text(text), substituted: None };
    let entry = Entry { key: key.to_owned(), key_place: place.clone(), node };
    Node { place, value: Value::Map(vec![entry]), substituted: None }
}

fn facts(answer: &str) -> Facts {
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let mut lines = head.lines();
    let mut numbers = lines.next().unwrap_or_default().split(' ').map(|word| word.parse::<u16>().unwrap_or_default());
    let (status, repeat) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or(1));
    // Enough to come past what is judged; more only costs time.
    let repeat = usize::from(repeat).min(2 * MAX_JUDGED_BYTES / body.len().max(1));
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.into()));
    Facts {
        status: Some(status),
        headers: headers.collect(),
        body: Some(body.repeat(repeat).into_bytes().into()),
        ..Facts::default()
    }
}
