//! Entries that are pending, and in their stream no more.

use dlq_processor::source::{Put, Source, State};
use redis::cmd;

use super::stage::{GROUP, STREAM, Stage, order_of, text_of};

const WHY: &str = "its payload was trimmed from the stream before it was acknowledged";

#[tokio::test]
async fn an_entry_that_lost_its_payload_is_a_tombstone_once_and_never_put_back() {
    let stage = Stage::start().await;
    let mut ids = Vec::new();
    for number in ["1", "2", "3", "4"] {
        ids.push(stage.add(&[("a", number)]).await);
    }
    stage.deliver(GROUP, "a").await;
    assert_eq!(stage.list().await, []);
    // The first by length, the third by hand.
    stage.ask::<u64>(cmd("XTRIM").arg(STREAM).arg("MAXLEN").arg(3)).await;
    stage.ask::<u64>(cmd("XDEL").arg(STREAM).arg(&ids[2])).await;
    let listed = stage.list().await;
    let jobs: Vec<&String> = listed.iter().map(|episode| &episode.job).collect();
    assert_eq!(jobs, [&ids[0], &ids[2]], "it need not be delivered often");
    for found in stage.source.read(&listed).await.unwrap() {
        let found = found.unwrap();
        assert_eq!((found.name.as_str(), found.reason.as_deref()), ("tombstone", Some(WHY)));
        assert!(found.data.is_empty() && found.kept.is_empty());
        assert_eq!(stage.put_anew(&found, "anew").await, Put::Gone);
        assert_eq!(stage.put_back(&order_of(&found, "back")).await, Put::Gone);
        assert_eq!(stage.state(&found.episode.job).await, State::UnderWay, "it is pending");
    }
    assert_eq!(stage.entries().await.len(), 2);
    assert_eq!(stage.source.forget(&listed).await.unwrap(), 2);
    assert_eq!(stage.source.forget(&listed).await.unwrap(), 0);
    assert_eq!(stage.list().await, []);
    assert_eq!(stage.pending(GROUP).await, [ids[1].clone(), ids[3].clone()]);
}

#[tokio::test]
async fn a_stream_of_which_nothing_is_left_has_tombstones_alone() {
    let stage = Stage::start().await;
    stage.add(&[("a", "1")]).await;
    stage.deliver(GROUP, "a").await;
    stage.ask::<u64>(cmd("XTRIM").arg(STREAM).arg("MAXLEN").arg(0)).await;
    assert_eq!(stage.list().await.len(), 1);
}

#[tokio::test]
async fn a_copy_that_lost_its_payload_is_still_the_job_that_it_was() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    assert_eq!(stage.put_anew(&found, "order").await, Put::Moved);
    let (copy, fields) = stage.last().await;
    assert_eq!(text_of(&fields, "x-redrive-of"), Some(found.episode.job.clone()));
    stage.deliver(GROUP, "a").await;
    stage.ask::<u64>(cmd("XDEL").arg(STREAM).arg(&copy)).await;
    let listed = stage.list().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].job, found.episode.job);
    assert!(copy.starts_with(&format!("{}-", listed[0].failed_at_ms)), "{copy} {listed:?}");
    let tombstone = stage.source.read(&listed).await.unwrap().remove(0).unwrap();
    assert_eq!((tombstone.name.as_str(), tombstone.put_in_at_ms), ("tombstone", found.put_in_at_ms));
    assert_eq!(stage.forget(&tombstone).await, 1);
    assert_eq!(stage.pending(GROUP).await, Vec::<String>::new());
}
