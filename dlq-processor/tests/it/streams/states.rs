//! Where a redriven entry is, from its way back to its end.

use dlq_processor::source::{Put, Sought, Source, State};
use redis::cmd;

use super::stage::{GROUP, QUEUE, STREAM, Stage};

#[tokio::test]
async fn a_redriven_entry_waits_is_worked_at_and_is_done() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    let root = found.episode.job.as_str();
    assert_eq!(stage.state(root).await, State::Failed(found.episode.failed_at_ms));
    assert_eq!(stage.forget(&found).await, 1);
    assert_eq!(stage.state(root).await, State::Gone, "nobody has put it back");
    assert_eq!(stage.put_anew(&found, "one").await, Put::Moved);
    assert_eq!(stage.state(root).await, State::UnderWay, "it is not delivered");
    stage.deliver(GROUP, "a").await;
    assert_eq!(stage.state(root).await, State::UnderWay, "it is pending");
    let (copy, _) = stage.last().await;
    assert_eq!(stage.ack(GROUP, &copy).await, 1);
    assert_eq!(stage.state(root).await, State::Completed);
    // Also when it was trimmed since.
    stage.ask::<u64>(cmd("XTRIM").arg(STREAM).arg("MAXLEN").arg(0)).await;
    assert_eq!(stage.state(root).await, State::Completed);
}

#[tokio::test]
async fn an_entry_that_was_trimmed_before_anybody_was_given_it_is_gone() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    assert_eq!(stage.put_anew(&found, "one").await, Put::Moved);
    stage.ask::<u64>(cmd("XTRIM").arg(STREAM).arg("MAXLEN").arg(0)).await;
    assert_eq!(stage.state(&found.episode.job).await, State::Gone);
}

#[tokio::test]
async fn an_entry_is_lost_where_nothing_is_known_of_the_order_that_put_it_back() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    assert_eq!(stage.forget(&found).await, 1);
    assert_eq!(stage.put_anew(&found, "one").await, Put::Moved);
    let sought = [Sought { order: Some("one".to_owned()), ..Sought::of(QUEUE, &found.episode.job) }];
    assert_eq!(stage.source.states(&sought).await.unwrap(), [State::UnderWay]);
    // As a Redis does that has lost its last second.
    let (copy, _) = stage.last().await;
    stage.ask::<u64>(cmd("XDEL").arg(STREAM).arg(copy)).await;
    stage.ask::<u64>(cmd("DEL").arg(format!("{STREAM}:dlq-redriven:{}", found.episode.job))).await;
    assert_eq!(stage.source.states(&sought).await.unwrap(), [State::Gone], "the order is remembered");
    stage.ask::<u64>(cmd("DEL").arg(format!("{STREAM}:dlq-order:one"))).await;
    assert_eq!(stage.source.states(&sought).await.unwrap(), [State::Lost]);
    assert_eq!(stage.put_anew(&found, "one").await, Put::Moved);
    assert_eq!(stage.source.states(&sought).await.unwrap(), [State::UnderWay]);
}

#[tokio::test]
async fn of_what_is_not_there_nothing_is_known() {
    let stage = Stage::start().await;
    let asked = [(QUEUE, "1-1"), ("events/none", "1-1"), ("none/mailers", "1-1"), ("none", "1-1"), (QUEUE, "no id")];
    let asked = asked.map(|(queue, job)| Sought::of(queue, job));
    let states = stage.source.states(&asked[..4]).await.unwrap();
    assert_eq!(states, [State::Gone; 4]);
    assert_eq!(stage.source.states(&asked[4..]).await.unwrap(), [State::Gone]);
}
