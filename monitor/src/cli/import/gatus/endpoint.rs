//! One endpoint of Gatus as a service with a check.

use kit::config::Place;
use serde_json::{Map, Value, json};

use super::super::keys::Keys;
use super::super::names::label;
use super::super::request::Text;
use super::condition::{Answer, Condition, duration_ms};
use super::expectation::{Expected, Subject};
use super::fill::Known;
use super::target::{Target, subject};
use super::{EVERY, FAIL_AFTER, Gatus, RECOVER_AFTER, TIMEOUT, wrong};

/// Shortest interval, and the limits of a deadline, in milliseconds.
const MIN_EVERY_MS: f64 = 1_000.0;
const TIMEOUT_MS: std::ops::RangeInclusive<f64> = 10.0..=600_000.0;

impl Gatus<'_> {
    /// Takes one over.
    ///
    /// # Errors
    /// It lacks a name or a URL, or a secret cannot be kept.
    pub(super) fn endpoint(&mut self, place: &Place, item: &Value) -> Result<(), String> {
        let mut keys = Keys::new("endpoint", item);
        let name = keys.text("name").ok_or_else(|| wrong(place, "this endpoint has no name; write name: …"))?;
        let group = keys.text("group");
        keys.who = who("endpoint", group.as_deref(), &name);
        let url = keys.text("url").ok_or_else(|| wrong(place, &format!("{} has no url; write url: …", keys.who)))?;
        if keys.flag("enabled") == Some(false) {
            self.left_out.push(format!("{}: it is disabled", keys.who));
            return Ok(());
        }
        let asked = match subject(&url, item.get("dns").is_some()) {
            Ok(asked) => asked,
            Err(why) => {
                self.left_out.push(format!("{}: {why}", keys.who));
                return Ok(());
            }
        };
        let mut expected = self.conditions(&mut keys, asked, &Known::default());
        if expected.is_inverted {
            let why = "it is watched for not answering, which no check can expect; ask by exec";
            self.left_out.push(format!("{}: {why}", keys.who));
            return Ok(());
        }
        let service = self.names.take(&[&name, &format!("{}-{name}", group.as_deref().unwrap_or_default())]);
        let timing = self.timing(&mut keys, item);
        let known = Known {
            fixed: vec![
                ("[ENDPOINT_NAME]", name.clone()),
                ("[ENDPOINT_GROUP]", group.clone().unwrap_or_default()),
                ("[ENDPOINT_URL]", url.clone()),
            ],
            ..Known::default()
        };
        let mut target = Target {
            keys: &mut keys,
            url: url.clone(),
            name: &service,
            secrets: self.secrets,
            known: &known,
            left_out: &mut self.left_out,
            changed: &mut self.changed,
        };
        let mut check = match target.check(asked, &mut expected) {
            Ok(check) => check,
            Err(why) => {
                self.left_out.push(format!("{}: {why}", keys.who));
                return Ok(());
            }
        };
        check.extend(timing.clone());
        let kind = if asked == Subject::Http { "http" } else { check_name(&check) }.to_owned();
        let mut checks = Map::from_iter([(kind, Value::Object(check))]);
        if let Some(days) = expected.domain_days.take() {
            self.domain(&keys.who, &url, &days, &timing, &mut checks);
        }
        self.keep(&service, group.as_deref(), &name, checks, &mut keys);
        let _how_it_looks = keys.take("ui");
        keys.end(&mut self.left_out);
        Ok(())
    }

    /// Reads the conditions; what is stricter, and what cannot be said, is noted.
    pub(super) fn conditions(&mut self, keys: &mut Keys, asked: Subject, known: &Known) -> Expected {
        let mut expected = Expected::default();
        let mut passes_in_silence = true;
        let conditions = keys.list("conditions");
        for text in conditions.iter().filter_map(Value::as_str) {
            let filled = match known.fill(text, &mut Vec::new()) {
                Text::Plain(text) => text,
                Text::Template(_) => text.to_owned(),
            };
            let added = Condition::parse(&filled).and_then(|condition| {
                passes_in_silence &= condition.holds(Answer::default());
                expected.add(&condition, asked)
            });
            if let Err(why) = added {
                self.left_out.push(format!("{}: {text}: {why}", keys.who));
            }
            self.changed.extend(expected.notes.drain(..).map(|note| format!("{}: {text}: {note}", keys.who)));
        }
        if passes_in_silence && !conditions.is_empty() && !expected.is_inverted {
            let note = "all its conditions pass while nothing answers; that is a fail now";
            self.changed.push(format!("{}: {note}", keys.who));
        }
        expected
    }

    /// Reads how often it is asked, and how long an answer may take.
    pub(super) fn timing(&mut self, keys: &mut Keys, item: &Value) -> Map<String, Value> {
        let mut timing = Map::new();
        if let Some(every) = keys.text("interval") {
            let is_short = duration_ms(&every).is_some_and(|milliseconds| milliseconds < MIN_EVERY_MS);
            if is_short {
                self.changed.push(format!("{}: interval {every} is 1s now, the shortest", keys.who));
            }
            let every = if is_short { "1s".to_owned() } else { length(&every) };
            if every != EVERY {
                timing.insert("every".to_owned(), every.clone().into());
                timing.insert("every_when_failing".to_owned(), every.into());
            }
        }
        let timeout = item.get("client").and_then(|client| client.get("timeout")).and_then(Value::as_str);
        match timeout.map(|timeout| (timeout, duration_ms(timeout).is_some_and(|ms| TIMEOUT_MS.contains(&ms)))) {
            Some((timeout, true)) if length(timeout) != TIMEOUT => {
                timing.insert("timeout".to_owned(), length(timeout).into());
            }
            Some((timeout, false)) => {
                self.left_out.push(format!("{}: timeout {timeout}; write one from 10ms to 10m", keys.who));
            }
            _ => {}
        }
        timing
    }

    /// A second check: when the registration of its domain ends.
    fn domain(
        &mut self,
        who: &str,
        url: &str,
        days: &str,
        timing: &Map<String, Value>,
        checks: &mut Map<String, Value>,
    ) {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = host.split(['/', ':', '?']).next().unwrap_or_default();
        let labels: Vec<&str> = host.split('.').collect();
        let [.., name, ending] = labels.as_slice() else {
            self.left_out.push(format!("{who}: [DOMAIN_EXPIRATION]: {host} is no registered domain"));
            return;
        };
        let domain = format!("{name}.{ending}");
        if domain != host {
            self.changed.push(format!(
                "{who}: [DOMAIN_EXPIRATION]: the registration of {domain} is asked for; check that name"
            ));
        }
        let mut check = timing.clone();
        check.insert("domain".to_owned(), json!({ "name": domain }));
        check.insert("expect".to_owned(), json!({ "expr": format!("json.days_left > {days}") }));
        checks.insert("domain".to_owned(), check.into());
    }

    /// Keeps a service: its checks, who is told of it, and when it is maintained.
    pub(super) fn keep(
        &mut self,
        service: &str,
        group: Option<&str>,
        name: &str,
        mut checks: Map<String, Value>,
        keys: &mut Keys,
    ) {
        let mut ours = Map::from_iter([("about".to_owned(), format!("{} in Gatus", key(group, name)).into())]);
        ours.extend(group.map(|group| ("group".to_owned(), group.into())));
        let mut labels = Map::new();
        labels.extend(group.filter(|_| self.alerting.names_group).map(|group| ("group".to_owned(), group.into())));
        let extra = keys.take("extra-labels").and_then(|own| own.as_object().cloned()).unwrap_or_default();
        labels.extend(extra.into_iter().map(|(name, value)| (label(&name), value)));
        if !labels.is_empty() {
            ours.insert("labels".to_owned(), labels.into());
        }
        let alerts = keys.list("alerts");
        self.alerts(service, group, &keys.who, &alerts, &mut checks, &mut ours);
        ours.insert("checks".to_owned(), checks.into());
        self.services.insert(service.to_owned(), ours.into());
        for window in keys.list("maintenance-windows") {
            self.maintenance(&format!("maintenance of {service}"), &window, Some(service));
        }
    }

    fn alerts(
        &mut self,
        service: &str,
        group: Option<&str>,
        who: &str,
        alerts: &[Value],
        checks: &mut Map<String, Value>,
        ours: &mut Map<String, Value>,
    ) {
        let (mut channels, mut thresholds, mut reminders) = (Vec::new(), Vec::new(), Vec::new());
        for alert in alerts {
            let mut alert = Keys::new(format!("{who}: alerts"), &self.alerting.alert(alert).into());
            let provider = alert.text("type").unwrap_or_default();
            if alert.flag("enabled") == Some(false) {
                continue;
            }
            match self.alerting.channel(&provider, group) {
                Some(channel) => channels.push(channel.clone()),
                None => self.left_out.push(format!("{who}: alerts: {provider}, which is no channel here")),
            }
            let fail_after = alert.whole("failure-threshold").unwrap_or(FAIL_AFTER);
            thresholds.push((fail_after, alert.whole("success-threshold").unwrap_or(RECOVER_AFTER)));
            reminders.extend(alert.text("minimum-reminder-interval"));
            if let Some(description) = alert.text("description") {
                ours.insert("about".to_owned(), format!("{description} ({})", about(ours)).into());
            }
            let _always = alert.take("send-on-resolved");
            alert.end(&mut self.left_out);
        }
        if let Some((fail_after, recover_after)) = thresholds.iter().min() {
            if thresholds.iter().any(|other| other.0 != *fail_after) {
                self.changed.push(format!(
                    "{who}: alerts: all are sent at fail {fail_after} in a row; a route can escalate to others"
                ));
            }
            for check in
                checks.values_mut().filter_map(Value::as_object_mut).filter(|check| !check.contains_key("heartbeat"))
            {
                for (key, value, usual) in
                    [("fail_after", fail_after, FAIL_AFTER), ("recover_after", recover_after, RECOVER_AFTER)]
                {
                    if *value != usual {
                        check.insert(key.to_owned(), (*value).clamp(1, 64).into());
                    }
                }
            }
        }
        if channels.is_empty() {
            ours.insert("alert".to_owned(), json!({ "down": "none", "degraded": "none" }));
        } else {
            let reminder = reminders.iter().find(|every| duration_ms(every).is_some_and(|ms| ms >= 60_000.0));
            self.audiences.tell(channels, reminder.map(|every| length(every)), service);
        }
    }
}

fn about(ours: &Map<String, Value>) -> &str {
    ours.get("about").and_then(Value::as_str).unwrap_or_default()
}

/// The kind that a check is of, which is its name too.
fn check_name(check: &Map<String, Value>) -> &str {
    check.keys().find(|key| *key != "expect").map_or("check", String::as_str)
}

/// What people call it.
pub(super) fn who(what: &str, group: Option<&str>, name: &str) -> String {
    group.map_or_else(|| format!("{what} {name}"), |group| format!("{what} {group}/{name}"))
}

/// The key that Gatus knows it by, in its addresses and metrics.
fn key(group: Option<&str>, name: &str) -> String {
    let clean = |text: &str| text.trim().to_lowercase().replace(['/', '_', '.', ',', ' ', '#', '+', '&'], "-");
    format!("{}_{}", clean(group.unwrap_or_default()), clean(name))
}

/// A duration of Go as ours; a variable, and what is none, stays as it is.
pub(super) fn length(text: &str) -> String {
    let Some(milliseconds) = duration_ms(text).filter(|milliseconds| *milliseconds >= 1.0) else {
        return text.to_owned();
    };
    super::super::written_duration(std::time::Duration::from_secs_f64(milliseconds.round() / 1000.0))
}
