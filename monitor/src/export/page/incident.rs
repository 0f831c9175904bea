//! `GET /incidents/{id}`: what is wrong, what proves it, what happened since, and what each channel said.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use kit::clock::elapsed;
use kit::page::chart::{Latency, Sample, Series, phases};
use kit::page::{Html, Tone, words};
use uuid::Uuid;

use super::incidents::{MAX_TITLE, ending, lasted, of_severity, quiet};
use super::state::{of_verdict, spoken};
use super::telling::{self, Line, of_delivery};
use super::{Hand, Moment, When};
use crate::alert::{
    Acknowledgement, Delivery, DeliveryState, Elsewhere, Event, EventKind, Evidence, Incident, is_web_url,
};
use crate::export::alerts::incidents::IncidentAnswer;
use crate::export::shared::Shared;
use crate::judge::Verdict;

/// Events that are shown; of more the oldest and the newest.
const MAX_EVENTS: usize = 200;
/// Deliveries that are shown, newest events first.
const MAX_DELIVERIES: usize = 200;
/// Longest fact, such as a reason or an answer, in characters.
const MAX_FACT: usize = 2_000;

#[derive(Template)]
#[template(path = "incident.html")]
pub(super) struct IncidentPage {
    id: Uuid,
    tone: Tone,
    title: String,
    is_over: bool,
    severity: (Tone, &'static str),
    verdict: Option<(Tone, String)>,
    service: Option<String>,
    description: String,
    opened: When,
    resolved: Option<(When, String)>,
    lasted: String,
    acknowledged: Option<Taken>,
    flapping: bool,
    drill: bool,
    quiet: Option<String>,
    told: Vec<Line>,
    labels: BTreeMap<String, String>,
    source: Option<String>,
    /// Where its service's log is shown.
    logs: Option<String>,
    impacted: Vec<Impacted>,
    evidence: Option<Proof>,
    events: Vec<Happened>,
    left_out: usize,
    hand: Hand,
    deliveries: Vec<Sent>,
    older_deliveries: usize,
}

/// Who has taken it.
struct Taken {
    by: String,
    at: When,
    note: String,
}

/// A service that needs the broken one.
struct Impacted {
    name: String,
    /// Whether it fails too, and is told of here alone.
    fails: bool,
    /// What it is like now; none if it is not configured any more.
    now: Option<(Tone, String)>,
}

/// What a person needs to see first.
struct Proof {
    facts: Vec<(&'static str, String)>,
    /// Where the trace is shown.
    trace: Option<String>,
    phases: Option<Html>,
    steps: Vec<(String, String)>,
    chart: Option<(Html, String)>,
    lines: Vec<String>,
}

/// An entry of the timeline.
struct Happened {
    tone: Tone,
    word: &'static str,
    text: String,
    at: When,
    /// How long after the opening.
    after: String,
}

/// A delivery in the table.
struct Sent {
    channel: String,
    event: u32,
    happening: &'static str,
    tone: Tone,
    word: &'static str,
    tries: u32,
    said: String,
    when: When,
    next: String,
    is_dead: bool,
}

/// Makes the view, its tone and the window's title.
pub(super) fn view(shared: &Shared, answer: IncidentAnswer, moment: &Moment) -> (IncidentPage, Tone, String) {
    let IncidentAnswer { incident, events, deliveries } = answer;
    let settings = shared.alerts.settings();
    let has_channels = !settings.channels.is_empty();
    let tone = tone(&incident);
    let (_, state) = ending(&incident);
    let text = words::clip(&incident.title, MAX_TITLE);
    let title = match incident.is_over() {
        true => format!("{state}: {}", words::clip(&text, 60)),
        false => words::clip(&text, 60),
    };
    let left_out = events.len().saturating_sub(MAX_EVENTS);
    let quiet = quiet(shared, &incident, moment).filter(|_| !incident.is_over());
    let page = IncidentPage {
        id: incident.id,
        tone,
        title: text,
        is_over: incident.is_over(),
        severity: (of_severity(incident.severity), incident.severity.as_str()),
        verdict: Some(incident.verdict.as_str())
            .filter(|word| !word.is_empty())
            .map(|word| (Verdict::parse(word).map_or(Tone::Blind, of_verdict), spoken(word))),
        service: incident.service.clone(),
        description: words::clip(&incident.description, MAX_FACT),
        opened: moment.when(incident.opened),
        resolved: incident.resolved.as_ref().map(|over| (moment.when(over.at), over.how.words())),
        lasted: lasted(&incident, moment),
        acknowledged: incident.acknowledged.as_ref().map(|taken| self::taken(taken, moment)),
        flapping: incident.flapping,
        drill: incident.is_trial(),
        told: telling::lines(&incident, &deliveries, has_channels, quiet.is_some(), moment),
        quiet,
        labels: incident.labels.clone(),
        source: incident.source_url.clone().filter(|url| is_web_url(url)),
        logs: logs(&settings.elsewhere, &incident, moment),
        impacted: impacted(shared, &incident),
        evidence: proof(&incident.evidence, &settings.elsewhere, moment),
        events: shortened(&events).map(|event| happened(event, &incident, moment)).collect(),
        left_out,
        hand: moment.hand(),
        older_deliveries: deliveries.len().saturating_sub(MAX_DELIVERIES),
        deliveries: deliveries
            .iter()
            .rev()
            .take(MAX_DELIVERIES)
            .map(|delivery| sent(delivery, &deliveries, moment))
            .collect(),
    };
    (page, tone, title)
}

fn tone(incident: &Incident) -> Tone {
    match incident.is_trial() && !incident.is_over() {
        true => Tone::Busy,
        false => ending(incident).0,
    }
}

fn taken(taken: &Acknowledgement, moment: &Moment) -> Taken {
    Taken { by: taken.by.clone(), at: moment.when(taken.at), note: taken.note.clone() }
}

/// Those that fail come first.
fn impacted(shared: &Shared, incident: &Incident) -> Vec<Impacted> {
    let board = shared.board();
    let others = incident.impacted.iter().filter(|name| !incident.failing.contains(*name));
    let all = incident.failing.iter().map(|name| (name, true)).chain(others.map(|name| (name, false)));
    let show = |(name, fails): (&String, bool)| {
        let verdict = board.service(name).map(|entry| entry.verdict);
        let now = verdict.map(|verdict| (of_verdict(verdict), spoken(verdict.as_str())));
        Impacted { name: name.clone(), fails: fails && !incident.is_over(), now }
    };
    all.map(show).collect()
}

fn logs(elsewhere: &Elsewhere, incident: &Incident, moment: &Moment) -> Option<String> {
    let until = incident.resolved.as_ref().map_or(moment.now.wall, |over| over.at);
    elsewhere.logs(incident.service.as_deref()?, incident.opened, until)
}

fn proof(evidence: &Evidence, elsewhere: &Elsewhere, moment: &Moment) -> Option<Proof> {
    if *evidence == Evidence::default() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of one probe")]
    let steps: Vec<(String, f64)> =
        evidence.phases.iter().map(|(step, ms)| (step.replace('_', " "), *ms as f64)).collect();
    let facts = [
        ("Failing check", &evidence.check),
        ("Asked", &evidence.target),
        ("Reason", &evidence.reason),
        ("Last run", &evidence.exit),
        ("What changed", &evidence.changed),
        ("Program", &evidence.digest),
        ("Trace", &evidence.trace_id),
    ];
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
    Some(Proof {
        facts: facts.map(|(name, value)| (name, words::clip(value, MAX_FACT))).collect(),
        trace: elsewhere.trace(&evidence.trace_id),
        phases: (steps.len() > 1).then(|| phases(&steps)),
        steps: steps.into_iter().map(|(name, ms)| (name, whole_ms(ms))).collect(),
        chart: chart(evidence, moment),
        lines: evidence.last_lines.clone(),
    })
}

/// Steps are kept in whole milliseconds.
fn whole_ms(ms: f64) -> String {
    if ms < 1.0 { "under 1 ms".to_owned() } else { words::latency(ms) }
}

/// Draws the latency before the incident, and says what it comes to.
fn chart(evidence: &Evidence, moment: &Moment) -> Option<(Html, String)> {
    let [(from_ms, _), .., (to_ms, _)] = evidence.latency.as_slice() else { return None };
    let count = i64::try_from(evidence.latency.len()).unwrap_or(i64::MAX);
    let span_ms = ((to_ms - from_ms) / count).max(1);
    let sample = |(at_ms, took): &(i64, Option<f64>)| Sample {
        at_ms: *at_ms,
        p50_ms: *took,
        p95_ms: *took,
        asked: 1,
        fails: u64::from(took.is_none()),
        unknown: 0,
    };
    let samples: Vec<Sample> = evidence.latency.iter().map(sample).collect();
    let series =
        Series { samples: &samples, from_ms: *from_ms, to_ms: to_ms + span_ms, span_ms, gap_ms: span_ms * 5 / 2 };
    let chart = Latency { name: &evidence.check, series, objective_ms: None, zone: &moment.zone };
    Some((chart.to_svg(), series.in_words()))
}

/// The beginning and the end of a long story.
fn shortened(events: &[Event]) -> impl Iterator<Item = &Event> {
    let left_out = events.len().saturating_sub(MAX_EVENTS);
    let first = if left_out > 0 { MAX_EVENTS / 2 } else { events.len() };
    events.iter().take(first).chain(events.iter().skip(first + left_out))
}

fn happened(event: &Event, incident: &Incident, moment: &Moment) -> Happened {
    let after = elapsed(incident.opened, event.at);
    let (tone, word) = of_event(event.kind, incident);
    let after = match after.as_secs() {
        0 => String::new(),
        secs => format!("after {}", words::length(Duration::from_secs(secs))),
    };
    Happened { tone, word, text: words::clip(&event.text, MAX_FACT), at: moment.when(event.at), after }
}

fn of_event(kind: EventKind, incident: &Incident) -> (Tone, &'static str) {
    let tone = match kind {
        EventKind::Opened if incident.is_trial() => Tone::Off,
        EventKind::Opened => of_severity(incident.severity),
        EventKind::Worsened => Tone::Bad,
        EventKind::Cause | EventKind::Impacted | EventKind::Flapping | EventKind::Joined | EventKind::Escalated => {
            Tone::Warn
        }
        EventKind::Told | EventKind::Acknowledged => Tone::Busy,
        EventKind::Note | EventKind::Reminder | EventKind::Drill => Tone::Off,
        EventKind::Resolved => ending(incident).0,
    };
    let word = match kind {
        EventKind::Cause => "new cause",
        EventKind::Impacted => "impact",
        kind => kind.as_str(),
    };
    (tone, word)
}

fn sent(delivery: &Delivery, all: &[Delivery], moment: &Moment) -> Sent {
    let (tone, word) = of_delivery(delivery);
    let is_before = |other: &&Delivery| {
        other.channel == delivery.channel && other.event < delivery.event && other.state == DeliveryState::Due
    };
    Sent {
        channel: delivery.channel.clone(),
        event: delivery.event,
        happening: delivery.happening.as_str(),
        tone,
        word,
        tries: delivery.tries,
        said: words::clip(&delivery.said, MAX_FACT),
        when: moment.when(delivery.updated),
        is_dead: delivery.state == DeliveryState::Dead,
        // Nothing is told before what happened earlier.
        next: match (delivery.state, all.iter().find(is_before)) {
            (DeliveryState::Due, Some(first)) => format!("after #{}", first.event),
            (DeliveryState::Due, None) => moment.left(delivery.due),
            _ => String::new(),
        },
    }
}
