//! `GET /incidents`: what is wrong now and who knows of it, then what was.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kit::clock::elapsed;
use kit::page::chart::{Counted, counts};
use kit::page::{Html, Tone, words};
use serde::Deserialize;
use uuid::Uuid;

use super::past::today_ms;
use super::telling::{self, Line};
use super::{Moment, When};
use crate::alert::{Delivery, Ending, Incident, Severity, read_rows};
use crate::export::shared::Shared;
use crate::record::{DeliveryQuery, IncidentQuery, StoreError};

/// Open incidents that are shown in full; more are counted.
const MAX_OPEN: usize = 100;
/// Past incidents of one page.
const MAX_PAST: usize = 25;
/// Days of the chart.
const DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;
/// Incidents that the chart counts, at most: all that the record keeps.
const MAX_COUNTED: u32 = 10_000;
/// Longest title, in characters.
pub(super) const MAX_TITLE: usize = 300;

/// Which incidents a reader wants to see.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// Only of this service; empty means all.
    #[serde(default)]
    service: String,
    /// `open`, `past`, or anything else for both.
    #[serde(default)]
    state: String,
    /// The past incident after which the page begins.
    before: Option<Uuid>,
}

impl Wanted {
    fn service(&self) -> Option<&str> {
        Some(self.service.as_str()).filter(|service| !service.is_empty())
    }
}

#[derive(Template)]
#[template(path = "incidents.html")]
pub(super) struct Incidents {
    tone: Tone,
    sentence: String,
    counts: String,
    no_channels: bool,
    wanted: Wanted,
    services: Vec<Arc<str>>,
    shows_open: bool,
    shows_past: bool,
    open: Vec<Card>,
    more_open: usize,
    chart: Option<(Html, Vec<(Tone, String)>)>,
    past: Option<Vec<PastRow>>,
    /// Query of the next page.
    older: Option<String>,
}

/// An open incident.
pub(super) struct Card {
    pub(super) id: Uuid,
    pub(super) tone: Tone,
    pub(super) severity: &'static str,
    pub(super) title: String,
    pub(super) service: Option<String>,
    pub(super) opened: When,
    pub(super) impacted: String,
    pub(super) acknowledged: Option<(String, When)>,
    pub(super) flapping: bool,
    pub(super) quiet: Option<String>,
    pub(super) drill: bool,
    pub(super) told: Vec<Line>,
}

/// A past incident.
pub(super) struct PastRow {
    pub(super) id: Uuid,
    pub(super) tone: Tone,
    pub(super) how: String,
    pub(super) title: String,
    pub(super) severity: &'static str,
    pub(super) opened: When,
    pub(super) lasted: String,
    pub(super) told: String,
}

/// Makes the view, its tone and the window's title.
pub(super) async fn view(shared: &Shared, wanted: Wanted, moment: &Moment) -> (Incidents, Tone, String) {
    let all = open(shared);
    let real: Vec<&Incident> = all.iter().filter(|incident| !incident.is_trial()).collect();
    let tone = real.iter().map(|incident| incident.severity).max().map_or(Tone::Good, of_severity);
    let sentence = match real.len() {
        0 => "No open incidents".to_owned(),
        open => words::count(open as u64, "open incident"),
    };
    let chart = recent(shared, moment).await.ok();
    let recorded: u64 = chart.iter().flatten().flat_map(|day| &day.parts).map(|(_, count)| count).sum();
    let counts = match (real.len(), recorded) {
        (0, 0) => "Nothing needs you now, and nothing did in the last 30 days.".to_owned(),
        (0, some) => format!("Nothing needs you now; {} in the last 30 days.", words::count(some, "incident")),
        (_, some) => format!("{}; {some} opened in the last 30 days", by_severity(&real)),
    };
    let (shows_open, shows_past) = (wanted.state != "past", wanted.state != "open");
    let shown =
        all.iter().filter(|incident| wanted.service().is_none_or(|name| incident.service.as_deref() == Some(name)));
    let shown: Vec<&Incident> = if shows_open && wanted.before.is_none() { shown.collect() } else { Vec::new() };
    let mut cards = Vec::new();
    for incident in shown.iter().take(MAX_OPEN) {
        cards.push(card(shared, incident, moment).await);
    }
    let past = if shows_past { past(shared, &wanted).await.ok() } else { Some(Vec::new()) };
    let is_full = past.as_ref().is_some_and(|past| past.len() > MAX_PAST);
    let past: Option<Vec<Incident>> = past.map(|past| past.into_iter().take(MAX_PAST).collect());
    let last = past.as_ref().and_then(|past| past.last()).filter(|_| is_full);
    let title = sentence.clone();
    let view = Incidents {
        tone,
        sentence,
        counts,
        no_channels: shared.alerts.settings().channels.is_empty(),
        services: shared.catalogue.load().wholes().map(|card| card.name.clone()).collect(),
        shows_open: shows_open && wanted.before.is_none(),
        shows_past,
        older: last.map(|last| older(&wanted, last.id)),
        wanted,
        more_open: shown.len().saturating_sub(MAX_OPEN),
        open: cards,
        chart: chart.map(|days| drawn(&days)),
        past: past.map(|past| past.iter().map(|incident| past_row(incident, moment)).collect()),
    };
    (view, tone, title)
}

