//! Many entries: every dead one is on one page, and those that are not are passed over.

use std::collections::BTreeSet;

use dlq_processor::source::{Cursor, PAGE, Source};
use redis::cmd;

use super::stage::{GROUP, QUEUE, STREAM, Stage};

/// Pending, of which every other one is dead.
const ENTRIES: usize = 2400;

#[tokio::test]
async fn every_dead_entry_is_on_one_page_also_when_many_are_of_one_millisecond() {
    let stage = Stage::start().await;
    let mut ids = Vec::new();
    let mut add = redis::pipe();
    for number in 1..=ENTRIES {
        // Most are of one millisecond.
        let ms = if (100..2000).contains(&number) { 100 } else { number };
        let id = format!("{ms}-{number}");
        add.cmd("XADD").arg(STREAM).arg(&id).arg("a").arg(number).ignore();
        ids.push(id);
    }
    run(&stage, &add).await;
    stage.deliver(GROUP, "a").await;
    let dead: Vec<String> = ids.into_iter().step_by(2).collect();
    let mut claim = redis::pipe();
    for id in &dead {
        let claim = claim.cmd("XCLAIM").arg(STREAM).arg(GROUP).arg("b").arg(0).arg(id);
        claim.arg("RETRYCOUNT").arg(9).ignore();
    }
    run(&stage, &claim).await;
    let (mut all, mut cursor, mut pages) = (Vec::new(), Cursor::default(), 0);
    loop {
        let page = stage.source.list(QUEUE, cursor).await.unwrap();
        assert_eq!(stage.source.list(QUEUE, cursor).await.unwrap().episodes, page.episodes, "a page is the same twice");
        pages += 1;
        cursor = page.next;
        let is_last = page.episodes.len() < PAGE;
        all.extend(page.episodes);
        if is_last {
            assert_eq!(page.failed, dead.len() as u64);
            break;
        }
    }
    let jobs: Vec<&String> = all.iter().map(|episode| &episode.job).collect();
    assert!(jobs.iter().copied().eq(&dead), "{} of {}", all.len(), dead.len());
    assert_eq!(pages, dead.len() / PAGE + 1);
    let read = stage.source.read(&all).await.unwrap();
    assert!(read.iter().zip(&all).all(|(found, episode)| found.as_ref().is_some_and(|it| it.episode == *episode)));
    assert_eq!(stage.source.forget(&all).await.unwrap(), dead.len() as u64);
    assert_eq!(stage.pending(GROUP).await.len(), ENTRIES - dead.len());
    assert_eq!(stage.list().await, []);
}

#[tokio::test]
async fn pages_go_on_where_they_should_while_what_was_read_is_taken_out() {
    let stage = Stage::start().await;
    let mut add = redis::pipe();
    for number in 0..PAGE * 3 {
        add.cmd("XADD").arg(STREAM).arg(format!("100-{number}")).arg("a").arg(number).ignore();
    }
    run(&stage, &add).await;
    for _delivery in 0..3 {
        stage.read(GROUP, "a", ">").await;
        stage.read(GROUP, "a", "0").await;
    }
    let (mut jobs, mut cursor) = (BTreeSet::new(), Cursor::default());
    for _page in 0..3 {
        let page = stage.source.list(QUEUE, cursor).await.unwrap();
        assert_eq!(stage.source.forget(&page.episodes).await.unwrap(), PAGE as u64);
        jobs.extend(page.episodes.into_iter().map(|episode| episode.job));
        cursor = page.next;
    }
    assert_eq!(jobs.len(), PAGE * 3);
}

#[tokio::test]
async fn an_entry_that_dies_after_a_later_one_is_found_without_beginning_anew() {
    let stage = Stage::start().await;
    let early = stage.add(&[("a", "1")]).await;
    let later = stage.dead(&[("a", "2")]).await;
    let page = stage.source.list(QUEUE, Cursor::default()).await.unwrap();
    assert_eq!(page.episodes, std::slice::from_ref(&later.episode));
    stage.claim("b", &early).await;
    stage.claim("b", &early).await;
    let found = testkit::eventually("it to be found", std::time::Duration::from_secs(30), async || {
        let page = stage.source.list(QUEUE, page.next).await.unwrap();
        page.episodes.into_iter().find(|episode| episode.job == early)
    });
    assert!(found.await.failed_at_ms <= later.episode.failed_at_ms);
    let consumers: u64 = stage.ask(cmd("XGROUP").arg("DELCONSUMER").arg(STREAM).arg(GROUP).arg("b")).await;
    assert_eq!(consumers, 2);
    assert_eq!(stage.list().await, [], "who deletes a consumer deletes what it has");
}

async fn run(stage: &Stage, asked: &redis::Pipeline) {
    let client = redis::Client::open(stage.redis.url()).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    asked.query_async::<()>(&mut connection).await.unwrap();
}
