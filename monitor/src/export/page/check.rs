//! One check as its service's page shows it: state, latency over time, the last probe's steps and facts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kit::page::chart::{Latency, Sample, Series, phases};
use kit::page::{Html, Tone, words};

use super::state::of_health;
use super::{Moment, When};
use crate::alert::Elsewhere;
use crate::export::catalogue::CheckCard;
use crate::judge::{CheckEntry, Severity};
use crate::probe::{CheckId, Observation, Outcome, StepState};
use crate::record::{History, Rollup, StoreError};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How far back charts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    Hour,
    Day,
    Month,
}

impl Range {
    pub(super) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Reads `?back=`; anything else is the last hour.
    pub(super) fn of_query(word: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|range| word == Some(range.key())).unwrap_or(Self::Hour)
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Month => "30d",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hour => "1 hour",
            Self::Day => "24 hours",
            Self::Month => "30 days",
        }
    }

    fn back_ms(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => 24 * HOUR_MS,
            Self::Month => 30 * 24 * HOUR_MS,
        }
    }

    /// Length of one sample: 120 to 144 of them across.
    fn span_ms(self) -> i64 {
        match self {
            Self::Hour => MINUTE_MS / 2,
            Self::Day => 10 * MINUTE_MS,
            Self::Month => 6 * HOUR_MS,
        }
    }
}

/// What the template shows of a check.
pub(super) struct CheckView {
    pub(super) name: String,
    pub(super) tone: Tone,
    pub(super) word: &'static str,
    pub(super) since: When,
    pub(super) reason: String,
    pub(super) about: String,
    /// What it asks, how and how often.
    pub(super) asks: String,
    pub(super) warning: bool,
    pub(super) flapping: bool,
    pub(super) blind: bool,
    pub(super) chart: Option<Html>,
    pub(super) caption: String,
    pub(super) phases: Option<Html>,
    pub(super) steps: Vec<(String, String)>,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Where the trace of a probe that did not pass is shown: of the others not all are recorded.
    pub(super) trace: Option<String>,
}

/// Makes it. `entry` is a copy: the board is not held while history is read.
pub(super) async fn view(
    history: &History,
    entry: &CheckEntry,
    card: &CheckCard,
    range: Range,
    objective_ms: Option<f64>,
    elsewhere: &Elsewhere,
    moment: &Moment,
) -> CheckView {
    let last = entry.last.as_deref();
    let is_reason_new = !matches!(entry.reason(), None | Some(""));
    let (chart, caption) = match drawn(history, card, range, objective_ms, moment).await {
        Ok((chart, caption)) => (Some(chart), caption),
        Err(error) => {
            tracing::warn!(%error, check.id = %card.id, "a chart cannot be drawn");
            (None, "History cannot be read at the moment.".to_owned())
        }
    };
    let steps: Vec<(String, f64)> = last
        .map(|last| last.parts().into_iter().map(|(part, took)| (part.replace('_', " "), ms(took))).collect())
        .unwrap_or_default();
    CheckView {
        name: card.id.check.to_string(),
        tone: of_health(entry.health),
        word: entry.health.as_str(),
        since: moment.when(entry.since.wall),
        reason: entry.reason().filter(|_| is_reason_new).unwrap_or_default().to_owned(),
        about: card.about.clone().unwrap_or_default(),
        asks: asks(card),
        warning: card.severity == Severity::Warning,
        flapping: entry.state.flap.is_flapping(),
        blind: entry.is_blind(moment.now.at),
        chart,
        caption,
        phases: (steps.len() > 1).then(|| phases(&steps)),
        steps: steps.into_iter().map(|(name, ms)| (name, words::latency(ms))).collect(),
        facts: last.map(|last| facts(last, moment)).unwrap_or_default(),
        trace: last.filter(|last| last.outcome != Outcome::Pass).and_then(|last| elsewhere.trace(&last.trace_id)),
    }
}

fn ms(length: std::time::Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}

fn asks(card: &CheckCard) -> String {
    let every = words::length(card.every);
    match card.pushed {
        true => format!("{} · {}", card.kind, card.target),
        false => format!("{} {} · every {every}", card.kind, card.target),
    }
}

