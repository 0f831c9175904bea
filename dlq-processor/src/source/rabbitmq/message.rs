//! A message whole: properties with headers, and body. As bytes it is what AMQP 0-9-1 has on the wire, so that every type of
//! a header comes back as it was.

use lapin::BasicProperties;
use lapin::protocol::basic::{gen_properties, parse_properties};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use sha2::{Digest, Sha256};

/// The form of [`Message::to_bytes`].
const FORM: u8 = 1;
/// Headers that are the broker's own, and of one journey: they change while a message stays what it is
/// (rabbitmq.com/docs/dlx, rabbitmq.com/docs/quorum-queues).
const OF_JOURNEYS: [&str; 5] = ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"];
/// Begins our own headers.
const OURS: &str = "x-redrive";

/// What was published once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Message {
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// All of it as one run of bytes: the form, the length of the properties (4 bytes, the highest first), these as in a
    /// content header (AMQP 0-9-1, section 4.2.6.1), and the body.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let properties = written(&self.properties);
        let mut bytes = Vec::with_capacity(5 + properties.len() + self.body.len());
        bytes.push(FORM);
        bytes.extend(u32::try_from(properties.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(properties);
        bytes.extend(&self.body);
        bytes
    }

    /// None if these are no bytes of [`Self::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.strip_prefix(&[FORM])?.split_first_chunk::<4>()?;
        let (properties, body) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let (rest, properties) = parse_properties(properties).ok()?;
        rest.is_empty().then(|| Self { properties, body: body.to_vec() })
    }

    /// Returns a header, whatever its type.
    pub(super) fn header(&self, name: &str) -> Option<&AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name)
    }

    /// Returns a header that is text. What is no UTF-8 is shown as well as can be.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.header(name).and_then(text_of)
    }

    /// Returns the headers that are neither a journey's nor ours.
    pub(super) fn lasting_headers(&self) -> FieldTable {
        let all = self.properties.headers().iter().flat_map(|headers| headers.inner());
        let lasts = |name: &str| !name.starts_with(OURS) && !OF_JOURNEYS.iter().any(|of| name.starts_with(of));
        let lasting = all.filter(|(name, _)| lasts(name.as_str()));
        FieldTable::from(lasting.map(|(name, value)| (name.clone(), value.clone())).collect::<Headers>())
    }

    /// Digests what stays the same as long as it is the same message.
    pub(super) fn digest(&self) -> [u8; 32] {
        let lasting = self.properties.clone().with_headers(self.lasting_headers());
        let properties = written(&lasting);
        let mut digest = Sha256::new();
        digest.update((properties.len() as u64).to_be_bytes());
        digest.update(properties);
        digest.update(&self.body);
        digest.finalize().into()
    }
}

/// Headers as a table has them: in the order of their names.
pub(super) type Headers = std::collections::BTreeMap<ShortString, AMQPValue>;

/// Returns a value that is text.
pub(super) fn text_of(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Returns a value that is a whole number and not below zero.
pub(super) fn count_of(value: &AMQPValue) -> Option<u64> {
    match *value {
        AMQPValue::ShortShortInt(number) => u64::try_from(number).ok(),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => u64::try_from(number).ok(),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => u64::try_from(number).ok(),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn written(properties: &BasicProperties) -> Vec<u8> {
    let written = gen_properties::<Vec<u8>>(properties)(Vec::new().into());
    written.expect("memory takes whatever a message brought").into_inner().0
}

#[cfg(test)]
mod tests {
    use lapin::types::{DecimalValue, FieldArray};
    use proptest::prelude::*;

    use super::*;

    /// Every type that RabbitMQ has (rabbitmq.com/amqp-0-9-1-errata, section 3).
    fn values() -> Vec<AMQPValue> {
        let mut table = FieldTable::default();
        table.insert("inner".into(), AMQPValue::ByteArray(vec![0, 255].into()));
        vec![
            AMQPValue::Boolean(true),
            AMQPValue::ShortShortInt(-1),
            AMQPValue::ShortShortUInt(255),
            AMQPValue::ShortInt(-2),
            AMQPValue::ShortUInt(65_535),
            AMQPValue::LongInt(-3),
            AMQPValue::LongUInt(u32::MAX),
            AMQPValue::LongLongInt(i64::MIN),
            AMQPValue::Float(0.1),
            AMQPValue::Double(f64::MIN_POSITIVE),
            AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 }),
            AMQPValue::LongString(vec![0xff, 0, b'a'].into()),
            AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void, AMQPValue::LongInt(1)])),
            AMQPValue::Timestamp(1_700_000_000),
            AMQPValue::FieldTable(table),
            AMQPValue::ByteArray(vec![1, 0].into()),
            AMQPValue::Void,
        ]
    }

    fn message() -> Message {
        let headers = values().into_iter().enumerate().map(|(number, value)| (format!("h{number}").into(), value));
        let headers = FieldTable::from(headers.collect::<Headers>());
        let properties = BasicProperties::default().with_headers(headers).with_message_id("m-1".into());
        let properties = properties.with_type("order.placed".into()).with_priority(7).with_timestamp(17);
        Message { properties, body: b"\0\xffbody".to_vec() }
    }

    #[test]
    fn every_type_of_header_comes_back_as_it_was() {
        let message = message();
        let bytes = message.to_bytes();
        let again = Message::from_bytes(&bytes).unwrap();
        assert_eq!(again, message);
        assert_eq!(again.to_bytes(), bytes);
    }

    #[test]
    fn a_message_is_the_same_however_often_it_travels() {
        let message = message();
        let mut headers: Headers = message.properties.headers().clone().unwrap().inner().clone();
        for name in ["x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count", "x-redrive-count"] {
            headers.insert(name.into(), AMQPValue::LongLongInt(1));
        }
        let travelled = |headers: &Headers| Message {
            properties: message.properties.clone().with_headers(headers.clone().into()),
            ..message.clone()
        };
        assert_eq!(travelled(&headers).digest(), message.digest());
        headers.insert("x-tries".into(), AMQPValue::LongLongInt(1));
        assert_ne!(travelled(&headers).digest(), message.digest());
        assert_ne!(Message { body: Vec::new(), ..message.clone() }.digest(), message.digest());
    }

    proptest! {
        #[test]
        fn what_is_no_message_is_refused_and_nothing_worse(bytes: Vec<u8>) {
            let _refused = Message::from_bytes(&bytes);
            let _refused = Message::from_bytes(&[&[FORM, 0, 0, 0, 2], bytes.as_slice()].concat());
        }
    }
}
