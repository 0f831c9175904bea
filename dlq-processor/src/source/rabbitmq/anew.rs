//! What is published to put a message back: where, and what becomes of its properties.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use super::super::Lost;
use super::death::{Death, deaths_of};
use super::identity::{body_digest, redrives_of, root_of_job};
use super::message::{Headers, Message};

/// Survives a broker that is started anew (AMQP 0-9-1, `delivery-mode`).
const PERSISTENT: u8 = 2;

/// Where messages are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackTo {
    /// To the exchange that each was published to, with its routing key: consumers see it as the first time, and so does every
    /// other queue that it is led into.
    Exchange,
    /// Into the very queue that each died in and no other: consumers see that queue's name as its routing key.
    Queue,
}

/// A message that is ready to be published.
#[derive(Debug, PartialEq)]
pub(super) struct Anew {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

impl Anew {
    /// None if nobody can say where it belongs, or what was kept of it is nothing of this source's.
    pub(super) fn of(Lost { order, kept }: &Lost, back_to: BackTo) -> Option<Self> {
        let message = Message::from_bytes(kept)?;
        let deaths = deaths_of(&message);
        let (exchange, routing_key) = place_of(&message, deaths.first(), back_to)?;
        let mut headers: Headers = message.lasting_headers().inner().clone();
        if back_to == BackTo::Queue {
            // Other queues that the broker would lead it into, too (rabbitmq.com/docs/sender-selected).
            headers.remove("CC");
            headers.remove("BCC");
        }
        let count = i64::try_from(redrives_of(&message)).unwrap_or(i64::MAX).saturating_add(1);
        let of = root_of_job(&order.episode.job, &deaths);
        headers.insert("x-redrive-count".into(), AMQPValue::LongLongInt(count));
        headers.insert("x-redrive-of".into(), AMQPValue::LongString(of.into()));
        headers.insert("x-redrive-body".into(), AMQPValue::LongString(body_digest(&message).into()));
        headers.insert("x-redrive".into(), AMQPValue::LongString(order.id.as_str().into()));
        let properties = properties_of(&message.properties).with_headers(headers.into());
        Some(Self {
            exchange: ShortString::try_new(exchange).ok()?,
            routing_key: ShortString::try_new(routing_key).ok()?,
            properties: properties.with_delivery_mode(PERSISTENT),
            body: message.body,
        })
    }
}

/// Exchange and routing key.
fn place_of(message: &Message, death: Option<&Death>, back_to: BackTo) -> Option<(String, String)> {
    let Some(Death { queue, exchange, routing_key, .. }) = death else {
        // What Spring AMQP's `RepublishMessageRecoverer` published itself (docs.spring.io/spring-amqp).
        return Some((message.text("x-original-exchange")?, message.text("x-original-routingKey")?));
    };
    match routing_key {
        Some(key) if back_to == BackTo::Exchange && !exchange.is_empty() => Some((exchange.clone(), key.clone())),
        // The default exchange knows every queue by its name (AMQP 0-9-1, section 3.1.3.1).
        _ if back_to == BackTo::Queue || exchange.is_empty() => Some((String::new(), queue.clone())),
        _ => None,
    }
}

/// All but `user_id`: a broker refuses one that is not who publishes (rabbitmq.com/docs/validated-user-id).
fn properties_of(from: &BasicProperties) -> BasicProperties {
    let mut to = BasicProperties::default();
    macro_rules! copy {
        ($($read:ident $write:ident),*) => {
            $(if let Some(value) = from.$read() {
                to = to.$write(value.clone());
            })*
        };
    }
    copy!(
        content_type with_content_type,
        content_encoding with_content_encoding,
        priority with_priority,
        correlation_id with_correlation_id,
        reply_to with_reply_to,
        expiration with_expiration,
        message_id with_message_id,
        timestamp with_timestamp,
        kind with_type,
        app_id with_app_id,
        cluster_id with_cluster_id
    );
    to
}

#[cfg(test)]
mod tests {
    use lapin::types::{FieldArray, FieldTable};

    use super::super::super::{Episode, Order};
    use super::*;

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn dead(exchange: &str, more: &[(&str, AMQPValue)]) -> Message {
        let mut entry = FieldTable::default();
        entry.insert("queue".into(), text("orders")).insert("exchange".into(), text(exchange));
        entry.insert(
            "routing-keys".into(),
            AMQPValue::FieldArray(FieldArray::from(vec![text("order.placed"), text("b")])),
        );
        let mut headers: Headers = more.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(entry)])));
        headers.insert("x-first-death-queue".into(), text("orders"));
        let properties = BasicProperties::default().with_headers(headers.into()).with_user_id("shop".into());
        Message { properties: properties.with_message_id("m".into()).with_delivery_mode(1), body: b"body".to_vec() }
    }

    fn anew(message: &Message, back_to: BackTo) -> Option<Anew> {
        let episode = Episode { queue: "dead".to_owned(), job: "m~1#2@orders".to_owned(), failed_at_ms: 1 };
        let order = Order { episode, id: "o-7".to_owned(), has_all_tries: true };
        Anew::of(&Lost { order, kept: message.to_bytes() }, back_to)
    }

    fn place(message: &Message, back_to: BackTo) -> Option<[String; 2]> {
        anew(message, back_to).map(|anew| [anew.exchange.to_string(), anew.routing_key.to_string()])
    }

    #[test]
    fn a_message_goes_back_to_where_it_was_published_or_into_the_queue_it_died_in() {
        let [shop, default] = ["shop", ""].map(|exchange| dead(exchange, &[]));
        let strings = |place: [&str; 2]| Some(place.map(str::to_owned));
        assert_eq!(place(&shop, BackTo::Exchange), strings(["shop", "order.placed"]));
        assert_eq!(place(&shop, BackTo::Queue), strings(["", "orders"]));
        assert_eq!(place(&default, BackTo::Exchange), strings(["", "orders"]));
        assert_eq!(place(&Message::default(), BackTo::Exchange), None, "nobody says where it was");
        let headers: Headers = [("x-original-exchange", "shop"), ("x-original-routingKey", "a")]
            .map(|(name, value)| (name.into(), text(value)))
            .into();
        let of_spring =
            Message { properties: BasicProperties::default().with_headers(headers.into()), body: Vec::new() };
        assert_eq!(place(&of_spring, BackTo::Queue), strings(["shop", "a"]));
    }

    #[test]
    fn what_goes_back_says_who_it_is_and_has_nothing_of_its_last_journey() {
        let body = ("x-redrive-body", text("230d8358dc8e8890"));
        let cc = ("CC", AMQPValue::FieldArray(FieldArray::default()));
        let before = [cc, ("x-redrive-count", AMQPValue::LongInt(4)), body.clone()];
        let anew = anew(&dead("shop", &before), BackTo::Queue).unwrap();
        let headers = anew.properties.headers().clone().unwrap();
        let expected: Headers = [
            ("x-redrive-count".into(), AMQPValue::LongLongInt(5)),
            ("x-redrive-of".into(), text("m~1#2")),
            ("x-redrive".into(), text("o-7")),
            (body.0.into(), body.1),
        ]
        .into();
        assert_eq!(headers.inner(), &expected);
        assert_eq!((anew.properties.user_id(), anew.properties.delivery_mode()), (&None, &Some(2)));
        assert_eq!((anew.properties.message_id(), anew.body.as_slice()), (&Some("m".into()), b"body".as_slice()));
    }
}
