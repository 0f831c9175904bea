//! A broker with an exchange, queues of which messages die, and the one that they are led into then.

use dlq_processor::source::rabbitmq::{BackTo, RabbitMq};
use dlq_processor::source::{Cursor, Episode, Found, Lost, Order, Source};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use testkit::{Rabbit, eventually};

use super::LIMIT;

/// The queue that dead messages are led into.
pub(crate) const DEAD: &str = "orders.dlq";
const DURABLE: QueueDeclareOptions =
    QueueDeclareOptions { durable: true, passive: false, exclusive: false, auto_delete: false, nowait: false };

pub(crate) struct Broker {
    pub(crate) rabbit: Rabbit,
    pub(crate) channel: Channel,
    _connection: Connection,
}

/// A header.
pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let entries = entries.iter().map(|(name, value)| (ShortString::from(*name), value.clone()));
    FieldTable::from(entries.collect::<std::collections::BTreeMap<_, _>>())
}

/// These headers.
pub(crate) fn with(entries: &[(&str, AMQPValue)]) -> BasicProperties {
    BasicProperties::default().with_headers(table(entries)).with_delivery_mode(2)
}

/// The header of a message that was rejected there, long ago.
pub(crate) fn died(queue: &str, exchange: &str, routing_key: &str) -> (&'static str, AMQPValue) {
    let entry = table(&[
        ("queue", text(queue)),
        ("reason", text("rejected")),
        ("exchange", text(exchange)),
        ("routing-keys", AMQPValue::FieldArray(FieldArray::from(vec![text(routing_key)]))),
        ("count", AMQPValue::LongLongInt(1)),
        ("time", AMQPValue::Timestamp(1000)),
    ]);
    ("x-death", AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(entry)])))
}

impl Broker {
    pub(crate) async fn start() -> Self {
        kit::tls::install();
        let rabbit = Rabbit::start().await;
        let connection = Connection::connect(&rabbit.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let broker = Self { rabbit, channel, _connection: connection };
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        for (exchange, kind) in [("shop", ExchangeKind::Topic), ("dead", ExchangeKind::Fanout)] {
            broker.channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await.unwrap();
        }
        broker.declare(DEAD, &[]).await;
        let dies = ("x-dead-letter-exchange", text("dead"));
        broker.declare("orders", std::slice::from_ref(&dies)).await;
        broker.declare("short-lived", &[dies.clone(), ("x-message-ttl", AMQPValue::LongInt(1))]).await;
        broker.declare("small", &[dies, ("x-max-length", AMQPValue::LongInt(1))]).await;
        let full = [("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))];
        broker.declare("full", &full).await;
        for (queue, exchange, key) in [("orders", "shop", "order.*"), (DEAD, "dead", "")] {
            let (queue, exchange, key) = (queue.into(), exchange.into(), key.into());
            broker
                .channel
                .queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default())
                .await
                .unwrap();
        }
        broker
    }

    async fn declare(&self, queue: &str, arguments: &[(&str, AMQPValue)]) {
        self.channel.queue_declare(queue.into(), DURABLE, table(arguments)).await.unwrap();
    }

    /// Nothing else has read it yet.
    pub(crate) fn source(&self) -> RabbitMq {
        source_of(&self.rabbit.url(), &[DEAD], BackTo::Exchange)
    }

    /// Returns once the broker has it.
    pub(crate) async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &str) {
        let (exchange, key, options) = (exchange.into(), key.into(), BasicPublishOptions::default());
        let confirm = self.channel.basic_publish(exchange, key, options, body.as_bytes(), properties).await.unwrap();
        assert!(confirm.await.unwrap().is_ack());
    }

    /// Takes the next message.
    pub(crate) async fn take(&self, queue: &str) -> BasicGetMessage {
        let get = async || self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
        eventually(&format!("a message in {queue}"), LIMIT, get).await
    }

    /// Has the next message die.
    pub(crate) async fn reject(&self, queue: &str) {
        let options = BasicNackOptions { requeue: false, multiple: false };
        self.take(queue).await.nack(options).await.unwrap();
    }

    /// How many messages nobody holds.
    pub(crate) async fn ready(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..DURABLE };
        self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
    }

    pub(crate) async fn wait_for_ready(&self, queue: &str, count: u32) {
        let is_so = async || (self.ready(queue).await == count).then_some(());
        eventually(&format!("{count} messages in {queue}"), LIMIT, is_so).await;
    }
}

pub(crate) fn source_of(url: &str, queues: &[&str], back_to: BackTo) -> RabbitMq {
    let queues: Vec<String> = queues.iter().map(|queue| (*queue).to_owned()).collect();
    RabbitMq::new(&url.into(), &queues, back_to).unwrap()
}

/// Waits until so many are listed.
pub(crate) async fn list(source: &RabbitMq, count: usize) -> Vec<Episode> {
    let listed = async || {
        let page = source.list(DEAD, Cursor::default()).await.ok()?;
        assert!(page.episodes.len() <= count, "{page:?}");
        (page.episodes.len() == count).then_some(page.episodes)
    };
    eventually(&format!("{count} dead letters"), LIMIT, listed).await
}

pub(crate) async fn read(source: &RabbitMq, episodes: &[Episode]) -> Vec<Found> {
    source.read(episodes).await.unwrap().into_iter().map(Option::unwrap).collect()
}

/// An order to put it back.
pub(crate) fn lost(found: &Found, id: &str) -> Lost {
    let order = Order { episode: found.episode.clone(), id: id.to_owned(), has_all_tries: true };
    Lost { order, kept: found.kept.clone() }
}
