//! A plan: what it would do, how it is applied, and how far it has come.

use serde_json::json;
use testkit::eventually;

use crate::daemon::machine::{LIMIT, Machine, QUEUE};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_what_it_would_do_and_how_far_it_has_come() {
    let machine = Machine::start("operator_token_file: token\nqueues: [{ queue: mails, mode: act }]\n").await;
    machine.fail(12, "ValidationError: no address").await;
    let _daemon = machine.daemon().await;
    machine.overview_of(12.0).await;
    machine.does(json!({})).await;
    let wanted = json!({
        "filter": { "queue": QUEUE, "class": "malformed" }, "act": "redrive", "rate": "500/s",
        "stop_on_failures": "50%", "reason": "addresses were mended",
    });
    let made = machine.post("/api/v1/plans", &wanted).await;
    let (id, hash) = (made["plan"]["id"].as_str().unwrap(), made["plan"]["hash"].as_str().unwrap());
    let (status, page) = machine.page(&format!("/plans/{id}")).await;
    assert_eq!(status, 200);
    for said in [
        "<h1>Redrives 12 letters</h1>",
        "nothing was done yet",
        "addresses were mended",
        "at most 500 a second",
        "50 % of its letters have failed again",
        "class: malformed",
        hash,
        &format!("dlq-processor plan apply {id} --reason"),
        &format!("/api/v1/plans/{id}/apply"),
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(page.matches("href=\"/letters/").count(), 10, "so many samples: {page}");
    machine.post(&format!("/api/v1/plans/{id}/apply"), &json!({ "reason": "it is time" })).await;
    let done = eventually("the plan to be done", LIMIT, async || {
        let (_, page) = machine.page(&format!("/plans/{id}")).await;
        page.contains("12 of 12 done").then_some(page)
    });
    assert!(done.await.contains("all of it is done") || machine.page("/plans").await.1.contains("12 of 12 done"));
    let (_, letters) = machine.page(&format!("/letters/{}", machine.letters().await[0].id)).await;
    assert!(letters.contains(&format!("href=\"/plans/{id}\"")), "{letters}");
}
