//! Which queues there are, what failed in them, and what they tell of that.

use std::time::Duration;

use dlq_processor::source::{Cursor, Episode, PAGE, Place, Places, Source};
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
    // More than are looked at at once.
    for job in 1..=1000 {
        asked.hset(format!("bull:mails:{job}"), "name", "job").ignore();
    }
    seeded.query::<()>(&asked).await;
    assert_eq!(seeded.source.queues().await.unwrap(), ["a:b", "mails", "meta", "ü {x} *?[y]"]);
}

#[tokio::test]
async fn nothing_that_is_told_between_two_times_that_somebody_listens_is_lost() {
    let seeded = Seeded::start().await;
    fails(&seeded, "mails", "before").await;
    // Who begins at the end is told at once where that is, also of a queue that tells nothing yet.
    let mut places: Places = ["mails", "others"].map(|queue| (queue.to_owned(), Place::End)).into();
    assert_eq!(hear(&seeded, &mut places).await, Vec::<String>::new());
    assert_eq!(places.get("others"), Some(&Place::At("0-0".to_owned())));
    assert_eq!(seeded.source.hear(&places, Duration::from_millis(1)).await.unwrap(), [], "it ends by itself");
    for job in ["1", "2"] {
        fails(&seeded, "mails", job).await;
    }
    tells(&seeded, "mails", &[("event", "completed"), ("jobId", "3")]).await;
    tells(&seeded, "mails", &[("event", "failed")]).await;
    assert_eq!(hear(&seeded, &mut places).await, ["mails 1", "mails 2"]);
    fails(&seeded, "others", "4").await;
    fails(&seeded, "mails", "5").await;
    assert_eq!(hear(&seeded, &mut places).await, ["mails 5", "others 4"]);
    let (told, ()) = tokio::join!(hear(&seeded, &mut places), fails(&seeded, "others", "6"));
    assert_eq!(told, ["others 6"]);
    let mut from_start: Places = [("mails".to_owned(), Place::Start)].into();
    assert_eq!(hear(&seeded, &mut from_start).await, ["mails before", "mails 1", "mails 2", "mails 5"]);
}

#[tokio::test]
async fn what_a_queue_has_forgotten_is_a_gap_and_nothing_else_is() {
    let seeded = Seeded::start().await;
    let mut places: Places = [("mails".to_owned(), Place::Start)].into();
    let hear = async |places: &mut Places| {
        let told = seeded.source.hear(places, NEVER).await.unwrap();
        told.iter().for_each(|told| drop(places.insert(told.queue.clone(), Place::At(told.place.clone()))));
        told.into_iter().map(|told| (told.failed.len(), told.has_gap)).collect::<Vec<_>>()
    };
    for expected in [false, true, false] {
        fails(&seeded, "mails", "1").await;
        fails(&seeded, "mails", "2").await;
        if expected {
            seeded.query::<()>(redis::pipe().cmd("XTRIM").arg("bull:mails:events").arg("MAXLEN").arg(1).ignore()).await;
        }
        let told = hear(&mut places).await;
        assert_eq!(told, [(if expected { 1 } else { 2 }, expected)]);
    }
}

#[tokio::test]
async fn of_a_queue_that_tells_of_much_each_time_a_part_is_heard_and_that_there_is_more() {
    let seeded = Seeded::start().await;
    let mut asked = redis::pipe();
    for _ in 0..1000 {
        asked.cmd("XADD").arg("bull:mails:events").arg("*").arg(&[("event", "waiting"), ("jobId", "1")]).ignore();
    }
    seeded.query::<()>(&asked).await;
    fails(&seeded, "mails", "1").await;
    let mut place = Place::Start;
    for expected in [(0, false), (1, true)] {
        let told = seeded.source.hear(&[("mails".to_owned(), place)].into(), NEVER).await.unwrap();
        assert_eq!(told.iter().map(|told| (told.failed.len(), told.is_all)).collect::<Vec<_>>(), [expected]);
        place = Place::At(told[0].place.clone());
    }
}

/// Hears until something is told, goes on behind it, and says which jobs of which queues failed.
async fn hear(seeded: &Seeded, places: &mut Places) -> Vec<String> {
    let mut failed = Vec::new();
    for told in timeout(LIMIT, seeded.source.hear(places, NEVER)).await.unwrap().unwrap() {
        failed.extend(told.failed.iter().map(|episode| format!("{} {}", episode.queue, episode.job)));
        places.insert(told.queue, Place::At(told.place));
    }
    failed
}

async fn fails(seeded: &Seeded, queue: &str, job: &str) {
    tells(seeded, queue, &[("event", "failed"), ("jobId", job)]).await;
}

async fn tells(seeded: &Seeded, queue: &str, fields: &[(&str, &str)]) {
    let mut asked = redis::pipe();
    asked.cmd("XADD").arg(format!("bull:{queue}:events")).arg("*").arg(fields).ignore();
    seeded.query::<()>(&asked).await;
}
