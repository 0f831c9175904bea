//! What names a death of a message: the same after every delivery, another for every other message and death, as far as a
//! broker tells them apart.
//!
//! A message is named by its `message_id` and its body, or without a `message_id` by all of it, and by the queue that it died
//! in: what was led into two queues may die in both. What was put back keeps its name.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::death::Death;
use super::message::{Message, count_of};

/// Longest name that a message brings, in bytes: a short string of AMQP and what we add to it.
const MAX_ROOT_BYTES: usize = 320;
/// The last second of the year 9999: what is later is no time.
const LAST_SECS: u64 = 253_402_300_799;
/// Redrives and deaths that are told apart within one second.
const MAX_REDRIVES: u64 = 9;
const MAX_DEATHS: u64 = 99;

/// What is known of it before it is counted among its equals.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// The message, wherever it dies.
    root: String,
    /// The queue that it died in, if a broker says so.
    died_in: Option<String>,
    /// When it died.
    pub(super) at: At,
}

/// When a message died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// At this time, in milliseconds since the epoch; and nothing else that is equal did.
    Known(i64),
    /// Nobody says when, and others may be equal: this is what can be said of it at any time.
    Unknown(i64),
}

impl Identity {
    /// Reads that of a message.
    pub(super) fn of(message: &Message, deaths: &[Death]) -> Self {
        let before = message.text("x-redrive-of").filter(|root| is_plain(root) && is_ours(message));
        let is_named = before.is_some() || message_id(message).is_some();
        let redrives = redrives_of(message);
        let counted: u64 = deaths.iter().map(|death| death.count).fold(0, u64::saturating_add);
        // A broker writes seconds: what died twice within one did so another time by these counts.
        let within_second = redrives.min(MAX_REDRIVES) * (MAX_DEATHS + 1) + counted.min(MAX_DEATHS);
        let died_secs = deaths.iter().filter_map(|death| death.at_secs).max();
        let said_secs = died_secs.or(*message.properties.timestamp()).filter(|secs| *secs <= LAST_SECS);
        let at_ms = i64::try_from(said_secs.unwrap_or(0) * 1000 + within_second).unwrap_or(i64::MAX);
        Self {
            root: before.unwrap_or_else(|| root_of(message, died_secs.is_some())),
            died_in: deaths.first().map(|death| death.queue.clone()).filter(|queue| is_plain(queue)),
            at: if is_named || died_secs.is_some() { At::Known(at_ms) } else { At::Unknown(at_ms) },
        }
    }

    /// Names the job of the first, second, … of its equals.
    pub(super) fn job(&self, number: u64) -> String {
        let Self { root, died_in, .. } = self;
        let number = if number > 1 { format!("#{number}") } else { String::new() };
        match died_in {
            Some(queue) => format!("{root}{number}@{queue}"),
            None => format!("{root}{number}"),
        }
    }
}

/// What a message carries with it when it is put back, of the job's name.
pub(super) fn root_of_job(job: &str, deaths: &[Death]) -> String {
    let died_in = deaths.first().map(|death| format!("@{}", death.queue)).unwrap_or_default();
    job.strip_suffix(&died_in).unwrap_or(job).to_owned()
}

/// How often we put a message back already.
pub(super) fn redrives_of(message: &Message) -> u64 {
    message.header("x-redrive-count").and_then(count_of).filter(|_| is_ours(message)).unwrap_or(0)
}

/// What tells a body from others.
pub(super) fn body_digest(message: &Message) -> String {
    hex(&Sha256::digest(&message.body), 16)
}

/// Whether it is what we put back, and not what a consumer made of that and gave the same headers.
fn is_ours(message: &Message) -> bool {
    message.text("x-redrive-body").is_some_and(|digest| digest == body_digest(message))
}

/// Returns the time that a message was published at by its own words, in milliseconds since the epoch.
pub(super) fn published_ms(message: &Message) -> Option<i64> {
    let secs = message.properties.timestamp().filter(|secs| *secs <= LAST_SECS)?;
    i64::try_from(secs * 1000).ok()
}

/// One that a broker wrote the death of may carry new headers the next time and be the same. What a program published
/// because it failed is told from an earlier failure by them alone.
fn root_of(message: &Message, is_of_broker: bool) -> String {
    match message_id(message) {
        Some(id) if is_of_broker => format!("{id}~{}", body_digest(message)),
        Some(id) => format!("{id}~{}", hex(&message.digest(), 16)),
        None => format!("sha256:{}", hex(&message.digest(), 32)),
    }
}

fn message_id(message: &Message) -> Option<&str> {
    message.properties.message_id().as_ref().map(|id| id.as_str()).filter(|id| is_plain(id))
}

/// Whether it can stand in a ledger, an answer and a log.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_ROOT_BYTES && !name.chars().any(char::is_control)
}

