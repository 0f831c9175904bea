//! Alerts from elsewhere (Prometheus, auth-monitor, dlq-processor), in the form of Alertmanager's API v2. They become
//! conditions like our own: those about a service we watch join its incident. Pure.
//!
//! An alert is over when its source says so, yet not before it was looked at once: what began and ended between two looks
//! is told too. One that is not repeated in the time it promised has lost its source: it stays open, since nobody said
//! that it is over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp, WallClock, elapsed, later};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, Holds};
use super::fingerprint::fingerprint;
use super::message::Severity;
use super::verdicts::ServicesAlerts;
use super::web::is_web_url;
use crate::supervise::redact;

/// An alert without an end is believed for so long (Alertmanager's `resolve_timeout`).
const BELIEVED_FOR: Duration = Duration::from_secs(5 * 60);
/// An alert whose source has been silent for so long is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Alerts at once, at most.
const MAX_ALERTS: usize = 5_000;
/// Labels and annotations of one alert, at most, and their longest name and value in bytes.
const MAX_PAIRS: usize = 64;
const MAX_NAME_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 4096;
/// All of one alert's labels and annotations together, in bytes.
const MAX_ALERT_BYTES: usize = 16 * 1024;
/// How long an alert about a service may go on after what the service needs has recovered: two of Prometheus' evaluation
/// intervals (`evaluation_interval`, one minute by default).
const GRACE: Duration = Duration::from_secs(120);
/// How far the clocks of machines that are kept by NTP differ at most (RFC 5905 section 4: tens of milliseconds over the
/// Internet), with room. A firing alert's end is further away: Prometheus sets it to four resend delays from now.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);
/// How far a source's clock may be ahead before its times are not believed.
const CLOCKS_APART: Duration = Duration::from_secs(3600);

/// An alert as it is posted. Unknown fields are ignored, as Alertmanager does.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Posted {
    /// Its identity.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What people read.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Since when; now if it is not given.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// Until when it is to be believed, or when it ended.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// Where its source explains it.
    #[serde(default, rename = "generatorURL")]
    pub generator_url: Option<String>,
}

/// An alert from elsewhere that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// Stands for its labels, as Alertmanager computes it.
    pub fingerprint: String,
    /// Its identity.
    pub labels: BTreeMap<String, String>,
    /// What people read.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Timestamp,
    /// Until when it is believed without being repeated.
    pub believed_until: Timestamp,
    /// Where its source explains it.
    pub generator_url: Option<String>,
    /// Whether its source has said that it is over, before anybody looked at it.
    #[serde(default)]
    pub is_over: bool,
    /// Whether it was looked at.
    #[serde(skip)]
    is_seen: bool,
    /// What the service that it names is called by now.
    #[serde(skip)]
    renamed: Option<String>,
}

/// Every alert from elsewhere that is not over.
#[derive(Debug, Default)]
pub struct Externals {
    alerts: BTreeMap<String, External>,
    /// What services were called, and what they are called now.
    renames: HashMap<String, String>,
    clock: WallClock,
}

/// What became of a posted alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is new, or not what it was: worth writing down.
    Changed(External),
    /// It is known.
    Repeated,
    /// It is over.
    Over(String),
    /// It ended before anything was known of it.
    Nothing,
    /// There is no room for it now: its source must try again.
    Full,
}

impl Externals {
    /// Returns every alert that is not over.
    pub fn all(&self) -> impl Iterator<Item = &External> {
        self.alerts.values().filter(|alert| !alert.is_over)
    }

    /// Takes in what an earlier monitor knew. Sources get the time to repeat it.
    pub fn adopt(&mut self, alerts: Vec<External>, now: Timestamp) {
        for mut alert in alerts {
            alert.believed_until = alert.believed_until.max(later(now, BELIEVED_FOR));
            let alert = self.called_by_now(alert);
            self.alerts.entry(alert.fingerprint.clone()).or_insert(alert);
        }
    }

    /// A service has a new name: what is said of the old one is said of it.
    pub fn rename(&mut self, old: &str, new: &str) {
        self.renames.insert(old.to_owned(), new.to_owned());
        for alert in std::mem::take(&mut self.alerts).into_values() {
            let alert = self.called_by_now(alert);
            self.alerts.insert(alert.fingerprint.clone(), alert);
        }
    }

    fn called_by_now(&self, alert: External) -> External {
        let said = alert.labels.get("service");
        let mut name = said;
        // A chain of renames ends; one that went in a circle has been walked once by then.
        for _ in 0..self.renames.len() {
            name = name.and_then(|name| self.renames.get(name)).or(name);
        }
        let renamed = name.filter(|_| name != said).cloned();
        External { renamed, ..alert }
    }

