//! Alerts from elsewhere (Prometheus, auth-monitor, dlq-processor), in the form of Alertmanager's API v2. They become
//! conditions like our own: those about a service we watch join its incident. Pure.
//!
//! An alert is over when its source says so, yet not before it was looked at once: what began and ended between two looks
//! is told too. One that is not repeated in the time it promised has lost its source: it stays open, since nobody said
//! that it is over.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Stamp, WallClock, elapsed, later};
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::fingerprint::fingerprint;
use super::message::Severity;
use super::verdicts::ServicesAlerts;
use super::web::is_web_url;

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

    /// Returns what a look is to see: also what was over before anybody looked, and never what only says that it is there.
    pub(super) fn to_look_at(&self) -> impl Iterator<Item = &External> {
        self.alerts.values().filter(|alert| alert.is_trouble())
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
            Some("notice" | "info" | "debug" | "low") => Severity::Notice,
            _ => Severity::Ticket,
        }
    }

    /// Returns false for what fires to show that its source is there, as `Watchdog` does: its severity is `none`, by the
    /// custom of kube-prometheus (its `Watchdog` and `InfoInhibitor`), and nobody is to be told.
    fn is_trouble(&self) -> bool {
        self.labels.get("severity").is_none_or(|word| !word.eq_ignore_ascii_case("none"))
    }

    pub(super) fn service<'a>(&'a self, services: &ServicesAlerts) -> Option<&'a str> {
        // What is said of a replica is said of the service that it is.
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let one_of = |service: &'a str| service.rsplit_once('.').filter(|(_, number)| is_number(number));
        let whole = |service: &'a str| one_of(service).map_or(service, |(whole, _)| whole);
        let said = self.labels.get("service").map(|said| whole(said)).filter(|service| services.contains_key(*service));
        said.or_else(|| self.renamed.as_deref().filter(|service| services.contains_key(*service)))
    }

    pub(super) fn key(&self, services: &ServicesAlerts) -> String {
        let own = || format!("alert:{}", self.fingerprint);
        self.service(services).map_or_else(own, Condition::service_key)
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

#[cfg(test)]
#[path = "external_tests.rs"]
mod tests;
