//! What may be done in a queue.

use kit::config::{Cursor, Fields};

use crate::policy::Pattern;
use crate::source::PerilKind;
use crate::storm::Limits;

/// Redrives a second of one queue, and at once, unless told otherwise.
const RATE: f64 = 20.0;
/// Redrives that nobody asked for, as a share of what a queue does anyway, unless told otherwise (dlq.md section 4.3).
const SHARE: f64 = 0.1;
/// Jobs that wait in a queue that is still put back into, unless told otherwise: minutes of work for most.
const WAITING: u64 = 10_000;

/// Letters with one fingerprint that fail again within an hour after they were redriven unasked, until no more are, unless told
/// otherwise (dlq.md section 4.3). While a destination is down its breaker lets far fewer through, and of an outage's 50,000 letters
/// a tenth may fail once more and all are redriven within a shift; what never goes well takes a seventieth of the default rate.
const IN_VAIN: u32 = 1000;

const LIMITS: Limits = Limits { waiting: WAITING, without_workers: false, share: Some(SHARE) };

/// What may be done in a queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueueSettings {
    /// Which queues.
    pub(crate) queue: Pattern,
    /// Whether letters are redriven, or it is only written what would be done. Default false.
    pub(crate) acts: bool,
    /// Redrives a second, at most. Default 20.
    pub(crate) rate: f64,
    /// How busy it may be. Default: at most 10,000 jobs wait, somebody works, and of what is done a tenth is redriven unasked.
    pub(crate) limits: Limits,
    /// Letters with one fingerprint that are redriven unasked in vain within an hour, at most; none for as many as there are.
    /// Default 1000.
    pub(crate) most_in_vain: Option<u32>,
    /// Perils that are accepted. Default none.
    pub(crate) accepts: Vec<PerilKind>,
}

impl QueueSettings {
    /// What holds where nothing is said.
    pub(super) fn of_any() -> Self {
        let (queue, most_in_vain) = (Pattern::any(), Some(IN_VAIN));
        Self { queue, acts: false, rate: RATE, limits: LIMITS, most_in_vain, accepts: Vec::new() }
    }
}

pub(super) fn decode_queue(cursor: &Cursor<'_>) -> Option<QueueSettings> {
    let fields = cursor.fields()?;
    let queue = fields.require("queue").and_then(|cursor| cursor.text());
    let acts = fields.get("mode").and_then(|cursor| cursor.one_of(&[("observe", false), ("act", true)]));
    let rate = fields.get("rate").and_then(|cursor| decode_rate(&cursor));
    let limits = decode_limits(&fields);
    let most_in_vain = fields.get("max_in_vain").and_then(|cursor| decode_in_vain(&cursor)).unwrap_or(Some(IN_VAIN));
    let perils = PerilKind::ALL.map(|kind| (kind.word(), kind));
    let accepts = fields.get("accept").map(|cursor| cursor.items()).unwrap_or_default();
    let accepts = accepts.iter().filter_map(|cursor| cursor.one_of(&perils)).collect();
    fields.end();
    let (acts, rate) = (acts.unwrap_or(false), rate.unwrap_or(RATE));
    Some(QueueSettings { queue: Pattern::new(queue?), acts, rate, limits, most_in_vain, accepts })
}

fn decode_limits(fields: &Fields<'_>) -> Limits {
    let waiting = fields.get("max_waiting").and_then(|cursor| cursor.whole(1..=1_000_000_000u64));
    let words = [("wait", false), ("redrive", true)];
    let without_workers = fields.get("without_workers").and_then(|cursor| cursor.one_of(&words));
    let share = fields.get("budget").and_then(|cursor| decode_share(&cursor));
    Limits {
        waiting: waiting.unwrap_or(LIMITS.waiting),
        without_workers: without_workers.unwrap_or(LIMITS.without_workers),
        share: share.unwrap_or(LIMITS.share),
    }
}

/// A share of what is done, or as much as there is.
fn decode_share(cursor: &Cursor<'_>) -> Option<Option<f64>> {
    let text = cursor.text()?;
    if matches!(text.as_str(), "off" | "false") {
        return Some(None);
    }
    let percent = text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok());
    let share = percent.filter(|percent| (0.1..=1000.0).contains(percent)).map(|percent| percent / 100.0);
    if share.is_none() {
        cursor.mistake(format!("{text:?} is not a share; write it like 10%, from 0.1% to 1000%, or off"));
    }
    share.map(Some)
}

/// So many within an hour, or as many as there are.
fn decode_in_vain(cursor: &Cursor<'_>) -> Option<Option<u32>> {
    let text = cursor.text()?;
    if matches!(text.as_str(), "off" | "false") {
        return Some(None);
    }
    let times = text.parse::<u32>().ok().filter(|times| (1..=1_000_000).contains(times));
    if times.is_none() {
        cursor.mistake(format!("{text:?} is not how many may fail again within an hour; write it like 1000, or off"));
    }
    times.map(Some)
}

/// Reads `20/s`, from 0.01/s to 100000/s.
pub(crate) fn read_rate(text: &str) -> Option<f64> {
    text.trim().trim_end_matches("/s").parse::<f64>().ok().filter(|rate| (0.01..=100_000.0).contains(rate))
}

/// Redrives a second.
pub(super) fn decode_rate(cursor: &Cursor<'_>) -> Option<f64> {
    let text = cursor.text()?;
    let rate = read_rate(&text);
    if rate.is_none() {
        cursor.mistake(format!("{text:?} is not a rate; write it like 20/s, from 0.01/s to 100000/s"));
    }
    rate
}
