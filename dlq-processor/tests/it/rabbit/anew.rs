//! Messages that are put back: where to, in what form, and as whose.

use dlq_processor::source::rabbitmq::BackTo;
use dlq_processor::source::{Found, Put, Sought, Source, State};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};
use testkit::eventually;

use super::LIMIT;
use super::broker::{Broker, DEAD, died, list, lost, read, source_of, text, with};

/// The only dead letter, which its queue then has no more.
async fn the_one(source: &dlq_processor::source::rabbitmq::RabbitMq) -> Found {
    let episodes = list(source, 1).await;
    let found = read(source, &episodes).await.remove(0);
    assert_eq!(source.forget(&episodes).await.unwrap(), 1);
    found
}

fn headers() -> Vec<(&'static str, AMQPValue)> {
    let mut inner = FieldTable::default();
    inner.insert("a".into(), AMQPValue::Void);
    vec![
        ("boolean", AMQPValue::Boolean(true)),
        ("byte", AMQPValue::ShortShortInt(-1)),
        ("unsigned byte", AMQPValue::ShortShortUInt(255)),
        ("short", AMQPValue::ShortInt(-2)),
        ("unsigned short", AMQPValue::ShortUInt(65_535)),
        ("int", AMQPValue::LongInt(-3)),
        ("unsigned int", AMQPValue::LongUInt(u32::MAX)),
        ("long", AMQPValue::LongLongInt(i64::MIN)),
        ("float", AMQPValue::Float(0.1)),
        ("double", AMQPValue::Double(0.1)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("no text", AMQPValue::LongString(vec![255, 0].into())),
        ("list", AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::LongInt(1), text("b")]))),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("table", AMQPValue::FieldTable(inner)),
        ("nothing", AMQPValue::Void),
    ]
}

#[tokio::test]
async fn messages_are_put_back_as_they_were_each_with_an_answer_of_its_own() {
    let broker = Broker::start().await;
    a_message_is_put_back_as_it_was_and_is_the_same_when_it_dies_again(&broker).await;
    each_message_of_many_is_answered_by_itself(&broker).await;
    a_broker_that_is_short_of_room_says_so_before_it_is_given_anything(&broker).await;
}

async fn a_message_is_put_back_as_it_was_and_is_the_same_when_it_dies_again(broker: &Broker) {
    let source = broker.source();
    let properties = with(&headers()).with_message_id("o-1".into()).with_type("order.placed".into()).with_priority(3);
    let properties = properties.with_correlation_id("c".into()).with_user_id("guest".into()).with_timestamp(17);
    broker.publish("shop", "order.placed", properties, "body\0").await;
    broker.reject("orders").await;
    let first = the_one(&source).await;
    assert_eq!(source.put_anew(&[lost(&first, "order-1")]).await.unwrap(), [Put::Moved]);

    let back = broker.take("orders").await;
    assert_eq!((back.exchange.as_str(), back.routing_key.as_str()), ("shop", "order.placed"));
    let root = first.episode.job.trim_end_matches("@orders");
    let body = back.properties.headers().as_ref().unwrap().inner().get("x-redrive-body").unwrap().clone();
    let ours = [
        ("x-redrive-body", body),
        ("x-redrive", text("order-1")),
        ("x-redrive-of", text(root)),
        ("x-redrive-count", AMQPValue::LongLongInt(1)),
    ];
    let expected =
        with(&[&headers()[..], &ours].concat()).with_message_id("o-1".into()).with_type("order.placed".into());
    let expected = expected.with_priority(3).with_correlation_id("c".into()).with_timestamp(17);
    assert_eq!((&back.properties, back.data.as_slice()), (&expected, b"body\0".as_slice()));
    assert_eq!(broker.ready("orders").await, 0, "once");
    let job = Sought::of(DEAD, &first.episode.job);
    assert_eq!(source.states(&[job]).await.unwrap(), [State::UnderWay]);

    back.nack(lapin::options::BasicNackOptions { requeue: false, multiple: false }).await.unwrap();
    let second = the_one(&source).await;
    assert_eq!(second.episode.job, first.episode.job);
    assert!(second.episode.failed_at_ms > first.episode.failed_at_ms, "{:?}", [second.episode, first.episode]);
    assert_eq!(source.put_anew(&[lost(&second, "order-2")]).await.unwrap(), [Put::Moved]);
    let headers = broker.take("orders").await.properties.headers().clone().unwrap();
    let of = |name: &str| headers.inner().get(name).cloned();
    assert_eq!([of("x-redrive-count"), of("x-redrive-of")], [Some(AMQPValue::LongLongInt(2)), Some(text(root))]);
    assert!(!headers.contains_key("x-death") && !headers.contains_key("x-first-death-queue"));
}

async fn each_message_of_many_is_answered_by_itself(broker: &Broker) {
    let source = broker.source();
    broker.publish("", "full", BasicProperties::default(), "takes all the room").await;
    let places = [
        ("nobody-s", "shop", "unbound"),
        ("orders", "no-such-exchange", "a"),
        ("no-such-queue", "", "no-such-queue"),
        ("full", "", "full"),
        ("orders", "shop", "order.placed"),
        ("small", "", "small"),
    ];
    let mut orders = Vec::new();
    for (queue, exchange, key) in places {
        broker.publish("", DEAD, with(&[died(queue, exchange, key)]), key).await;
        orders.push(lost(&the_one(&source).await, key));
    }
    broker.publish("", DEAD, BasicProperties::default().with_user_id("guest".into()), "from nowhere").await;
    orders.push(lost(&the_one(&source).await, "from nowhere"));
    let put = source.put_anew(&orders).await.unwrap();
    let (no_place, full, well) = (Put::Refused, Put::Untaken, Put::Moved);
    assert_eq!(put, [no_place, no_place, no_place, full, well, well, no_place]);
    assert_eq!([broker.ready("orders").await, broker.ready("small").await, broker.ready(DEAD).await], [1, 1, 0]);
    // Into the one queue, whatever else the exchange would lead it into.
    let source = source_of(&broker.rabbit.url(), &[DEAD], BackTo::Queue);
    assert_eq!(source.put_anew(&orders[4..5]).await.unwrap(), [Put::Moved]);
    broker.take("orders").await;
    let back = broker.take("orders").await;
    assert_eq!((back.exchange.as_str(), back.routing_key.as_str()), ("", "orders"));
}

async fn a_broker_that_is_short_of_room_says_so_before_it_is_given_anything(broker: &Broker) {
    let source = broker.source();
    broker.publish("", DEAD, with(&[died("orders", "shop", "order.placed")]), "a").await;
    let orders = [lost(&the_one(&source).await, "1")];
    broker.rabbit.control(&["set_disk_free_limit", "900000GB"]);
    let refused = async || source.put_anew(&orders).await.err();
    let error = eventually("the broker to take no messages", LIMIT, refused).await;
    assert_eq!(error.to_string(), "RabbitMQ takes no messages now: it is short of memory or disk");
    assert_eq!(source.put_anew(&orders).await.unwrap_err().to_string(), error.to_string());
    assert_eq!(list(&source, 0).await, [], "it is read all the same");
    broker.rabbit.control(&["set_disk_free_limit", "1MB"]);
    let put = async || source.put_anew(&orders).await.ok();
    assert_eq!(eventually("the broker to take messages", LIMIT, put).await, [Put::Moved]);
}
