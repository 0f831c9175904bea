//! What a held message says, as a failed job.

use kit::trace::TRACEPARENT;

use super::super::{Episode, Found, asked_by};
use super::death::{Death, deaths_of};
use super::identity::published_ms;
use super::message::Message;

/// Where consumers write what went wrong, as text: Spring AMQP's `RepublishMessageRecoverer` under the first name
/// (docs.spring.io/spring-amqp, "Message Recovery"), others as they like.
const ERRORS: [&str; 3] = ["x-exception-message", "x-error", "error"];
/// Where the same recoverer writes its stack trace.
const STACK: &str = "x-exception-stacktrace";
/// A limit lets a message be delivered twice at least before it is reached (rabbitmq.com/docs/quorum-queues, "Poison Message
/// Handling").
const LOST_BEFORE_LIMIT: u64 = 2;

/// Makes a failed job of a message that came with a routing key.
pub(super) fn found_of(episode: Episode, message: &Message, routing_key: &str) -> Found {
    let deaths = deaths_of(message);
    let kind = message.properties.kind().as_ref().map(|kind| kind.as_str().to_owned());
    let name = kind.or_else(|| message.text("x-first-death-queue")).unwrap_or_else(|| routing_key.to_owned());
    let counted =
        |deaths: &mut dyn Iterator<Item = &Death>| deaths.map(|death| death.count).fold(0, u64::saturating_add);
    let at_limit = counted(&mut deaths.iter().filter(|death| death.reason == "delivery_limit"));
    Found {
        episode,
        name,
        data: message.body.clone(),
        kept: message.to_bytes(),
        reason: reason_of(message, &deaths),
        stack: message.text(STACK),
        attempts: u32::try_from(counted(&mut deaths.iter())).unwrap_or(u32::MAX),
        stalls: u32::try_from(at_limit.saturating_mul(LOST_BEFORE_LIMIT)).unwrap_or(u32::MAX),
        is_in_flow: false,
        put_in_at_ms: published_ms(message),
        asked_by: message.text(TRACEPARENT.as_str()).as_deref().and_then(asked_by::read),
        found_in: None,
    }
}

/// The consumer's words first: what kind of failure it was is read from their beginning.
fn reason_of(message: &Message, deaths: &[Death]) -> Option<String> {
    let error = ERRORS.iter().find_map(|name| message.text(name));
    let death = deaths.first().map(|Death { queue, reason, count, .. }| match count {
        0 | 1 => format!("{reason} in {queue}"),
        count => format!("{reason} in {queue} ({count} times)"),
    });
    match (error, death) {
        (Some(error), Some(death)) => Some(format!("{error}; {death}")),
        (error, death) => error.or(death),
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::{AMQPValue, FieldArray, FieldTable};

    use super::super::message::Headers;
    use super::*;

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn death(queue: &str, reason: &str, count: i64) -> AMQPValue {
        let mut entry = FieldTable::default();
        entry.insert("queue".into(), text(queue)).insert("reason".into(), text(reason));
        entry.insert("count".into(), AMQPValue::LongLongInt(count)).insert("time".into(), AMQPValue::Timestamp(7));
        AMQPValue::FieldTable(entry)
    }

    fn found(properties: BasicProperties, headers: &[(&str, AMQPValue)]) -> Found {
        let headers: Headers = headers.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        let message = Message { properties: properties.with_headers(headers.into()), body: b"{}".to_vec() };
        let episode = Episode { queue: "dead".to_owned(), job: "1".to_owned(), failed_at_ms: 7 };
        found_of(episode, &message, "key")
    }

    #[test]
    fn reasons_and_counts_are_those_of_the_broker_and_words_those_of_the_consumer() {
        let deaths = |entries: Vec<AMQPValue>| ("x-death", AMQPValue::FieldArray(FieldArray::from(entries)));
        let said = |headers: &[(&str, AMQPValue)]| {
            let found = found(BasicProperties::default(), headers);
            (found.reason.unwrap_or_default(), found.attempts, found.stalls)
        };
        let rejected = deaths(vec![death("orders", "rejected", 3), death("wait", "expired", 2)]);
        assert_eq!(said(std::slice::from_ref(&rejected)), ("rejected in orders (3 times)".to_owned(), 5, 0));
        let with_error = [rejected, ("x-exception-message", text("connect ECONNREFUSED"))];
        assert_eq!(said(&with_error).0, "connect ECONNREFUSED; rejected in orders (3 times)");
        assert_eq!(said(&[deaths(vec![death("orders", "delivery_limit", 1)])]).2, 2, "it counts as poison");
        assert_eq!(said(&[("error", text("boom"))]), ("boom".to_owned(), 0, 0));
        assert_eq!(said(&[("x-death", text("nonsense"))]), (String::new(), 0, 0));
        assert_eq!(
            said(&[deaths(vec![death("q", "delivery_limit", i64::MAX); 3])]),
            (format!("delivery_limit in q ({} times)", i64::MAX), u32::MAX, u32::MAX)
        );
    }

    #[test]
    fn the_span_that_published_a_message_is_in_its_headers() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let asked_by = |value: AMQPValue| found(BasicProperties::default(), &[("traceparent", value)]).asked_by;
        assert_eq!(asked_by(text(given)).unwrap().traceparent(), given);
        for wrong in [text("00-nothing"), text(&"cc-".repeat(200)), AMQPValue::LongLongInt(7)] {
            assert_eq!(asked_by(wrong), None);
        }
    }

    #[test]
    fn a_letter_has_the_name_of_the_message_s_type_or_of_where_it_was_first() {
        let named = BasicProperties::default().with_type("order.placed".into()).with_timestamp(17);
        let first =
            [("x-first-death-queue", text("orders")), ("x-exception-stacktrace", text("java.net.ConnectException: x"))];
        let letter = found(named, &first);
        assert_eq!((letter.name.as_str(), letter.put_in_at_ms), ("order.placed", Some(17_000)));
        assert_eq!(
            (letter.stack.as_deref(), letter.data.as_slice()),
            (Some("java.net.ConnectException: x"), b"{}".as_slice())
        );
        assert_eq!(found(BasicProperties::default(), &first).name, "orders");
        assert_eq!(found(BasicProperties::default(), &[]).name, "key");
    }
}