/// Returns every open incident: the most urgent first, then the newest; drills last.
pub(super) fn open(shared: &Shared) -> Vec<Incident> {
    let mut open: Vec<Incident> = shared.alerts.desk().open().cloned().collect();
    let order = |incident: &Incident| (incident.is_trial(), std::cmp::Reverse((incident.severity, incident.opened)));
    open.sort_by_key(order);
    open
}

/// Returns how a severity looks.
pub(super) fn of_severity(severity: Severity) -> Tone {
    match severity {
        Severity::Page => Tone::Bad,
        Severity::Ticket => Tone::Warn,
        Severity::Notice => Tone::Off,
    }
}

/// Counts incidents in words: `1 page, 2 tickets`.
pub(super) fn by_severity(incidents: &[&Incident]) -> String {
    let count = |severity| incidents.iter().filter(|incident| incident.severity == severity).count() as u64;
    let counts = Severity::ALL.map(|severity| (severity, count(severity)));
    in_words(&counts)
}

fn in_words(counts: &[(Severity, u64)]) -> String {
    let some = counts.iter().filter(|(_, count)| *count > 0);
    some.map(|(severity, count)| words::count(*count, severity.as_str())).collect::<Vec<_>>().join(", ")
}

/// Shows an open incident.
pub(super) async fn card(shared: &Shared, incident: &Incident, moment: &Moment) -> Card {
    let rows = shared.stores.state.store().deliveries(&DeliveryQuery::Of(incident.id)).await;
    let deliveries: Vec<Delivery> = read_rows(&rows.unwrap_or_default());
    let has_channels = !shared.alerts.settings().channels.is_empty();
    let is_trial = incident.is_trial();
    let quiet = quiet(shared, incident, moment);
    Card {
        id: incident.id,
        tone: if is_trial { Tone::Off } else { of_severity(incident.severity) },
        severity: if is_trial { "drill" } else { incident.severity.as_str() },
        title: words::clip(&incident.title, MAX_TITLE),
        service: incident.service.clone(),
        opened: moment.when(incident.opened),
        impacted: impacted(incident),
        acknowledged: incident.acknowledged.as_ref().map(|taken| (taken.by.clone(), moment.when(taken.at))),
        flapping: incident.flapping,
        drill: is_trial,
        told: telling::lines(incident, &deliveries, has_channels, quiet.is_some(), moment),
        quiet,
    }
}

/// Says what keeps messages about it back now, if anything does.
pub(super) fn quiet(shared: &Shared, incident: &Incident, moment: &Moment) -> Option<String> {
    let (suppression, now) = (shared.alerts.suppression(), moment.now.wall);
    if let Some(silence) = suppression.silence_of(&incident.labels, now) {
        return Some(format!("silenced by {} until {}", silence.by, moment.clock(silence.until)));
    }
    let (window, until) = suppression.window_of(incident.labels.get("service").map(String::as_str), now)?;
    Some(format!("maintenance “{}” until {}", window.name, moment.clock(until)))
}

/// `takes 2 of 5 services along`
fn impacted(incident: &Incident) -> String {
    let (failing, all) = (incident.failing.len() as u64, incident.impacted.len().max(incident.failing.len()) as u64);
    match (failing, all) {
        (_, 0) => String::new(),
        (0, all) => {
            format!("{} it", if all == 1 { "1 service needs".to_owned() } else { format!("{all} services need") })
        }
        (failing, all) if failing == all => format!("takes {} along", words::count(all, "service")),
        (failing, all) => format!("takes {failing} of {} along", words::count(all, "service")),
    }
}

/// Shows a past incident.
pub(super) fn past_row(incident: &Incident, moment: &Moment) -> PastRow {
    let (tone, how) = ending(incident);
    let channels: Vec<&str> =
        incident.told.iter().filter(|(_, told)| told.accepted).map(|(channel, _)| channel.as_str()).collect();
    let told = match channels.as_slice() {
        [] => "nobody was told".to_owned(),
        channels => format!("told {}", words::clip(&channels.join(", "), 60)),
    };
    PastRow {
        id: incident.id,
        tone,
        how,
        title: words::clip(&incident.title, MAX_TITLE),
        severity: if incident.is_trial() { "drill" } else { incident.severity.as_str() },
        opened: moment.when(incident.opened),
        lasted: lasted(incident, moment),
        told,
    }
}