    /// Takes one posted alert.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it.
    pub fn take(&mut self, posted: Posted, now: Timestamp) -> Result<Taken, String> {
        let Posted { mut labels, mut annotations, starts_at, ends_at, generator_url } = posted;
        labels.retain(|_, value| !value.is_empty());
        annotations.retain(|_, value| !value.is_empty());
        check(&labels, &annotations)?;
        let fingerprint = fingerprint(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        // Who says that it ends now may have a clock that is a little ahead of ours.
        if ends_at.is_some_and(|end| end <= later(now, CLOCKS_DIFFER)) {
            return Ok(self.ended(fingerprint));
        }
        let known = self.alerts.get(&fingerprint);
        if known.is_none() && self.alerts.len() >= MAX_ALERTS {
            return Ok(Taken::Full);
        }
        let starts_at = starts_at.unwrap_or(now).min(later(now, CLOCKS_APART));
        let alert = External {
            fingerprint: fingerprint.clone(),
            labels,
            annotations,
            starts_at: known.map_or(starts_at, |known| known.starts_at.min(starts_at)),
            believed_until: ends_at.unwrap_or_else(|| later(now, BELIEVED_FOR)),
            generator_url: generator_url.filter(|url| is_web_url(url)),
            is_over: false,
            is_seen: known.is_some_and(|known| known.is_seen),
            renamed: None,
        };
        let alert = self.called_by_now(alert);
        let is_same =
            known.is_some_and(|known| External { believed_until: alert.believed_until, ..known.clone() } == alert);
        self.alerts.insert(fingerprint, alert.clone());
        Ok(if is_same { Taken::Repeated } else { Taken::Changed(alert) })
    }

    fn ended(&mut self, fingerprint: String) -> Taken {
        match self.alerts.get_mut(&fingerprint) {
            None => Taken::Nothing,
            Some(alert) if alert.is_seen => {
                self.alerts.remove(&fingerprint);
                Taken::Over(fingerprint)
            }
            Some(alert) if alert.is_over => Taken::Repeated,
            Some(alert) => {
                alert.is_over = true;
                Taken::Changed(alert.clone())
            }
        }
    }

    /// Notes that everything was looked at; forgets, and returns, what was over already.
    pub fn seen(&mut self) -> Vec<String> {
        self.alerts.values_mut().for_each(|alert| alert.is_seen = true);
        let over = self.alerts.values().filter(|alert| alert.is_over).map(|alert| alert.fingerprint.clone());
        let over: Vec<String> = over.collect();
        over.iter().for_each(|fingerprint| drop(self.alerts.remove(fingerprint)));
        over
    }

    /// Forgets alerts whose source has been silent for too long; returns them. A clock that somebody has set makes nobody
    /// silent.
    pub fn give_up(&mut self, now: Stamp) -> Vec<External> {
        if let Some(by) = self.clock.set_by(now) {
            for alert in self.alerts.values_mut() {
                alert.believed_until = alert.believed_until.saturating_add(by).unwrap_or(alert.believed_until);
            }
        }
        let now = now.wall;
        let is_old = |alert: &External| elapsed(alert.believed_until, now) > GIVEN_UP_AFTER;
        let old: Vec<String> =
            self.alerts.values().filter(|alert| is_old(alert)).map(|alert| alert.fingerprint.clone()).collect();
        old.iter().filter_map(|fingerprint| self.alerts.remove(fingerprint)).collect()
    }

    /// Returns the services that firing alerts are about, and since when each of them has been told of.
    pub fn told(&self, services: &ServicesAlerts, now: Stamp) -> HashMap<Arc<str>, Moment> {
        let mut told = HashMap::new();
        for alert in self.alerts.values() {
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
        for alert in self.alerts.values() {
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
    condition.joined = names(alerts);
    condition.tells_of_joins = true;
    condition.grace = GRACE;
    Some(condition)
}

fn names(alerts: &[&External]) -> BTreeSet<String> {
    alerts.iter().map(|alert| alert.name().to_owned()).collect()
}

impl External {
    /// Returns the alert's name.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("alert", String::as_str)
    }

    /// Returns whether it was not repeated in the time it promised.
    pub fn is_lost(&self, now: Timestamp) -> bool {
        self.believed_until < now
    }

    /// Maps the words that are common elsewhere onto ours.
    pub fn severity(&self) -> Severity {
        match self.labels.get("severity").map(|word| word.to_ascii_lowercase()).as_deref() {
            Some("page" | "critical" | "emergency" | "fatal" | "error" | "high") => Severity::Page,
            Some("notice" | "info" | "none" | "debug" | "low") => Severity::Notice,
            _ => Severity::Ticket,
        }
    }

    pub(super) fn service<'a>(&'a self, services: &ServicesAlerts) -> Option<&'a str> {
        let said = self.labels.get("service").map(String::as_str).filter(|service| services.contains_key(*service));
        said.or_else(|| self.renamed.as_deref().filter(|service| services.contains_key(*service)))
    }

    pub(super) fn key(&self, services: &ServicesAlerts) -> String {
        let own = || format!("alert:{}", self.fingerprint);
        self.service(services).map_or_else(own, Condition::service_key)
    }

    fn shown(&self, now: Timestamp) -> String {
        let lost = if self.is_lost(now) { " (its source is silent)" } else { "" };
        let summary = self.annotations.get("summary").map(|summary| format!(": {summary}")).unwrap_or_default();
        one_line(&format!("{}{summary}{lost}", self.name()))
    }
}

fn check(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Result<(), String> {
    if labels.is_empty() {
        return Err("an alert needs at least one label with a value".to_owned());
    }
    let bytes: usize = labels.iter().chain(annotations).map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_ALERT_BYTES {
        return Err(format!("an alert has {bytes} bytes of labels and annotations, more than {MAX_ALERT_BYTES}"));
    }
    for (what, pairs) in [("label", labels), ("annotation", annotations)] {
        if pairs.len() > MAX_PAIRS {
            return Err(format!("an alert has {} {what}s, more than {MAX_PAIRS}", pairs.len()));
        }
        for (name, value) in pairs {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(format!("a {what}'s name has {} bytes; 1 to {MAX_NAME_BYTES} are allowed", name.len()));
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(format!("the {what} {name:?} has {} bytes, more than {MAX_VALUE_BYTES}", value.len()));
            }
        }
    }
    Ok(())
}

/// Only what a browser opens as a page: links come from outside and end up in mails.
fn one_line(text: &str) -> String {
    redact(text).chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use kit::clock::Moment;

    use super::super::verdicts::ServiceAlerts;
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn stamp(secs: i64) -> Stamp {
        Stamp { at: Moment::from_ms(secs * 1000), wall: at(secs) }
    }

    fn posted(labels: &[(&str, &str)], ends: Option<i64>) -> Posted {
        Posted {
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            annotations: [("summary".to_owned(), "it smells".to_owned())].into(),
            starts_at: Some(at(0)),
            ends_at: ends.map(at),
            generator_url: Some("javascript:alert(1)".to_owned()),
        }
    }

    fn services() -> ServicesAlerts {
        [("web".into(), ServiceAlerts::standard(true))].into()
    }

    #[test]
    fn an_alert_is_over_when_its_source_says_so_and_unclear_when_that_is_silent() {
        let mut externals = Externals::default();
        let labels = [("alertname", "Smell"), ("severity", "critical")];
        let Taken::Changed(alert) = externals.take(posted(&labels, Some(240)), at(0)).unwrap() else { panic!("new") };
        assert_eq!((alert.severity(), alert.generator_url.as_deref()), (Severity::Page, None));
        assert_eq!(externals.take(posted(&labels, Some(300)), at(60)).unwrap(), Taken::Repeated);
        let holds = |externals: &Externals, secs| {
            let mut conditions = Vec::new();
            externals.join(&mut conditions, &services(), stamp(secs));
            conditions.first().map(|condition| condition.holds)
        };
        assert_eq!(holds(&externals, 299), Some(Holds::Yes));
        assert_eq!(holds(&externals, 301), Some(Holds::Unclear));
        assert!(externals.give_up(stamp(300 + 86_000)).is_empty());
        assert!(externals.seen().is_empty());
        assert_eq!(externals.take(posted(&labels, Some(400)), at(500)).unwrap(), Taken::Over(alert.fingerprint));
        assert_eq!(holds(&externals, 501), None);
    }

    #[test]
    fn what_begins_and_ends_between_two_looks_is_looked_at_once_whatever_restarts() {
        let mut externals = Externals::default();
        let labels = [("alertname", "Smell")];
        externals.take(posted(&labels, None), at(1)).unwrap();
        let Taken::Changed(alert) = externals.take(posted(&labels, Some(2)), at(2)).unwrap() else { panic!("news") };
        assert_eq!(externals.take(posted(&labels, Some(2)), at(2)).unwrap(), Taken::Repeated);
        let stored = serde_json::to_string(&alert).unwrap();
        let mut restarted = Externals::default();
        restarted.adopt(vec![serde_json::from_str(&stored).unwrap()], at(3));
        for mut externals in [externals, restarted] {
            let mut conditions = Vec::new();
            externals.join(&mut conditions, &services(), stamp(3));
            assert_eq!(conditions.len(), 1);
            assert_eq!(externals.seen(), std::slice::from_ref(&alert.fingerprint));
            assert_eq!((externals.all().count(), externals.seen().len()), (0, 0));
        }
    }

    #[test]
    fn alerts_about_a_watched_service_are_one_condition_with_its_own() {
        let mut externals = Externals::default();
        externals
            .take(posted(&[("alertname", "Slow"), ("service", "web"), ("severity", "warning")], None), at(0))
            .unwrap();
        externals
            .take(posted(&[("alertname", "Gone"), ("service", "web"), ("severity", "critical")], None), at(1))
            .unwrap();
        externals.take(posted(&[("alertname", "Other"), ("service", "unknown")], None), at(1)).unwrap();
        let mut conditions = Vec::new();
        externals.join(&mut conditions, &services(), stamp(2));
        let keys: Vec<(&str, &str, Severity)> =
            conditions.iter().map(|c| (&c.key[..6], c.name.as_str(), c.severity)).collect();
        assert_eq!(keys, [("alert:", "Other", Severity::Ticket), ("servic", "Gone", Severity::Page)]);
        assert_eq!(conditions[1].description, "Also firing: Slow: it smells");
        let mut own = vec![Condition::new("service:web", "ServiceDown", Severity::Page, "web is down")];
        externals.join(&mut own, &services(), stamp(2));
        assert_eq!((own.len(), own[0].name.as_str()), (2, "ServiceDown"));
        assert_eq!(own[0].description, "Also firing: Gone: it smells; Slow: it smells.");
    }

    #[test]
    fn a_source_whose_clock_is_a_little_ahead_can_end_its_alert_and_a_clock_that_is_set_ends_none() {
        let mut externals = Externals::default();
        let labels = [("alertname", "Smell")];
        externals.take(posted(&labels, None), at(0)).unwrap();
        externals.seen();
        assert!(matches!(externals.take(posted(&labels, Some(61)), at(60)).unwrap(), Taken::Over(_)));
        externals.take(posted(&labels, None), at(100)).unwrap();
        let set = |secs: i64, ahead: i64| Stamp { at: Moment::from_ms(secs * 1000), wall: at(secs + ahead) };
        assert!(externals.give_up(set(100, 0)).is_empty());
        assert!(externals.give_up(set(160, 10 * 86_400)).is_empty(), "ten days by the wall, a minute for us");
        assert_eq!(externals.give_up(set(160 + 86_500 + 300, 10 * 86_400)).len(), 1);
    }

    #[test]
    fn what_is_said_of_a_service_by_its_old_name_is_said_of_it() {
        let mut externals = Externals::default();
        externals.take(posted(&[("alertname", "Slow"), ("service", "shop")], None), at(0)).unwrap();
        let keys =
            |externals: &Externals| -> Vec<String> { externals.all().map(|alert| alert.key(&services())).collect() };
        assert!(keys(&externals)[0].starts_with("alert:"));
        externals.rename("shop", "store");
        externals.rename("store", "web");
        assert_eq!(keys(&externals), ["service:web"]);
        externals.take(posted(&[("alertname", "Gone"), ("service", "store")], None), at(1)).unwrap();
        assert_eq!(keys(&externals), ["service:web"; 2]);
    }

    #[test]
    fn what_is_said_of_a_service_that_looks_well_stands_where_the_service_stands() {
        let mut externals = Externals::default();
        externals.take(posted(&[("alertname", "Errors"), ("service", "web")], None), at(1)).unwrap();
        assert_eq!(externals.told(&services(), stamp(5)), [("web".into(), Moment::from_ms(0))].into());
        let placed = |key: &str| Condition {
            holds: Holds::No,
            needs: vec!["db".into()],
            roots: vec!["db".into()],
            vouched: false,
            impacted: vec!["shop".to_owned()],
            ..Condition::new(key, "", Severity::Notice, "")
        };
        let mut conditions = vec![placed("service:web"), placed("service:other")];
        externals.join(&mut conditions, &services(), stamp(5));
        let [web] = conditions.as_slice() else { panic!("only what is said: {conditions:?}") };
        assert_eq!((web.name.as_str(), web.holds, web.vouched), ("Errors", Holds::Yes, false));
        assert_eq!((&*web.roots[0], web.impacted.as_slice(), web.grace), ("db", &["shop".to_owned()][..], GRACE));
    }

    #[test]
    fn what_is_wrong_with_an_alert_is_said() {
        let mut externals = Externals::default();
        let refused = |externals: &mut Externals, labels: &[(&str, &str)]| {
            externals.take(posted(labels, None), at(0)).unwrap_err()
        };
        assert_eq!(refused(&mut externals, &[]), "an alert needs at least one label with a value");
        assert_eq!(refused(&mut externals, &[("a", "")]), "an alert needs at least one label with a value");
        let long = "x".repeat(5000);
        assert_eq!(refused(&mut externals, &[("a", &long)]), "the label \"a\" has 5000 bytes, more than 4096");
    }
}
