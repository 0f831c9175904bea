//! A Redis that goes, comes back, hangs, or does not take us.

use std::time::Duration;

use dlq_processor::source::{Cursor, Place, Put, Source, SourceError};

use super::bull::source_of;
use super::proxy::Proxy;
use super::seed::{Seeded, order};

#[tokio::test]
async fn a_redis_that_was_away_is_used_again_and_told_the_scripts_anew() {
    let mut seeded = Seeded::start().await;
    seeded.add([("1".to_owned(), 10)]).await;
    assert_eq!(seeded.source.put_back(&[order("1", 10)]).await.unwrap(), [Put::Moved]);
    seeded.redis.end();
    for error in [
        seeded.source.list("mails", Cursor::default()).await.unwrap_err(),
        seeded.source.put_back(&[order("1", 10)]).await.unwrap_err(),
        seeded.source.hear(&[("mails".to_owned(), Place::End)].into(), Duration::ZERO).await.unwrap_err(),
    ] {
        assert!(matches!(error, SourceError::Away(_)) && error.to_string().starts_with("Redis: "), "{error:?}");
    }
    seeded.redis.begin().await;
    seeded.add([("2".to_owned(), 20), ("3".to_owned(), 30)]).await;
    // The first one may still find the connection of before.
    let page = seeded.source.list("mails", Cursor::default()).await.unwrap();
    assert_eq!(page.episodes.len(), 2);
    assert_eq!(seeded.source.put_back(&[order("2", 20), order("3", 30)]).await.unwrap(), [Put::Moved, Put::Moved]);
}

#[tokio::test]
async fn scripts_that_a_redis_forgot_are_told_again_within_one_call() {
    let seeded = Seeded::start().await;
    seeded.add((0..2).map(|job| (job.to_string(), 10))).await;
    for job in ["0", "1"] {
        assert_eq!(seeded.source.put_back(&[order(job, 10)]).await.unwrap(), [Put::Moved]);
        let mut asked = redis::pipe();
        asked.cmd("SCRIPT").arg("FLUSH").ignore();
        seeded.query::<()>(&asked).await;
    }
}

#[tokio::test]
async fn a_redis_that_hangs_is_late_and_used_again_when_it_answers() {
    let seeded = Seeded::start().await;
    seeded.add([("1".to_owned(), 10)]).await;
    let proxy = Proxy::start(&seeded.redis.url()).await;
    let source = source_of(&proxy.url(), "bull");
    assert_eq!(source.put_back(&[order("unknown", 1)]).await.unwrap(), [Put::Gone]);
    proxy.keep_answers();
    // Two at once are late together: neither waits for the other first.
    let orders = [order("1", 10)];
    let (put, listed) = tokio::join!(source.put_back(&orders), source.list("mails", Cursor::default()));
    assert_eq!(put.unwrap_err().to_string(), "no answer within 5s");
    assert!(matches!(listed, Err(SourceError::Late(_))));
    proxy.lead_on();
    assert_eq!(source.put_back(&orders).await.unwrap(), [Put::Already], "it was done");
}

#[tokio::test]
async fn a_password_is_never_in_an_error() {
    let mut seeded = Seeded::start().await;
    let address = seeded.redis.url().trim_start_matches("redis://").to_owned();
    let source = source_of(&format!("redis://user:hunter2@{address}"), "bull");
    let error = source.queues().await.unwrap_err();
    assert!(matches!(error, SourceError::Away(_)), "{error:?}");
    let mut said = vec![error.to_string(), format!("{error:?}")];
    assert!(said[0].starts_with("Redis: "), "{said:?}");
    seeded.redis.end();
    said.push(source.queues().await.unwrap_err().to_string());
    assert!(said.iter().all(|said| !said.contains("hunter2")), "{said:?}");
}