/// Returns how it ended, in a look and a few words.
pub(super) fn ending(incident: &Incident) -> (Tone, String) {
    match incident.resolved.as_ref().map(|resolution| &resolution.how) {
        None => (of_severity(incident.severity), "open".to_owned()),
        Some(Ending::Recovered) => (Tone::Good, "recovered".to_owned()),
        Some(Ending::Withdrawn) => (Tone::Off, "withdrawn".to_owned()),
        Some(Ending::PartOf(_)) => (Tone::Off, "part of another".to_owned()),
        Some(Ending::Closed(_)) => (Tone::Off, "closed".to_owned()),
        Some(Ending::Expired) => (Tone::Blind, "source silent".to_owned()),
        Some(Ending::DrillOver) => (Tone::Off, "drill over".to_owned()),
    }
}

/// Returns how long it lasted, or has lasted so far.
pub(super) fn lasted(incident: &Incident, moment: &Moment) -> String {
    let end = incident.resolved.as_ref().map_or(moment.now.wall, |resolution| resolution.at);
    words::length(elapsed(incident.opened, end))
}

/// Reads past incidents, one more than a page shows.
async fn past(shared: &Shared, wanted: &Wanted) -> Result<Vec<Incident>, StoreError> {
    let last = match wanted.before {
        Some(id) => shared.alerts.incident(id).await?,
        None => None,
    };
    let query = IncidentQuery {
        service: wanted.service().map(ToOwned::to_owned),
        ended: true,
        before_ms: last.as_ref().map(|last| last.opened.as_millisecond()),
        before_id: last.map(|last| last.id),
        limit: u32::try_from(MAX_PAST + 1).unwrap_or(u32::MAX),
        ..IncidentQuery::default()
    };
    Ok(read_rows(&shared.stores.state.store().incidents(&query).await?))
}

fn older(wanted: &Wanted, last: Uuid) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(service) = wanted.service() {
        query.append_pair("service", service);
    }
    if !wanted.state.is_empty() {
        query.append_pair("state", &wanted.state);
    }
    query.append_pair("before", &last.to_string());
    query.finish()
}

/// As much of an incident as the chart counts.
#[derive(Deserialize)]
struct Opened {
    key: String,
    severity: Severity,
    opened: Timestamp,
}

/// Counts the incidents of the last days, drills left out. Days are UTC days, as everywhere.
async fn recent(shared: &Shared, moment: &Moment) -> Result<Vec<Counted>, StoreError> {
    let from_ms = today_ms(moment.now.wall) - (DAYS - 1) * DAY_MS;
    let query = IncidentQuery { since_ms: Some(from_ms), limit: MAX_COUNTED, ..IncidentQuery::default() };
    let found: Vec<Opened> = read_rows(&shared.stores.state.store().incidents(&query).await?);
    let mut counted: BTreeMap<(i64, Severity), u64> = BTreeMap::new();
    for opened in found.iter().filter(|opened| !opened.key.starts_with(Incident::TRIAL)) {
        let day = (opened.opened.as_millisecond() - from_ms).div_euclid(DAY_MS);
        *counted.entry((day, opened.severity)).or_default() += 1;
    }
    let day = |day: i64| {
        let parts = Severity::ALL.map(|severity| (severity, counted.get(&(day, severity)).copied().unwrap_or(0)));
        let said = match in_words(&parts) {
            none if none.is_empty() => "no incident".to_owned(),
            some => some,
        };
        let begin = Timestamp::from_millisecond(from_ms).unwrap_or_default() + SignedDuration::from_hours(24 * day);
        Counted {
            name: words::day(begin, &TimeZone::UTC),
            parts: parts.iter().map(|(severity, count)| (of_severity(*severity), *count)).collect(),
            said,
        }
    };
    Ok((0..DAYS).map(day).collect())
}

/// Draws the days; the legend counts each severity.
fn drawn(days: &[Counted]) -> (Html, Vec<(Tone, String)>) {
    let sum =
        |tone: Tone| days.iter().flat_map(|day| &day.parts).filter(|part| part.0 == tone).map(|part| part.1).sum();
    let sums = Severity::ALL.map(|severity| (severity, sum(of_severity(severity))));
    let legend = sums.iter().filter(|(_, sum)| *sum > 0);
    let legend =
        legend.map(|(severity, sum)| (of_severity(*severity), words::count(*sum, severity.as_str()))).collect();
    let said = match in_words(&sums) {
        none if none.is_empty() => "No incident opened in the last 30 days.".to_owned(),
        some => format!("Incidents that opened in the last 30 days: {some}."),
    };
    (counts(days, &said), legend)
}
