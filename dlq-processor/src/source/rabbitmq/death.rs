//! What a broker writes of deaths into the header `x-death` (rabbitmq.com/docs/dlx): one entry for each queue and reason, the
//! newest first.

use lapin::types::{AMQPValue, FieldTable};

use super::message::{Message, count_of, text_of};

/// Where and why a message was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Death {
    pub(super) queue: String,
    /// `rejected`, `expired`, `maxlen` or `delivery_limit`.
    pub(super) reason: String,
    /// The exchange that it was published to; the default one has no name.
    pub(super) exchange: String,
    /// The first of the routing keys that it was published with.
    pub(super) routing_key: Option<String>,
    /// How often, there and for this reason.
    pub(super) count: u64,
    /// In seconds since the epoch. RabbitMQ 3 keeps the time of the first of `count` deaths.
    pub(super) at_secs: Option<u64>,
}

/// Returns the deaths of a message, the newest first; none of one that somebody published into a dead letter queue.
pub(super) fn deaths_of(message: &Message) -> Vec<Death> {
    match message.header("x-death") {
        Some(AMQPValue::FieldArray(entries)) => entries.as_slice().iter().filter_map(death_of).collect(),
        _ => Vec::new(),
    }
}

/// None of what names no queue: that is nothing of a broker's.
fn death_of(entry: &AMQPValue) -> Option<Death> {
    let AMQPValue::FieldTable(entry) = entry else { return None };
    let text = |name| entry.inner().get(name).and_then(text_of);
    Some(Death {
        queue: text("queue")?,
        reason: text("reason").unwrap_or_default(),
        exchange: text("exchange").unwrap_or_default(),
        routing_key: first_key(entry),
        count: entry.inner().get("count").and_then(count_of).unwrap_or(1),
        at_secs: match entry.inner().get("time") {
            Some(AMQPValue::Timestamp(secs)) => Some(*secs),
            _ => None,
        },
    })
}

fn first_key(entry: &FieldTable) -> Option<String> {
    match entry.inner().get("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(text_of),
        _ => None,
    }
}
