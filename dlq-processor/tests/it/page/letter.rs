//! One letter: why it stands where it stands, and what only an operator sees.

use serde_json::json;
use testkit::eventually;

use super::reader::is_harmless;
use crate::daemon::machine::{LIMIT, Machine};

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_says_why_it_is_parked_and_what_it_held_only_to_an_operator() {
    let machine = Machine::start("operator_token_file: token\nqueues: [{ queue: '*', mode: act }]\n").await;
    let data = json!({ "to": "somebody@example.com", "apiKey": "k-123456789" });
    machine.fails("mails", "send", data, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    machine.overview_of(1.0).await;
    let letter = machine.letters().await.remove(0);
    let path = format!("/letters/{}", letter.id);
    let (status, page) = machine.page(&path).await;
    assert_eq!(status, 200);
    for said in [
        "The rule “bad-data” knows this failure: the job itself is wrong",
        "Jobs that fail like this wait until a person says what to do.",
        &format!("dlq-processor redrive {} --reason", letter.id),
        &format!("dlq-processor show {}", letter.id),
        &format!("dlq-processor edit {} --patch FILE", letter.id),
        "Where it failed",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("somebody@example.com") && !page.contains("dlq-processor release"), "{page}");
    machine.post(&format!("/api/v1/letters/{}/quarantine", letter.id), &json!({ "reason": "it is odd" })).await;
    let (_, page) = machine.operators_page(&path).await;
    assert!(page.contains("somebody@example.com") && !page.contains("k-123456789"), "{page}");
    assert!(page.contains("operator: it is odd") && page.contains("dlq-processor release"), "{page}");
    assert!(page.contains("operator (operator)") && page.contains("href=\"/audit\""), "{page}");
    let patch = json!([{ "op": "replace", "path": "/to", "value": "else@example.com" }]);
    machine.post(&format!("/api/v1/letters/{}/edit", letter.id), &json!({ "patch": patch, "reason": "wrong" })).await;
    let (_, page) = machine.operators_page(&path).await;
    for said in ["somebody@example.com", "else@example.com", "What it holds after the edit", "Somebody has edited what"]
    {
        assert!(page.contains(said) && !page.contains("k-123456789"), "{said}: {page}");
    }
    let (_, page) = machine.page(&path).await;
    assert!(!page.contains("example.com"), "{page}");
    assert!(!page.contains("it is odd"), "the audit is for operators: {page}");
    let (status, audit) = machine.operators_page("/audit").await;
    assert!(status == 200 && audit.contains("it is odd") && audit.contains(&path), "{audit}");
    assert_eq!(machine.page("/audit").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_names_the_other_failures_of_its_job_and_one_that_is_not_there_is_a_page() {
    let machine = Machine::start("operator_token_file: token\nqueues: [{ queue: '*', mode: act }]\n").await;
    machine.fails("mails", "send", json!({}), "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    machine.overview_of(1.0).await;
    let first = machine.letters().await.remove(0);
    machine.post(&format!("/api/v1/letters/{}/redrive", first.id), &json!({ "reason": "try" })).await;
    let second = eventually("it to fail again", LIMIT, async || {
        machine.letters().await.into_iter().find(|letter| letter.id != first.id)
    });
    let second = second.await;
    let (_, page) = machine.page(&format!("/letters/{}", second.id)).await;
    assert!(
        page.contains("Other failures of this job") && page.contains(&format!("/letters/{}\"", first.id)),
        "{page}"
    );
    let (status, page) = machine.page("/letters/nothing").await;
    assert!(status == 404 && page.contains("<h1>There is no such letter</h1>"), "{status} {page}");
    is_harmless("/letters/nothing", &page);
    let (status, page) = machine.page("/plans/nothing").await;
    assert!(status == 404 && page.contains("<h1>There is no such plan</h1>"), "{status} {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_discarded_for_good_says_so_and_shows_nothing_of_what_it_held() {
    let config =
        "access: { tokens: [{ name: root, role: admin, token_file: token }] }\nqueues: [{ queue: '*', mode: act }]\n";
    let machine = Machine::start(config).await;
    machine.fails("mails", "send", json!({ "to": "somebody@example.com" }), "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    machine.overview_of(1.0).await;
    let letter = machine.letters().await.remove(0);
    let path = format!("/letters/{}", letter.id);
    let (_, page) = machine.operators_page(&path).await;
    let doing = format!("dlq-processor discard {} --hard", letter.id);
    assert!(
        page.contains("somebody@example.com") && page.contains("Where it failed") && page.contains(&doing),
        "{page}"
    );
    let hard = json!({ "reason": "she wants to be forgotten", "hard": true });
    machine.post(&format!("/api/v1/letters/{}/discard", letter.id), &hard).await;
    let (status, page) = machine.operators_page(&path).await;
    assert_eq!(status, 200);
    for said in [
        "Somebody has given it up for good: what its job held was removed.",
        "It was removed for good.",
        "discard hard",
        "root: she wants to be forgotten",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    for gone in ["somebody@example.com", "Where it failed", "What you can do", "dlq-processor redrive"] {
        assert!(!page.contains(gone), "{gone}: {page}");
    }
    let (_, everybodys) = machine.page(&path).await;
    assert!(everybodys.contains("It was removed for good."), "{everybodys}");
    let (_, list) = machine.page("/letters").await;
    assert!(list.contains("what it held was removed"), "{list}");
}