/// What the newest observation saw, for people.
fn facts(last: &Observation, moment: &Moment) -> Vec<(&'static str, String)> {
    let ended = match &last.outcome {
        Outcome::Pass if last.soft.is_empty() => "passed",
        Outcome::Pass => "passed, but broke a soft limit",
        Outcome::Fail(_) => "failed",
        Outcome::Unknown(_) => "could not ask",
    };
    let seen = &last.seen;
    let asked = moment.when(last.started.wall);
    let expiry = seen.cert_expires.map(|at| expiry(at, moment));
    let all = [
        ("Asked", Some(format!("{} ago, {ended} after {}", asked.ago, words::latency(ms(last.took))))),
        ("Status", seen.status.map(|status| status.to_string())),
        ("Seen", seen.note.clone()),
        ("Address", seen.address.map(|address| address.to_string())),
        ("Protocol", seen.protocol.clone()),
        ("Not reached", Some(not_reached(last)).filter(|steps| !steps.is_empty())),
        ("Redirects", Some(seen.redirects).filter(|count| *count > 0).map(|count| count.to_string())),
        ("Certificate", expiry),
        ("Trace", Some(last.trace_id.clone()).filter(|id| !id.is_empty())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The steps of a journey that came after the one that failed.
fn not_reached(last: &Observation) -> String {
    let steps = last.seen.steps.iter().filter(|step| step.state == StepState::NotReached);
    steps.map(|step| step.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn expiry(at: Timestamp, moment: &Moment) -> String {
    let left = at.duration_since(moment.now.wall);
    let time = words::time(at, &moment.zone);
    match std::time::Duration::try_from(left) {
        Ok(left) => format!("expires in {}, {time}", words::length(left)),
        Err(_) => format!("expired {} ago, {time}", words::length(left.unsigned_abs())),
    }
}

/// Draws a check's latency and says what it comes to.
async fn drawn(
    history: &History,
    card: &CheckCard,
    range: Range,
    objective_ms: Option<f64>,
    moment: &Moment,
) -> Result<(Html, String), StoreError> {
    let to_ms = moment.now.wall.as_millisecond();
    let from_ms = to_ms - range.back_ms();
    let spans = read(history, &card.id, range, from_ms, to_ms).await?;
    let samples: Vec<Sample> = spans.iter().map(|(at_ms, rollup)| sample(*at_ms, rollup)).collect();
    let every_ms = i64::try_from(card.every.as_millis()).unwrap_or(i64::MAX / 8);
    let name = format!("{} over the last {}", card.id.check, range.name().trim_start_matches("1 "));
    let series = Series {
        samples: &samples,
        from_ms,
        to_ms,
        span_ms: range.span_ms(),
        // As for staleness: two and a half intervals without news are a gap.
        gap_ms: (every_ms.saturating_mul(5) / 2).max(range.span_ms() * 3 / 2),
    };
    let chart = Latency { name: &name, series, objective_ms, zone: &moment.zone };
    let mut whole = Rollup::default();
    spans.values().for_each(|rollup| whole.merge(rollup));
    let quantiles = match (whole.quantile_us(0.5), whole.quantile_us(0.95)) {
        (Some(half), Some(most)) => {
            format!(
                "Half of the passes within {}, 95 % within {}. ",
                words::latency(half / 1000.0),
                words::latency(most / 1000.0)
            )
        }
        _ => String::new(),
    };
    Ok((chart.to_svg(), format!("{quantiles}{}", series.in_words())))
}

fn sample(at_ms: i64, rollup: &Rollup) -> Sample {
    let ms = |q| rollup.quantile_us(q).map(|us| us / 1000.0);
    Sample {
        at_ms,
        p50_ms: ms(0.5),
        p95_ms: ms(0.95),
        asked: rollup.known() + rollup.unknown,
        fails: rollup.fail,
        unknown: rollup.unknown,
    }
}

/// Reads what happened in a range, in spans of its samples.
async fn read(
    history: &History,
    check: &CheckId,
    range: Range,
    from_ms: i64,
    to_ms: i64,
) -> Result<BTreeMap<i64, Rollup>, StoreError> {
    let span_ms = range.span_ms();
    let start = |at_ms: i64| at_ms - at_ms.rem_euclid(span_ms);
    let mut spans: BTreeMap<i64, Rollup> = BTreeMap::new();
    if range == Range::Hour {
        for point in history.points(check, from_ms, to_ms).await? {
            spans.entry(start(point.at_ms)).or_default().add(&point);
        }
        return Ok(spans);
    }
    let grain_ms = if range == Range::Day { MINUTE_MS } else { HOUR_MS };
    for (at_ms, rollup) in history.rollups(check, grain_ms, start(from_ms), to_ms).await? {
        spans.entry(start(at_ms)).or_default().merge(&rollup);
    }
    Ok(spans)
}
