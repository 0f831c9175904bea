//! When an entry is dead, and when it only looks so.

use std::time::Duration;

use dlq_processor::source::streams::DeadAfter;
use dlq_processor::source::{Episode, Source};
use redis::cmd;

use super::stage::{GROUP, QUEUE, STREAM, Stage, settings};

#[tokio::test]
async fn an_entry_is_dead_after_its_deliveries_to_several_consumers_and_read_whole() {
    let stage = Stage::start().await;
    let id = stage.add(&[("type", "signed_up"), ("to", "ä")]).await;
    assert_eq!(stage.list().await, [], "it is not delivered");
    stage.deliver(GROUP, "a").await;
    assert_eq!(stage.list().await, []);
    stage.claim("b", &id).await;
    assert_eq!(stage.list().await, [], "it was delivered twice");
    stage.claim("a", &id).await;
    let ms = id.split('-').next().unwrap().parse().unwrap();
    let episode = Episode { queue: QUEUE.to_owned(), job: id.clone(), failed_at_ms: ms };
    assert_eq!(stage.list().await, std::slice::from_ref(&episode));
    let strangers = ["1-1", "none", ""].map(|job| Episode { job: job.to_owned(), ..episode.clone() });
    let elsewhere =
        ["events/none", "none/mailers", "events"].map(|queue| Episode { queue: queue.to_owned(), ..episode.clone() });
    let asked = [&strangers[..], &elsewhere, std::slice::from_ref(&episode)].concat();
    let mut found = stage.source.read(&asked).await.unwrap();
    let whole = found.pop().unwrap().unwrap();
    assert!(found.len() == 6 && found.iter().all(Option::is_none), "{found:?}");
    assert_eq!((whole.episode, whole.name.as_str(), whole.put_in_at_ms), (episode, "signed_up", Some(ms)));
    assert_eq!(String::from_utf8(whole.data).unwrap(), "{\"to\":\"ä\",\"type\":\"signed_up\"}");
    assert_eq!((whole.attempts, whole.stalls, whole.is_in_flow), (3, 2, false));
    assert_eq!(whole.reason.as_deref(), Some("delivered 3 times to 2 consumers, never acknowledged"));
}

#[tokio::test]
async fn a_consumer_that_starts_again_and_again_makes_no_entry_dead() {
    let stage = Stage::start().await;
    stage.add(&[("a", "1")]).await;
    stage.deliver(GROUP, "a").await;
    for _restart in 0..20 {
        stage.read(GROUP, "a", "0").await;
        assert_eq!(stage.list().await, []);
    }
    let pending: Vec<(String, String, u64, u64)> =
        stage.ask(cmd("XPENDING").arg(STREAM).arg(GROUP).arg("-").arg("+").arg(9)).await;
    assert_eq!(pending[0].3, 21, "Redis counts each of them");
}

#[tokio::test]
async fn an_entry_of_one_consumer_is_dead_when_it_is_old() {
    let stage = Stage::start().await;
    // In 1970.
    let id: String = stage.ask(cmd("XADD").arg(STREAM).arg("7-1").arg("a").arg(1)).await;
    stage.deliver(GROUP, "a").await;
    stage.read(GROUP, "a", "0").await;
    assert_eq!(stage.list().await, []);
    stage.read(GROUP, "a", "0").await;
    let listed = stage.list().await;
    assert_eq!((listed[0].job.as_str(), listed[0].failed_at_ms), (id.as_str(), 7));
    let found = stage.source.read(&listed).await.unwrap().remove(0).unwrap();
    assert_eq!(
        (found.stalls, found.reason.as_deref()),
        (1, Some("delivered 3 times to 1 consumer, never acknowledged"))
    );
}

#[tokio::test]
async fn an_entry_that_somebody_has_taken_up_is_not_dead() {
    let dead_after = DeadAfter { idle: Duration::from_secs(3600), ..settings().dead_after };
    let stage = Stage::with(dlq_processor::source::streams::StreamsSettings { dead_after, ..settings() }).await;
    let id = stage.add(&[("a", "1")]).await;
    stage.deliver(GROUP, "a").await;
    stage.list().await;
    // Idle for two hours, as far as Redis knows.
    let mut long = cmd("XCLAIM");
    long.arg(STREAM).arg(GROUP).arg("b").arg(0).arg(&id).arg("IDLE").arg(7_200_000).arg("RETRYCOUNT").arg(9);
    stage.ask::<redis::Value>(&mut long).await;
    let listed = stage.list().await;
    assert_eq!(listed.len(), 1);
    stage.claim("c", &id).await;
    assert_eq!(stage.list().await, []);
    assert_eq!(stage.source.read(&listed).await.unwrap(), [None]);
    assert_eq!(stage.source.forget(&listed).await.unwrap(), 0, "somebody works at it");
    assert_eq!(stage.pending(GROUP).await, [id]);
}

#[tokio::test]
async fn what_programs_say_of_their_failure_is_shown() {
    let stage = Stage::start().await;
    let found =
        stage.dead(&[("event", "paid"), ("x-error", "TypeError: x is not a function"), ("error", "other")]).await;
    assert_eq!(
        found.reason.as_deref(),
        Some("TypeError: x is not a function; delivered 3 times to 2 consumers, never acknowledged")
    );
}

#[tokio::test]
async fn to_look_changes_nothing() {
    let stage = Stage::start().await;
    stage.dead(&[("a", "1")]).await;
    stage.add(&[("b", "2")]).await;
    stage.group(STREAM, b"others").await;
    stage.deliver("others", "o").await;
    let trimmed = stage.add(&[("c", "3")]).await;
    stage.deliver(GROUP, "a").await;
    stage.ask::<u64>(cmd("XDEL").arg(STREAM).arg(&trimmed)).await;
    let about = async || {
        let groups: redis::Value = stage.ask(cmd("XINFO").arg("GROUPS").arg(STREAM)).await;
        (groups, stage.everything().await)
    };
    let before = about().await;
    for _look in 0..3 {
        stage.source.queues().await.unwrap();
        let listed = stage.list().await;
        assert_eq!(listed.len(), 2);
        assert!(stage.source.read(&listed).await.unwrap().iter().all(Option::is_some));
        stage.state(&listed[0].job).await;
        stage.source.hazards().await.unwrap();
        stage.source.wait(&[QUEUE.to_owned()], Duration::ZERO).await.unwrap();
    }
    assert_eq!(about().await, before);
}