fn hex(bytes: &[u8], digits: usize) -> String {
    HEXLOWER.encode(bytes).chars().take(digits).collect()
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::AMQPValue;

    use super::super::message::Headers;
    use super::*;

    fn message(id: Option<&str>, body: &str, headers: &[(&str, AMQPValue)]) -> Message {
        let headers: Headers = headers.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        let properties = BasicProperties::default().with_headers(headers.into());
        let properties = id.into_iter().fold(properties, |properties, id| properties.with_message_id(id.into()));
        Message { properties, body: body.as_bytes().to_vec() }
    }

    fn death(queue: &str, at_secs: u64, count: u64) -> Death {
        Death { queue: queue.to_owned(), count, at_secs: Some(at_secs), ..Death::default() }
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    /// The headers of a message with the body `a`.
    fn put_back(of: &str, count: i64) -> [(&'static str, AMQPValue); 3] {
        let count = AMQPValue::LongLongInt(count);
        [("x-redrive-of", text(of)), ("x-redrive-count", count), ("x-redrive-body", text("ca978112ca1bbdca"))]
    }

    #[test]
    fn a_message_is_named_by_its_id_its_body_and_the_queue_it_died_in() {
        let of = |message: &Message, deaths: &[Death]| {
            (Identity::of(message, deaths).job(1), Identity::of(message, deaths).at)
        };
        let one = message(Some("o-1"), "a", &[]);
        assert_eq!(of(&one, &[death("orders", 10, 1)]), ("o-1~ca978112ca1bbdca@orders".to_owned(), At::Known(10_001)));
        let mended = message(Some("o-1"), "a", &[("x-tries", AMQPValue::LongInt(2))]);
        assert_eq!(of(&mended, &[death("orders", 11, 1)]).0, of(&one, &[death("orders", 10, 1)]).0);
        for other in [
            of(&message(Some("o-1"), "b", &[]), &[death("orders", 10, 1)]),
            of(&one, &[death("bills", 10, 1)]),
            of(&message(Some("o-2"), "a", &[]), &[death("orders", 10, 1)]),
        ] {
            assert_ne!(other.0, of(&one, &[death("orders", 10, 1)]).0);
        }
        let unnamed = of(&message(None, "a", &[]), &[death("orders", 10, 1)]);
        assert!(unnamed.0.starts_with("sha256:") && unnamed.0.ends_with("@orders") && unnamed.1 == At::Known(10_001));
        assert_eq!(of(&message(Some("a\nb"), "a", &[]), &[death("orders", 10, 1)]).0.get(..7), Some("sha256:"));
    }

    #[test]
    fn every_death_of_a_message_has_a_time_of_its_own() {
        let at =
            |count: i64, deaths: &[Death]| Identity::of(&message(Some("o"), "a", &put_back("o", count)), deaths).at;
        let mut times: Vec<At> = vec![
            at(0, &[death("orders", 10, 1)]),
            at(0, &[death("orders", 10, 2)]),
            at(0, &[death("wait", 10, 2), death("orders", 9, 3)]),
            at(1, &[death("orders", 10, 1)]),
            at(2, &[death("orders", 10, 1)]),
            at(99, &[death("orders", 10, 500)]),
            at(0, &[death("orders", 11, 1)]),
        ];
        assert_eq!(times[5], At::Known(10_999));
        times.dedup();
        assert_eq!(times.len(), 7);
        let forever = Identity::of(&message(Some("o"), "a", &[]), &[death("orders", u64::MAX, 1)]).at;
        assert_eq!(forever, At::Known(1), "what is no time counts as none");
    }

    #[test]
    fn what_a_program_published_is_told_apart_by_its_headers_or_not_at_all() {
        let failed = |at: &str| message(Some("o"), "a", &[("failed-at", text(at))]);
        let [one, other] = ["10:00", "10:01"].map(|at| Identity::of(&failed(at), &[]));
        assert_eq!(one.at, At::Known(0));
        assert_ne!(one.job(1), other.job(1));
        let unnamed = Identity::of(&message(None, "a", &[]), &[]);
        assert_eq!(unnamed.at, At::Unknown(0));
        let mut timed = message(None, "a", &[]);
        timed.properties = timed.properties.with_timestamp(7);
        assert_eq!((Identity::of(&timed, &[]).at, published_ms(&timed)), (At::Unknown(7000), Some(7000)));
    }

    #[test]
    fn what_was_put_back_keeps_its_name() {
        let first = [death("orders", 10, 1)];
        let job = Identity::of(&message(Some("o"), "a", &[]), &first).job(2);
        let root = root_of_job(&job, &first);
        let again = |body: &str| Identity::of(&message(Some("o"), body, &put_back(&root, 1)), &first);
        let other = again("b");
        assert!(other.job(1).starts_with("o~") && other.job(1) != job && other.at == At::Known(10_001), "made of it");
        let again = again("a");
        assert_eq!((again.job(1), again.at), (job, At::Known(10_101)));
    }
}
