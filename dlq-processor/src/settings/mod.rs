//! The whole configuration: read as every daemon reads its own, checked before anything is opened.

mod in_force;
mod policy_text;
mod queue;
#[cfg(test)]
mod settings_tests;
mod source;
mod written;

pub(crate) use in_force::InForce;
pub(crate) use policy_text::read_policy;
pub(crate) use queue::{QueueSettings, read_rate};
pub(crate) use source::SourceSettings;
pub(crate) use written::Written;

use std::collections::BTreeSet;
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
const KEYS: [&str; 20] = [
    "listen",
    "data_dir",
    "ledger",
    "sources",
    "queues",
    "rate",
    "jobs",
    "rules",
    "retries",
    "canaries",
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
const POLICY_KEYS: [&str; 6] = ["jobs", "rules", "retries", "canaries", "max_age", "builtin_rules"];

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
    /// Lines of the audit, unless they are of letters that are there and have not ended. Default a year: as long as people ask who did
    /// what, such as at a yearly review.
    pub(crate) audit: Duration,
    /// Where what these hold is put. Default nowhere: it stays in the ledger.
    pub(crate) cold_dir: Option<PathBuf>,
}

impl RetentionSettings {
    /// How long letters are kept, at most.
    pub(crate) fn longest(&self) -> Duration {
        self.ended.max(self.discarded).max(self.waiting)
    }
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

    /// How many letters with one fingerprint may be redriven in vain, of all queues that anything is redriven in.
    pub(crate) fn caps(&self) -> BTreeSet<u32> {
        self.queues.iter().filter(|queue| queue.acts).filter_map(|queue| queue.most_in_vain).collect()
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
    let mut retention =
        RetentionSettings { ended: 7 * DAY, discarded: 30 * DAY, waiting: 30 * DAY, audit: 365 * DAY, cold_dir: None };
    let Some(said) = fields.get("retention").and_then(|cursor| cursor.fields()) else { return retention };
    let length = |key, standard| said.get(key).and_then(|c| c.duration(HOUR..=3650 * DAY)).unwrap_or(standard);
    retention.ended = length("ended", retention.ended);
    retention.discarded = length("discarded", retention.discarded);
    retention.waiting = length("waiting", retention.waiting);
    retention.audit = length("audit", retention.audit);
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
