//! Which queues there are, what failed in them, and when to look.

use std::time::Duration;

use dlq_processor::source::{Cursor, Episode, PAGE, Source};
use tokio::time::timeout;

use super::LIMIT;
use super::bull::NEVER;
use super::seed::{Seeded, episode};

#[tokio::test]
async fn every_failure_is_on_one_page_also_when_many_are_of_one_millisecond() {
    let seeded = Seeded::start().await;
    // The third page begins and ends within one millisecond.
    let failed_at_ms = |number: i64| if (100..1300).contains(&number) { 100 } else { number };
    seeded.add((0..1400).map(|number| (format!("{number:04}"), failed_at_ms(number)))).await;
    let (mut all, mut cursor) = (Vec::<Episode>::new(), Cursor::default());
    loop {
        let page = seeded.source.list("mails", cursor).await.unwrap();
        assert!(page.episodes.len() <= PAGE);
        assert_eq!(page.failed, 1400);
        if page.episodes.is_empty() {
            assert_eq!(page.next, cursor);
            break;
        }
        all.extend(page.episodes);
        cursor = page.next;
    }
    let expected: Vec<Episode> =
        (0..1400).map(|number| episode(&format!("{number:04}"), failed_at_ms(number))).collect();
    assert_eq!(all, expected);
    let read = seeded.source.read(&all).await.unwrap();
    assert_eq!(read.into_iter().map(|found| found.unwrap().episode).collect::<Vec<_>>(), expected);
    // What fails later is after all that.
    seeded.add([("later".to_owned(), 2000)]).await;
    assert_eq!(seeded.source.list("mails", cursor).await.unwrap().episodes, [episode("later", 2000)]);
}

#[tokio::test]
async fn queues_are_found_whatever_they_are_called() {
    let seeded = Seeded::start().await;
    let mut asked = redis::pipe();
    for queue in ["mails", "a:b", "ü {x} *?[y]", "meta"] {
        asked.hset(format!("bull:{queue}:meta"), "opts.maxLenEvents", 10_000).ignore();
    }
    asked.hset(&b"bull:\xff:meta"[..], "somebody", "else").ignore();
    asked.hset("bull::meta", "no", "queue").ignore();
    asked.hset("bullfrog:mails:meta", "another", "prefix").ignore();
    asked.hset("bull:mails:1", "name", "job").ignore();
    seeded.query::<()>(&asked).await;
    assert_eq!(seeded.source.queues().await.unwrap(), ["a:b", "mails", "meta", "ü {x} *?[y]"]);
}

#[tokio::test]
async fn nothing_that_happens_between_two_waits_is_slept_through() {
    let seeded = Seeded::start().await;
    let queues = ["mails".to_owned(), "others".to_owned()];
    let wait = |patience| seeded.source.wait(&queues, patience);
    let ends = async || timeout(LIMIT, wait(NEVER)).await.unwrap().unwrap();
    let sleeps = async || timeout(Duration::from_millis(50), wait(NEVER)).await.unwrap_err();
    happens(&seeded, "mails").await;
    // Before anybody looked: whoever begins looks anyway.
    sleeps().await;
    seeded.source.list("mails", Cursor::default()).await.unwrap();
    sleeps().await;
    happens(&seeded, "mails").await;
    happens(&seeded, "mails").await;
    ends().await;
    happens(&seeded, "mails").await;
    ends().await;
    // All are heard by then.
    sleeps().await;
    // Of a queue that had no stream yet.
    happens(&seeded, "others").await;
    ends().await;
    sleeps().await;
    tokio::join!(ends(), happens(&seeded, "others"));
    wait(Duration::from_millis(1)).await.unwrap();
}

#[tokio::test]
async fn what_happens_after_a_queue_was_listed_ends_the_first_wait() {
    let seeded = Seeded::start().await;
    let queues = ["mails".to_owned()];
    seeded.source.list("mails", Cursor::default()).await.unwrap();
    happens(&seeded, "mails").await;
    timeout(LIMIT, seeded.source.wait(&queues, NEVER)).await.unwrap().unwrap();
}

async fn happens(seeded: &Seeded, queue: &str) {
    let mut asked = redis::pipe();
    asked.cmd("XADD").arg(format!("bull:{queue}:events")).arg("*").arg("event").arg("failed").ignore();
    seeded.query::<()>(&asked).await;
}
