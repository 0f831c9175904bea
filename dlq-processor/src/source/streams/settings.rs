//! What a configuration says of streams: which, and when an entry of theirs is dead.

use std::time::Duration;

use kit::config::{Cursor, Fields};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsSettings {
    /// Names of streams; with `*` in them patterns of names.
    pub streams: Vec<String>,
    /// When an entry is dead.
    pub dead_after: DeadAfter,
    /// Whether somebody has said that it does no harm when a redriven entry reaches every group of its stream. Default false:
    /// `other_groups: refuse`.
    pub other_groups_are_harmless: bool,
}

/// When an entry that was delivered and not acknowledged is dead: nothing says so but that it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadAfter {
    /// Deliveries, at least. Default 5: as many as AWS advises for a queue that a function reads ("Using Lambda with Amazon
    /// SQS", `maxReceiveCount`).
    pub deliveries: u32,
    /// How long nobody has taken it up. Default 10 min: it must be longer than the slowest honest handler takes.
    pub idle: Duration,
    /// Consumers that were seen to have it, at least. Default 2: deliveries rise also when one consumer starts again and again
    /// and reads what is pending for it (redis.io, XREADGROUP).
    pub consumers: u32,
    /// What was put in longer ago needs no other consumers. Default 24 h: then also the last handler of a group that has one
    /// consumer, or of which nobody saw the others, has had its day.
    pub age: Duration,
}

impl Default for DeadAfter {
    fn default() -> Self {
        Self { deliveries: 5, idle: 10 * MINUTE, consumers: 2, age: DAY }
    }
}

/// How far a pending entry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// How often it was delivered.
    pub(super) deliveries: u64,
    /// How long nobody has taken it up, in milliseconds.
    pub(super) idle_ms: u64,
    /// Consumers that were seen to have it.
    pub(super) consumers: u32,
    /// When it was put in, in milliseconds since the epoch.
    pub(super) put_in_at_ms: i64,
}

impl DeadAfter {
    /// Whether an entry is dead at the time `now_ms`.
    pub(super) fn is_met(&self, standing: Standing, now_ms: i64) -> bool {
        let age_ms = now_ms.saturating_sub(standing.put_in_at_ms);
        standing.deliveries >= u64::from(self.deliveries)
            && standing.idle_ms >= self.idle_ms()
            && (standing.consumers >= self.consumers
                || u64::try_from(age_ms).is_ok_and(|age_ms| age_ms >= milliseconds(self.age)))
    }

