//! The whole configuration: read as every daemon reads its own, checked before anything is opened.

mod in_force;
mod policy_text;
mod queue;
mod source;
mod written;

pub(crate) use in_force::InForce;
pub(crate) use policy_text::read_policy;
pub(crate) use queue::{QueueSettings, read_rate};
pub(crate) use source::SourceSettings;
pub(crate) use written::Written;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::alert::AlertSettings;
use kit::config::{Cursor, Environment, Fields, Mistakes, Node, Source as ConfigSource, load_knowing};
use kit::db;
use kit::env::reached_at;
use kit::http::{AccessSettings, decode_access};
use url::Url;

use self::queue::{decode_queue, decode_rate};
use self::source::decode_source;
use crate::policy::{Policy, decode_policy};
use crate::redacted::Redaction;

/// Where it listens unless told otherwise.
pub(crate) const PORT: NonZeroU16 = NonZeroU16::new(8091).expect("a port");
/// Begins the variables that override keys.
pub(crate) const PREFIX: &str = "DLQ";
/// The top-level keys.
const KEYS: [&str; 19] = [
    "listen",
    "data_dir",
    "ledger",
    "sources",
    "queues",
    "rate",
    "jobs",
    "rules",
    "retries",
    "max_age",
    "access",
    "builtin_rules",
    "hosts",
    "operator_token",
    "operator_token_file",
    "monitor",
    "retention",
    "max_ledger",
    "redact",
];
/// Those of them that decide.
const POLICY_KEYS: [&str; 5] = ["jobs", "rules", "retries", "max_age", "builtin_rules"];

/// Redrives a second of everything, unless told otherwise.
const RATE: f64 = 200.0;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// All that a daemon is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where it listens. Default 127.0.0.1:8091.
    pub(crate) listen: SocketAddr,
    /// Where it keeps what it keeps. Default data/dlq-processor.
    pub(crate) data_dir: PathBuf,
    /// Where the ledger is. Default `ledger.db` in the data folder.
    pub(crate) ledger: db::Source,
    /// Where dead letters come from.
    pub(crate) sources: Vec<SourceSettings>,
    /// What may be done in queues; the last that matches counts.
    pub(crate) queues: Vec<QueueSettings>,
    /// Redrives a second of everything, at most. Default 200.
    pub(crate) rate: f64,
    /// Who may do what.
    pub(crate) access: AccessSettings,
    /// Whom to tell of letters that wait for somebody. Default nobody.
    pub(crate) monitor: Option<AlertSettings>,
    /// How long letters are kept.
    pub(crate) retention: RetentionSettings,
    /// How large the ledger may be, in bytes: beyond it nothing is taken in any more. Default 10 GiB.
    pub(crate) max_ledger: u64,
    /// What is hidden of what jobs held.
    pub(crate) redaction: Redaction,
    /// What decides, unless another policy has taken its place ([`InForce`]).
    pub(crate) policy: Policy,
    /// What all of this is read from.
    pub(crate) written: Written,
}

/// How long letters are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionSettings {
    /// Those that were done, failed again or were dealt with by others. Default 7 days.
    pub(crate) ended: Duration,
    /// Those that a person has given up. Default 30 days.
    pub(crate) discarded: Duration,
    /// Those that wait and nobody deals with. Default 30 days.
    pub(crate) waiting: Duration,
    /// Where what these hold is put. Default nowhere: it stays in the ledger.
    pub(crate) cold_dir: Option<PathBuf>,
}

impl Settings {
    /// Reads a file, or a folder of them, and the environment.
    ///
    /// # Errors
    /// Every mistake, one line each, with its place and what to write instead.
    pub(crate) fn load(path: &Path, environment: &Environment) -> Result<Self, Vec<String>> {
        let mistakes = Mistakes::default();
        let root = load_knowing(&ConfigSource { path, environment, prefix: PREFIX }, &KEYS, &mistakes);
        let settings = Cursor::top(&root, &mistakes).fields().map(|fields| decode(fields, &root));
        let found: Vec<String> = mistakes.into_sorted().iter().map(ToString::to_string).collect();
        match settings {
            Some(settings) if found.is_empty() => Ok(settings),
            _ => Err(found),
        }
    }

    /// What may be done in a queue.
    pub(crate) fn of_queue(&self, queue: &str) -> QueueSettings {
        let found = self.queues.iter().rev().find(|settings| settings.queue.matches(queue)).cloned();
        found.unwrap_or_else(QueueSettings::of_any)
    }

