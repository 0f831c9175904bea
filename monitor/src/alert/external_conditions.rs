//! What alerts from elsewhere say is wrong, as conditions beside our own: those about a watched service are part of that
//! service's, and stand where it stands. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};

use super::alerts::TRACE_ANNOTATION;
use super::condition::{Condition, Holds};
use super::external::{External, Externals};
use super::verdicts::ServicesAlerts;
use super::web::is_web_url;
use crate::supervise::redact;

/// How long an alert about a service may go on after what the service needs has recovered: two of Prometheus' evaluation
/// intervals (`evaluation_interval`, one minute by default).
pub(super) const GRACE: Duration = Duration::from_secs(120);

impl Externals {
    /// Returns the services that firing alerts are about, and since when each of them has been told of.
    pub fn told(&self, services: &ServicesAlerts, now: Stamp) -> HashMap<Arc<str>, Moment> {
        let mut told = HashMap::new();
        for alert in self.to_look_at() {
            let Some((service, _)) = alert.service(services).and_then(|name| services.get_key_value(name)) else {
                continue;
            };
            let since = now.moment_of(alert.starts_at);
            let first = told.entry(service.clone()).or_insert(since);
            *first = since.min(*first);
        }
        told
    }

    /// Adds what holds to our own conditions: alerts about a watched service are part of that service's.
    pub fn join(&self, conditions: &mut Vec<Condition>, services: &ServicesAlerts, now: Stamp) {
        let mut by_key: BTreeMap<String, Vec<&External>> = BTreeMap::new();
        for alert in self.to_look_at() {
            by_key.entry(alert.key(services)).or_default().push(alert);
        }
        for own in conditions.iter_mut() {
            let Some(mut alerts) = by_key.remove(&own.key) else { continue };
            most_urgent_first(&mut alerts);
            if own.holds == Holds::Yes {
                add(own, &alerts, now);
            } else if let Some(theirs) = condition(own.key.clone(), &alerts, services, now) {
                // Our own view is unclear, restless or good: what is said elsewhere holds all the same, where we stand.
                *own = theirs.at_the_place_of(own);
            }
        }
        for (key, mut alerts) in by_key {
            most_urgent_first(&mut alerts);
            conditions.extend(condition(key, &alerts, services, now));
        }
        conditions.retain(|condition| condition.holds != Holds::No);
    }
}

fn most_urgent_first(alerts: &mut [&External]) {
    alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.severity()), alert.starts_at));
}

/// Adds what others say to what we see ourselves.
fn add(own: &mut Condition, alerts: &[&External], now: Stamp) {
    let joined: BTreeSet<String> = alerts.iter().map(|alert| alert.shown(now.wall)).collect();
    let more = format!("Also firing: {}.", joined.into_iter().collect::<Vec<_>>().join("; "));
    own.description = [own.description.as_str(), &more].join("\n").trim().to_owned();
    own.joined = names(alerts);
    if own.evidence.trace_id.is_empty() {
        own.evidence.trace_id = trace_id(alerts);
    }
    // What is said elsewhere may be more urgent than what we see, and does not wait for us.
    let fires = alerts.iter().filter(|alert| !alert.is_lost(now.wall));
    if let Some(theirs) = fires.map(|alert| alert.severity()).max().filter(|most| *most >= own.severity) {
        (own.severity, own.after) = (theirs, Duration::ZERO);
    }
}

fn condition(key: String, alerts: &[&External], services: &ServicesAlerts, now: Stamp) -> Option<Condition> {
    let first = alerts.first()?;
    let service = first.service(services);
    let name = first.name().to_owned();
    let summary = first.annotations.get("summary").or_else(|| first.annotations.get("title"));
    let about = service.map(|service| format!("{service}: ")).unwrap_or_default();
    let title = format!("{about}{}", one_line(summary.unwrap_or(&name)));
    let mut condition = Condition::new(key, name.clone(), first.severity(), title);
    let lost = alerts.iter().all(|alert| alert.is_lost(now.wall));
    if lost {
        condition.holds = Holds::Unclear;
        condition.note = "source lost: it is not repeated any more, and nobody said that it is over".to_owned();
    }
    condition.cause = name;
    condition.labels.clone_from(&first.labels);
    for (label, value) in service.and_then(|service| services.get(service)).into_iter().flat_map(|own| &own.labels) {
        condition.labels.entry(label.clone()).or_insert_with(|| value.clone());
    }
    condition.since = now.moment_of(first.starts_at);
    condition.source_url =
        first.annotations.get("runbook_url").filter(|url| is_web_url(url)).or(first.generator_url.as_ref()).cloned();
    let mut lines: Vec<String> = first.annotations.get("description").map(|text| redact(text)).into_iter().collect();
    lines.extend(alerts.iter().skip(1).map(|alert| format!("Also firing: {}", alert.shown(now.wall))));
    condition.description = lines.join("\n");
    condition.service = service.map(Into::into);
    condition.evidence.trace_id = trace_id(alerts);
    condition.joined = names(alerts);
    condition.tells_of_joins = true;
    condition.grace = GRACE;
    Some(condition)
}

/// Returns the trace in which the most urgent of them that names one went wrong (W3C Trace Context section 3.2.2.3).
fn trace_id(alerts: &[&External]) -> String {
    let is_id = |id: &&String| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        id.len() == 32 && id.bytes().all(is_digit) && id.bytes().any(|byte| byte != b'0')
    };
    let mut ids = alerts.iter().filter_map(|alert| alert.annotations.get(TRACE_ANNOTATION));
    ids.find(is_id).cloned().unwrap_or_default()
}

fn names(alerts: &[&External]) -> BTreeSet<String> {
    alerts.iter().map(|alert| alert.name().to_owned()).collect()
}

impl External {
    fn shown(&self, now: Timestamp) -> String {
        let lost = if self.is_lost(now) { " (its source is silent)" } else { "" };
        let summary = self.annotations.get("summary").map(|summary| format!(": {summary}")).unwrap_or_default();
        one_line(&format!("{}{summary}{lost}", self.name()))
    }
}

fn one_line(text: &str) -> String {
    redact(text).chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
