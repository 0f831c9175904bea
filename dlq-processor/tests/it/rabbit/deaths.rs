//! Every way in which a message dies, and that looking changes nothing.

use dlq_processor::source::{Cursor, Found, Source};
use lapin::BasicProperties;

use super::broker::{Broker, DEAD, list, read, text, with};

#[tokio::test]
async fn every_dead_message_is_listed_with_its_reason_and_stays_in_its_queue_until_it_is_taken_out() {
    let broker = Broker::start().await;
    what_died_is_listed_with_its_reason_and_stays_in_its_queue(&broker).await;
    a_queue_with_more_than_is_held_at_once_is_read_to_its_end(&broker).await;
}

async fn what_died_is_listed_with_its_reason_and_stays_in_its_queue(broker: &Broker) {
    let source = broker.source();
    assert_eq!(source.queues().await.unwrap(), [DEAD]);
    let placed = with(&[("error", text("connect ECONNREFUSED"))]).with_message_id("o-1".into());
    broker.publish("shop", "order.placed", placed.with_type("order.placed".into()).with_timestamp(17), "{}").await;
    broker.reject("orders").await;
    broker.publish("", "short-lived", BasicProperties::default().with_message_id("o-2".into()), "b").await;
    for (id, body) in [("o-3", "c"), ("o-4", "d")] {
        broker.publish("", "small", BasicProperties::default().with_message_id(id.into()), body).await;
    }
    let episodes = list(&source, 3).await;
    let found = read(&source, &episodes).await;
    let of = |id: &str| found.iter().find(|found| found.episode.job.starts_with(&format!("{id}~"))).unwrap();
    let said = |found: &Found| found.reason.clone().unwrap_or_default();
    assert_eq!(said(of("o-1")), "connect ECONNREFUSED; rejected in orders");
    assert_eq!([said(of("o-2")), said(of("o-3"))], ["expired in short-lived", "maxlen in small"]);
    let one = of("o-1");
    assert_eq!((one.name.as_str(), one.data.as_slice(), one.attempts), ("order.placed", b"{}".as_slice(), 1));
    assert_eq!((one.put_in_at_ms, of("o-3").name.as_str()), (Some(17_000), "small"));
    assert!(one.episode.job.ends_with("@orders"), "{}", one.episode.job);
    let age_ms = jiff::Timestamp::now().as_millisecond() - one.episode.failed_at_ms;
    assert!((-1000..60_000).contains(&age_ms), "{age_ms}");

    assert_eq!(source.list(DEAD, Cursor::default()).await.unwrap().failed, 3);
    assert_eq!(broker.ready(DEAD).await, 0, "they are held");
    drop(source);
    broker.wait_for_ready(DEAD, 3).await;
    // Whoever comes next calls them the same.
    let next = broker.source();
    assert_eq!(list(&next, 3).await, episodes);
    assert_eq!(next.forget(&episodes).await.unwrap(), 3);
    assert_eq!(next.forget(&episodes).await.unwrap(), 0);
    assert_eq!(next.read(&episodes).await.unwrap(), [None, None, None]);
    drop(next);
    assert_eq!(broker.take("small").await.data, b"d");
    assert_eq!(broker.ready(DEAD).await, 0);
}

async fn a_queue_with_more_than_is_held_at_once_is_read_to_its_end(broker: &Broker) {
    const MANY: usize = 1200;
    for number in 0..MANY {
        let properties = BasicProperties::default().with_message_id(format!("m-{number}").into());
        broker.publish("", DEAD, properties, "x").await;
    }
    let source = broker.source();
    let mut jobs = std::collections::BTreeSet::new();
    for expected in [499, 499, 202, 0] {
        let page = source.list(DEAD, Cursor::default()).await.unwrap();
        assert_eq!((page.episodes.len(), page.failed), (expected, (MANY - jobs.len()) as u64));
        // What is listed again is not taken again.
        assert_eq!(source.list(DEAD, page.next).await.unwrap().episodes, page.episodes);
        jobs.extend(page.episodes.iter().map(|episode| episode.job.clone()));
        assert_eq!(source.forget(&page.episodes).await.unwrap(), expected as u64);
    }
    assert_eq!(jobs.len(), MANY);
}