    /// [`Self::idle`] as Redis has it.
    pub(super) fn idle_ms(&self) -> u64 {
        milliseconds(self.idle)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads the keys that are not the server's.
pub(in super::super) fn decode_streams(fields: &Fields<'_>) -> Option<StreamsSettings> {
    const INSTEAD: &str = "write streams: [events], or [\"audit:*\"] for all whose names begin so";
    let streams = fields.get("streams").map(|cursor| cursor.texts());
    let dead_after = fields.get("dead_after").map_or_else(|| Some(DeadAfter::default()), |cursor| decode_dead(&cursor));
    let words = [("refuse", false), ("harmless", true)];
    let others = fields.get("other_groups").map_or(Some(false), |cursor| cursor.one_of(&words));
    let wrong = match &streams {
        None => Some("\"streams\" is missing"),
        Some(streams) if streams.is_empty() || streams.iter().any(String::is_empty) => Some("\"streams\" names none"),
        Some(_) => None,
    };
    if let Some(wrong) = wrong {
        fields.cursor().mistake(format!("{wrong}; {INSTEAD}"));
        return None;
    }
    Some(StreamsSettings { streams: streams?, dead_after: dead_after?, other_groups_are_harmless: others? })
}

fn decode_dead(cursor: &Cursor<'_>) -> Option<DeadAfter> {
    let fields = cursor.fields()?;
    let default = DeadAfter::default();
    let deliveries = fields.get("deliveries").map_or(Some(default.deliveries), |cursor| cursor.whole(1..=1000));
    let idle = fields.get("idle").map_or(Some(default.idle), |cursor| cursor.duration(SECOND..=30 * DAY));
    let consumers = fields.get("consumers").map_or(Some(default.consumers), |cursor| cursor.whole(1..=16));
    let age = fields.get("age").map_or(Some(default.age), |cursor| cursor.duration(MINUTE..=365 * DAY));
    fields.end();
    let dead = DeadAfter { deliveries: deliveries?, idle: idle?, consumers: consumers?, age: age? };
    if dead.consumers > dead.deliveries {
        cursor.mistake(format!(
            "{} deliveries never reach {} consumers; write deliveries: {} or more",
            dead.deliveries, dead.consumers, dead.consumers
        ));
        return None;
    }
    Some(dead)
}

#[cfg(test)]
mod tests {
    use kit::config::{Mistakes, Node};

    use super::*;

    fn decode(yaml: &str) -> Result<StreamsSettings, Vec<String>> {
        let (node, mistakes) = (Node::parse("dlq.yml", yaml).unwrap(), Mistakes::default());
        let fields = Cursor::top(&node, &mistakes).fields().unwrap();
        let settings = decode_streams(&fields);
        fields.end();
        let found: Vec<String> = mistakes.into_sorted().iter().map(ToString::to_string).collect();
        settings.filter(|_| found.is_empty()).ok_or(found)
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let settings = decode("streams: [events, 'audit:*']").unwrap();
        assert_eq!(settings.streams, ["events", "audit:*"]);
        assert_eq!((settings.dead_after, settings.other_groups_are_harmless), (DeadAfter::default(), false));
        let yaml =
            "streams: events\ndead_after: { deliveries: 3, idle: 1m, consumers: 3, age: 2h }\nother_groups: harmless";
        let dead_after = DeadAfter { deliveries: 3, idle: MINUTE, consumers: 3, age: 120 * MINUTE };
        let streams = vec!["events".to_owned()];
        assert_eq!(decode(yaml), Ok(StreamsSettings { streams, dead_after, other_groups_are_harmless: true }));
    }

    #[test]
    fn every_mistake_is_told_with_what_to_write() {
        for (yaml, expected) in [
            ("other_groups: refuse", "\"streams\" is missing; write streams: [events], or [\"audit:*\"] for all"),
            ("streams: []", "\"streams\" names none; write streams: [events]"),
            ("streams: ['']", "\"streams\" names none; write streams: [events]"),
            ("streams: a\nother_groups: fine", "expected one of refuse, harmless, found \"fine\""),
            ("streams: a\ndead_after: { deliveries: 0 }", "expected a whole number from 1 to 1000, found 0"),
            ("streams: a\ndead_after: { consumers: 17 }", "expected a whole number from 1 to 16, found 17"),
            ("streams: a\ndead_after: { idle: 1ms }", "expected a duration from 1s to 30d"),
            ("streams: a\ndead_after: { age: 1s }", "expected a duration from 1m to 365d"),
            ("streams: a\ndead_after: { idel: 1m }", "unknown key \"idel\"; did you mean \"idle\"?"),
            (
                "streams: a\ndead_after: { deliveries: 2, consumers: 3 }",
                "2 deliveries never reach 3 consumers; write deliveries: 3 or more",
            ),
        ] {
            let found = decode(yaml).unwrap_err();
            assert!(found.iter().any(|mistake| mistake.contains(expected)), "{yaml}: {found:?}");
        }
    }

    #[test]
    fn an_entry_is_dead_by_deliveries_and_rest_and_by_consumers_or_age() {
        let day_ms = i64::try_from(DAY.as_millis()).unwrap();
        let check = |deliveries, idle_ms, consumers, age_ms: i64, expected| {
            let standing = Standing { deliveries, idle_ms, consumers, put_in_at_ms: day_ms - age_ms };
            assert_eq!(DeadAfter::default().is_met(standing, day_ms), expected, "{standing:?}");
        };
        check(5, 600_000, 2, 0, true);
        check(4, 600_000, 2, day_ms, false);
        check(5, 599_999, 2, day_ms, false);
        check(1000, 600_000, 1, day_ms - 1, false);
        check(5, 600_000, 1, day_ms, true);
        // Of a clock that is ahead of ours.
        check(5, 600_000, 1, -1, false);
    }
}
