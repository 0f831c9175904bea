//! Collectors that refuse, stall, are full or away: what waits is bounded, what is lost is counted, and nobody is held up.

use testkit::{Target, eventually, free_port};

use crate::{end_spans, export, figures};

const SHORT_QUEUE: [(&str, &str); 2] = [("OTEL_BSP_MAX_QUEUE_SIZE", "10"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")];
const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// Ends 100 spans at once, of which 10 find room, and finishes.
async fn lose(endpoint: &str, reason: &str, expected: [u64; 3]) {
    let exporting = export(endpoint, SHORT_QUEUE);
    // Nothing is taken out of the queue before somebody else may run.
    end_spans(100);
    assert_eq!(figures("queue_full"), [0, 90, 0]);
    exporting.finish().await;
    assert_eq!(figures(reason), expected);
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_its_spans_and_nothing_else() {
    lose(&format!("http://127.0.0.1:{}", free_port()), "undelivered", [0, 10, 90]).await;
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_never_answers_holds_up_no_stop() {
    lose(&Target::stall().url("/"), "undelivered", [0, 10, 90]).await;
}

#[tokio::test]
async fn what_a_collector_refuses_is_not_sent_again() {
    let target = Target::answer(400, &[], "");
    lose(&target.url("/"), "refused", [0, 10, 90]).await;
    assert_eq!(target.requests().len(), 2);
}

#[tokio::test]
async fn what_a_busy_collector_did_not_take_is_sent_again() {
    let target = Target::sequence([429, 503, 200]);
    let exporting = export(&target.url("/"), []);
    end_spans(3);
    eventually("the spans to be taken", LIMIT, async || (figures("refused") == [3, 0, 0]).then_some(())).await;
    let requests = target.requests();
    assert!(requests.len() == 3 && requests.iter().all(|request| request.body == requests[0].body));
    exporting.finish().await;
}
