//! What BullMQ never writes, or writes so much of that it hurts.

use dlq_processor::source::{Cursor, Put, Source};

use super::seed::{Seeded, episode, order};

#[tokio::test]
async fn what_is_no_text_is_kept_byte_for_byte_and_shown_as_well_as_can_be() {
    let seeded = Seeded::start().await;
    seeded.add([("1".to_owned(), 10)]).await;
    let (data, key) = (b"{\"\xff\0\":1}", "bull:mails:1");
    let mut asked = redis::pipe();
    asked.hset(key, "data", data).ignore();
    for field in ["name", "failedReason", "stacktrace", "opts", "atm", "stc", "timestamp", "priority", "delay", "pb"] {
        asked.hset(key, field, b"\xff").ignore();
    }
    asked.hset(key, b"\xfe", b"\xff").ignore();
    seeded.query::<()>(&asked).await;
    let found = seeded.source.read(&[episode("1", 10)]).await.unwrap().remove(0).unwrap();
    assert_eq!((found.data.as_slice(), found.name.as_str()), (data.as_slice(), "\u{fffd}"));
    assert_eq!((found.reason.as_deref(), found.stack, found.attempts), (Some("\u{fffd}"), None, 0));
    assert_eq!((found.stalls, found.put_in_at_ms), (0, None));
    assert_eq!(seeded.source.put_back(&[order("1", 10)]).await.unwrap(), [Put::Moved]);
    let mut asked = redis::pipe();
    asked.hget(key, "data").lrange("bull:mails:wait", 0, -1);
    let (kept, waiting): (Vec<u8>, Vec<String>) = seeded.query(&asked).await;
    assert_eq!((kept.as_slice(), waiting), (data.as_slice(), vec!["1".to_owned()]));
}

#[tokio::test]
async fn what_lacks_fields_or_is_not_there_is_passed_over() {
    let seeded = Seeded::start().await;
    seeded.add([("whole".to_owned(), 10)]).await;
    let mut asked = redis::pipe();
    for (job, fields) in [
        ("bare", &[("failedReason", ""), ("finishedOn", "11")][..]),
        ("not failed", &[("name", "x"), ("finishedOn", "12")]),
        ("not ended", &[("failedReason", "x")]),
        ("soon", &[("failedReason", "x"), ("finishedOn", "soon")]),
    ] {
        asked.hset_multiple(format!("bull:mails:{job}"), fields).ignore();
        asked.zadd("bull:mails:failed", job, 13).ignore();
    }
    asked.zadd("bull:mails:failed", "ghost", 14).zadd("bull:mails:failed", b"\xff", 15).ignore();
    seeded.query::<redis::Value>(&asked).await;
    let page = seeded.source.list("mails", Cursor::default()).await.unwrap();
    assert_eq!((page.episodes.len(), page.failed), (7, 7));
    let found = seeded.source.read(&page.episodes).await.unwrap();
    let jobs: Vec<String> = found.iter().flatten().map(|found| found.episode.job.clone()).collect();
    assert_eq!((found.len(), jobs), (7, vec!["whole".to_owned(), "bare".to_owned()]));
    assert_eq!(
        seeded.source.put_back(&[order("bare", 11), order("ghost", 14)]).await.unwrap(),
        [Put::Moved, Put::Gone]
    );
}

#[tokio::test]
async fn a_stack_of_any_length_is_read() {
    let seeded = Seeded::start().await;
    seeded.add([("many".to_owned(), 10), ("long".to_owned(), 11), ("no json".to_owned(), 12)]).await;
    let many = serde_json::to_string(&vec!["Error: x"; 100_000]).unwrap();
    let long = serde_json::to_string(&["x".repeat(8 << 20)]).unwrap();
    let mut asked = redis::pipe();
    for (job, stack) in [("many", many), ("long", long), ("no json", "[".repeat(1 << 20))] {
        asked.hset(format!("bull:mails:{job}"), "stacktrace", stack).ignore();
    }
    seeded.query::<()>(&asked).await;
    let episodes = [episode("many", 10), episode("long", 11), episode("no json", 12)];
    let found = seeded.source.read(&episodes).await.unwrap();
    let lengths: Vec<Option<usize>> =
        found.iter().map(|found| found.as_ref().unwrap().stack.as_ref().map(String::len)).collect();
    assert_eq!(lengths, [Some(8), Some(8 << 20), None]);
}

#[tokio::test]
async fn what_a_job_takes_is_known_before_it_is_read() {
    let seeded = Seeded::start().await;
    seeded.add([("small".to_owned(), 10), ("large".to_owned(), 11)]).await;
    let mut asked = redis::pipe();
    asked.hset("bull:mails:large", "data", "x".repeat(1 << 20)).hset("bull:mails:large", "stacktrace", "y".repeat(500));
    seeded.query::<redis::Value>(&asked).await;
    let episodes = [episode("small", 10), episode("gone", 12), episode("large", 11)];
    let sizes = seeded.source.sizes(&episodes).await.unwrap();
    assert!(sizes[0] < 1_000 && sizes[1..] == [0, (1 << 20) + 500], "{sizes:?}");
    assert!(seeded.source.sizes(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn settings_that_are_no_numbers_stop_nothing_half_way() {
    let seeded = Seeded::start().await;
    seeded.add([("1".to_owned(), 10), ("2".to_owned(), 11)]).await;
    let mut asked = redis::pipe();
    asked.hset("bull:mails:meta", "concurrency", "many").hset("bull:mails:meta", "opts.maxLenEvents", "all").ignore();
    seeded.query::<redis::Value>(&asked).await;
    assert_eq!(seeded.source.put_back(&[order("1", 10)]).await.unwrap(), [Put::Moved]);
    assert_eq!(seeded.source.forget(&[episode("2", 11)]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_queue_whose_name_is_no_text_of_a_server_is_left_out() {
    let seeded = Seeded::start().await;
    let mut asked = redis::pipe();
    for key in ["bull:mails:meta", "bull:a\0b:meta"] {
        asked.hset(key, "version", "bullmq:5.58.0").ignore();
    }
    seeded.query::<()>(&asked).await;
    assert_eq!(seeded.source.queues().await.unwrap(), ["mails"]);
}

#[tokio::test]
async fn a_job_that_its_queue_refuses_stays_as_it_is() {
    let seeded = Seeded::start().await;
    seeded.add([("1".to_owned(), 10)]).await;
    let mut asked = redis::pipe();
    asked.set("bull:mails:wait", "no list").ignore();
    seeded.query::<()>(&asked).await;
    let error = seeded.source.put_back(&[order("1", 10)]).await.unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
    let mut asked = redis::pipe();
    asked.del("bull:mails:wait").ignore();
    seeded.query::<()>(&asked).await;
    assert!(seeded.source.read(&[episode("1", 10)]).await.unwrap()[0].is_some());
    assert_eq!(seeded.source.put_back(&[order("1", 10)]).await.unwrap(), [Put::Moved]);
}
