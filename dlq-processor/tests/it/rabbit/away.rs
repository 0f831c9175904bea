//! A broker that goes, comes back, hangs, or does not take us; and queues that are not there.

use std::time::Duration;

use dlq_processor::source::rabbitmq::BackTo;
use dlq_processor::source::{Cursor, Put, Source, SourceError};

use super::broker::{Broker, DEAD, died, list, lost, read, source_of, with};
use crate::bullmq::Proxy;

#[tokio::test]
async fn a_broker_may_go_and_come_back_at_any_time() {
    let broker = Broker::start().await;
    what_may_be_back_is_said_to_be_unsure_and_what_was_not_sent_is_not(&broker).await;
    a_queue_that_is_not_there_stops_no_other(&broker).await;
    a_broker_that_was_away_is_used_again(broker).await;
}

async fn what_may_be_back_is_said_to_be_unsure_and_what_was_not_sent_is_not(broker: &Broker) {
    let proxy = Proxy::before(&broker.rabbit.addr().to_string()).await;
    let url = format!("amqp://{}/%2f", proxy.addr());
    let late = Duration::from_secs(2);
    let source = source_of(&url, &[DEAD], BackTo::Exchange).with_deadline(late);
    broker.publish("", DEAD, with(&[died("orders", "shop", "order.placed")]), "a").await;
    let episodes = list(&source, 1).await;
    let found = read(&source, &episodes).await.remove(0);
    let order = |id: &str| lost(&found, id);
    let three = [order("before"), order("the lost one"), order("after")];
    let put = [Put::Moved, Put::Unsure, Put::Untaken];

    proxy.keep_answers_to("the lost one");
    assert_eq!(source.put_anew(&three).await.unwrap(), put);
    assert!(matches!(source.put_anew(&three).await, Err(SourceError::Late(_))), "nothing was done");
    assert!(matches!(source.list(DEAD, Cursor::default()).await, Err(SourceError::Late(_))));
    proxy.lead_on();
    proxy.cut_answers_to("the lost one");
    assert_eq!(source.put_anew(&three).await.unwrap(), put);
    assert!(matches!(source.put_anew(&three).await, Err(SourceError::Away(_))), "nothing was done");
    proxy.lead_on();
    // All that was sent did come, though nobody said so.
    broker.wait_for_ready("orders", 4).await;
    assert_eq!(list(&source, 1).await, episodes);
    assert_eq!(source.forget(&episodes).await.unwrap(), 1);
}

async fn a_queue_that_is_not_there_stops_no_other(broker: &Broker) {
    let url = broker.rabbit.url();
    let some = source_of(&url, &["nobody-s", DEAD], BackTo::Exchange);
    assert_eq!(some.queues().await.unwrap(), [DEAD]);
    let none = source_of(&url, &["nobody-s"], BackTo::Exchange);
    let error = none.queues().await.unwrap_err().to_string();
    assert!(error.starts_with("RabbitMQ: ") && error.contains("no queue 'nobody-s' in vhost '/'"), "{error}");
    assert!(matches!(none.list("nobody-s", Cursor::default()).await, Err(SourceError::Away(_))));
}

async fn a_broker_that_was_away_is_used_again(mut broker: Broker) {
    // A question that it ends over may have no answer at all.
    let source = broker.source().with_deadline(Duration::from_secs(2));
    broker.publish("", DEAD, with(&[died("orders", "shop", "order.placed")]), "a").await;
    let episodes = list(&source, 1).await;
    let order = [lost(&read(&source, &episodes).await[0], "1")];
    let url = broker.rabbit.url().replace("://", "://guest:hunter2@");
    let stranger = source_of(&url, &[DEAD], BackTo::Exchange);
    let mut said = vec![stranger.queues().await.unwrap_err()];
    broker.rabbit.end();
    said.push(source.queues().await.unwrap_err());
    said.push(source.put_anew(&order).await.unwrap_err());
    for source in [&source, &stranger] {
        let error = source.queues().await.unwrap_err();
        assert!(matches!(error, SourceError::Away(_)), "{error:?}");
        said.push(error);
    }
    assert!(said.iter().all(|error| !format!("{error} {error:?}").contains("hunter2")), "{said:?}");
    broker.rabbit.begin().await;
    assert_eq!(list(&source, 1).await, episodes);
    assert_eq!(source.put_anew(&order).await.unwrap(), [Put::Moved]);
    assert_eq!(source.forget(&episodes).await.unwrap(), 1);
}