    /// Whether letters are redriven in each of these queues.
    pub(crate) fn acts_in<'q>(&self, mut queues: impl Iterator<Item = &'q str>) -> bool {
        queues.all(|queue| self.of_queue(queue).acts)
    }
}

fn decode(fields: Fields<'_>, root: &Node) -> Settings {
    let listen = fields.get("listen").and_then(|cursor| cursor.parse("an address, like 127.0.0.1:8091"));
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], PORT.get())));
    let data_dir = fields.get("data_dir").and_then(|cursor| cursor.text());
    let data_dir = PathBuf::from(data_dir.unwrap_or_else(|| "data/dlq-processor".to_owned()));
    let ledger = fields.get("ledger").and_then(|cursor| decode_ledger(&cursor));
    let ledger = ledger.unwrap_or_else(|| db::Source::Sqlite(data_dir.join("ledger.db")));
    let sources = match fields.require("sources").and_then(|cursor| cursor.entries()) {
        Some(entries) => entries.iter().filter_map(|(name, cursor)| decode_source(name, cursor)).collect(),
        None => Vec::new(),
    };
    let queues = fields.get("queues").map(|cursor| cursor.items()).unwrap_or_default();
    let queues = queues.iter().filter_map(decode_queue).collect();
    let rate = fields.get("rate").and_then(|cursor| decode_rate(&cursor)).unwrap_or(RATE);
    let retention = decode_retention(&fields);
    let max_ledger = fields.get("max_ledger").and_then(|cursor| cursor.bytes(MIB..=1024 * GIB)).unwrap_or(10 * GIB);
    let monitor = fields.get("monitor").and_then(|cursor| decode_monitor(&cursor, listen));
    let redaction = decode_redaction(&fields);
    let (access, policy) = (decode_access(&fields), decode_policy(&fields));
    fields.end();
    Settings {
        listen,
        data_dir,
        ledger,
        sources,
        queues,
        rate,
        access,
        monitor,
        retention,
        max_ledger,
        redaction,
        policy,
        written: Written::new(root.clone()),
    }
}

fn decode_redaction(fields: &Fields<'_>) -> Redaction {
    let mut redaction = Redaction::default();
    for cursor in fields.get("redact").map(|cursor| cursor.items()).unwrap_or_default() {
        let Some(place) = cursor.text() else { continue };
        if !redaction.add(&place) {
            cursor.mistake(format!("{place:?} is no place in data; write it like /card/number, or /users/*/iban"));
        }
    }
    redaction
}

fn decode_ledger(cursor: &Cursor<'_>) -> Option<db::Source> {
    db::Source::parse(&cursor.text()?).map_err(|instead| cursor.mistake(format!("not a database; {instead}"))).ok()
}

fn decode_retention(fields: &Fields<'_>) -> RetentionSettings {
    let mut retention = RetentionSettings { ended: 7 * DAY, discarded: 30 * DAY, waiting: 30 * DAY, cold_dir: None };
    let Some(said) = fields.get("retention").and_then(|cursor| cursor.fields()) else { return retention };
    let length = |key, standard| said.get(key).and_then(|c| c.duration(HOUR..=3650 * DAY)).unwrap_or(standard);
    retention.ended = length("ended", retention.ended);
    retention.discarded = length("discarded", retention.discarded);
    retention.waiting = length("waiting", retention.waiting);
    retention.cold_dir = said.get("cold_dir").and_then(|cursor| cursor.text()).map(PathBuf::from);
    said.end();
    retention
}

fn decode_monitor(cursor: &Cursor<'_>, listen: SocketAddr) -> Option<AlertSettings> {
    let fields = cursor.fields()?;
    let page = fields.get("page").and_then(|cursor| cursor.parse::<Url>("a URL, like https://dlq.example.com/"));
    let page = page.map(as_folder).or_else(|| Url::parse(&format!("http://{}/", reached_at(listen))).ok());
    let url = fields.require("url").and_then(|cursor| cursor.parse::<Url>("a URL, like http://127.0.0.1:8888"));
    let token = fields.secret("token", "token_file");
    fields.end();
    let monitor = url?;
    if !matches!(monitor.scheme(), "http" | "https") || !monitor.username().is_empty() || monitor.password().is_some() {
        cursor
            .mistake("\"url\" is not the monitor's; write it like http://127.0.0.1:8888, and its token as token_file");
        return None;
    }
    Some(AlertSettings { monitor, token, page, ..AlertSettings::new("dlq-processor") })
}

/// With a slash at its end: without it a link would take the place of the last part (RFC 3986 section 5.2.3).
fn as_folder(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str, environment: &Environment) -> Result<Settings, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dlq.yml");
        std::fs::write(&path, yaml).unwrap();
        let shown = format!("{}/", folder.path().display());
        Settings::load(&path, environment)
            .map_err(|mistakes| mistakes.iter().map(|mistake| mistake.replace(&shown, "")).collect())
    }

    #[test]
    fn nothing_is_done_in_a_queue_that_nobody_opted_into() {
        let yaml = "sources: { jobs: { bullmq: { url: 'redis://127.0.0.1:6379' } } }\n\
            queues:\n  - { queue: 'mail*', mode: act, rate: 5/s }\n  - { queue: mail-legal }\n";
        let settings = load(yaml, &Environment::default()).unwrap();
        assert_eq!((settings.listen.port(), settings.sources[0].kind), (8091, "bullmq"));
        let of = |queue| (settings.of_queue(queue).acts, settings.of_queue(queue).rate);
        assert_eq!([of("mails"), of("mail-legal"), of("other")], [(true, 5.0), (false, 20.0), (false, 20.0)]);
    }

    #[test]
    fn links_lead_below_the_page_with_or_without_a_slash_at_its_end() {
        let link = |page: &str| {
            let yaml = format!(
                "sources: {{ jobs: {{ bullmq: {{ url: 'redis://127.0.0.1:6379' }} }} }}\n\
                monitor: {{ url: 'http://127.0.0.1:8888'{page} }}\n"
            );
            let page = load(&yaml, &Environment::default()).unwrap().monitor.unwrap().page.unwrap();
            page.join("letters").unwrap().to_string()
        };
        for page in ["https://ops.example.com/dlq", "https://ops.example.com/dlq/"] {
            assert_eq!(link(&format!(", page: '{page}'")), "https://ops.example.com/dlq/letters");
        }
        assert_eq!(link(", page: 'https://dlq.example.com'"), "https://dlq.example.com/letters");
        assert_eq!(link(""), "http://127.0.0.1:8091/letters");
    }

    #[test]
    fn a_url_with_a_password_comes_from_a_file_or_a_variable() {
        let environment = Environment::of([("QUEUE_REDIS", "redis://:hunter2@10.0.0.1:6379")]);
        let settings = load("sources: { jobs: { bullmq: { url: '${QUEUE_REDIS}' } } }", &environment).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let mistakes = load("sources: { jobs: { bullmq: { url: 'redis://:hunter2@x' } } }", &environment).unwrap_err();
        assert!(
            mistakes[0].contains("a secret does not belong in this file") && !mistakes[0].contains("hunter2"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn our_own_job_tables_are_a_source_whose_password_is_kept() {
        let environment = Environment::of([("JOBS", "postgres://user:hunter2@10.0.0.1/x")]);
        for database in ["${JOBS}", "sqlite:data/jobs.db", "sqlite:data/a@b.db"] {
            let yaml = format!("sources: {{ mails: {{ jobs: {{ database: '{database}', queues: ['mail*'] }} }} }}");
            let settings = load(&yaml, &environment).unwrap();
            assert!(settings.sources[0].kind == "jobs" && !format!("{settings:?}").contains("hunter2"));
        }
        let written = "sources: { mails: { jobs: { database: 'postgres://user:hunter2@x/y' } } }";
        let mistakes = load(written, &environment).unwrap_err();
        assert!(mistakes[0].contains("write database_file: /path/to/file or database: ${VARIABLE}"), "{mistakes:?}");
        assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
    }

    #[test]
    fn dead_letter_queues_of_a_broker_are_a_source_whose_password_is_kept() {
        let environment = Environment::of([("BROKER", "amqp://guest:hunter2@10.0.0.1/%2f")]);
        for url in ["${BROKER}", "amqp://127.0.0.1:5672/%2f"] {
            let yaml = format!(
                "sources: {{ a: {{ rabbitmq: {{ url: '{url}', dead_letter_queues: [a, b], back_to: queue }} }} }}"
            );
            let settings = load(&yaml, &environment).unwrap();
            assert!(settings.sources[0].kind == "rabbitmq" && !format!("{settings:?}").contains("hunter2"));
        }
        let written = "sources: { a: { rabbitmq: { url: 'amqp://guest:hunter2@x/%2f', dead_letter_queues: [a] } } }";
        let mistakes = load(written, &environment).unwrap_err();
        assert!(mistakes[0].contains("write url_file: /path/to/file or url: ${VARIABLE}"), "{mistakes:?}");
        assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
    }

    #[test]
    fn every_mistake_is_told_with_what_to_write() {
        for (yaml, expected) in [
            ("listen: 127.0.0.1", "\"sources\" is missing"),
            (
                "sources: { jobs: { bulmq: {} } }",
                "there is no kind of source \"bulmq\"; write bullmq or jobs or rabbitmq or redis_streams",
            ),
            (
                "sources: { Jobs: { bullmq: { url: 'redis://x' } } }",
                "\"Jobs\" cannot be a name; write lower-case letters",
            ),
            ("sources: { jobs: { bullmq: { queues: [a] } } }", "\"url\" is missing; write url: redis://127.0.0.1:6379"),
            (
                "sources: { jobs: { bullmq: { url: 'http://x' } } }",
                "\"url\" is not one of Redis; write it like redis://",
            ),
            (
                "sources: { a: { redis_streams: { streams: [events] } } }",
                "\"url\" is missing; write url: redis://127.0.0.1:6379, or url_file",
            ),
            (
                "sources: { a: { redis_streams: { url: 'redis://x', stream: events } } }",
                "\"streams\" is missing; write streams: [events]",
            ),
            (
                "sources: { a: { redis_streams: { url: 'http://x', streams: [events] } } }",
                "\"url\" is not one of Redis; write it like redis://",
            ),
            (
                "sources: { a: { bullmq: { url: 'redis://x', lists: { keep: 0 } } } }",
                "expected a whole number from 1 to 10000, found 0",
            ),
            (
                "sources: { a: { redis_streams: { url: 'redis://x', streams: [a], lists: { prefix: '' } } } }",
                "\"prefix\" is empty; write prefix: dlq",
            ),
            ("sources: { a: { jobs: { database: 'sqlite:a', lists: {} } } }", "unknown key \"lists\""),
            (
                "sources: { a: { jobs: {} } }",
                "\"database\" is missing; write database: sqlite:data/jobs.db, or database_file",
            ),
            (
                "sources: { a: { jobs: { database: mails.db } } }",
                "\"database\" is not a database; write sqlite:PATH, or",
            ),
            ("sources: { a: { jobs: { database: 'sqlite:a', prefix: b } } }", "unknown key \"prefix\""),
            (
                "sources: { a: { rabbitmq: { dead_letter_queues: [a] } } }",
                "\"url\" is missing; write url: amqp://127.0.0.1:5672/%2f, or url_file: PATH",
            ),
            (
                "sources: { a: { rabbitmq: { url: 'amqp://x/', dead_letter_queues: [a] } } }",
                "\"url\" is not one of RabbitMQ; write it like amqp://127.0.0.1:5672/%2f, with the vhost at its end",
            ),
            (
                "sources: { a: { rabbitmq: { url: 'amqp://x/%2f' } } }",
                "\"dead_letter_queues\" must be 1 to 100 names of queues, each once; write them like [orders.dlq]",
            ),
            (
                "sources: { a: { rabbitmq: { url: 'amqp://x/a', dead_letter_queues: [a, a] } } }",
                "names of queues, each once",
            ),
            (
                "sources: { a: { rabbitmq: { url: 'amqp://x/a', dead_letter_queues: [a], back_to: dlx } } }",
                "expected one of exchange, queue, found \"dlx\"",
            ),
            ("sources: {}\nqueues: [{ queue: a, mode: on }]", "expected one of observe, act, found \"on\""),
            ("sources: {}\nqueues: [{ queue: a, budget: 10 }]", "\"10\" is not a share; write it like 10%"),
            ("sources: {}\nqueues: [{ queue: a, rate: fast }]", "\"fast\" is not a rate; write it like 20/s"),
            (
                "sources: {}\nredact: [card]",
                "\"card\" is no place in data; write it like /card/number, or /users/*/iban",
            ),
            ("sources: {}\nledger: mysql://x", "not a database; write sqlite:PATH, or postgres://"),
            ("sources: {}\nrulez: []", "unknown key \"rulez\"; did you mean \"rules\"?"),
            ("sources: {}\nmonitor: { url: 'http://a:b@x' }", "\"url\" is not the monitor's; write it like"),
            ("sources: {}\nmonitor: { url: 'http://x', page: here }", "is not a URL, like https://dlq.example.com/"),
            ("sources: {}\nlisten: here", "is not an address, like 127.0.0.1:8091"),
        ] {
            let found = load(yaml, &Environment::default()).unwrap_err();
            assert!(found.iter().any(|mistake| mistake.contains(expected)), "{yaml}: {found:?}");
        }
    }
}
