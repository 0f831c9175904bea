//! One monitor of Kuma as a service.

use serde_json::{Map, Value, json};

use super::super::names::label;
use super::tables::{count, flag, id, nested, text};
use super::{EVERY_SECS, Kuma, TIMEOUT_MS, length_ms};

/// Limits of ours: of intervals in seconds, of deadlines in milliseconds, of fails in a row.
const EVERY: std::ops::RangeInclusive<u64> = 1..=7 * 86_400;
const TIMEOUT: std::ops::RangeInclusive<u64> = 10..=600_000;
const MAX_FAILS: u64 = 64;
/// The first of the days before its end on which Kuma speaks of a certificate, unless told otherwise.
pub(super) const CERTIFICATE: &str = "21d";

/// What a monitor comes to: its check, under its name, or what runs it.
pub(super) struct Made {
    pub(super) check: Option<(&'static str, Map<String, Value>)>,
    pub(super) workload: Option<Value>,
}

impl Made {
    /// A check of this kind.
    pub(super) fn check(kind: &'static str, settings: Map<String, Value>, expect: Map<String, Value>) -> Self {
        let mut check = Map::from_iter([(kind.to_owned(), Value::Object(settings))]);
        if !expect.is_empty() {
            check.insert("expect".to_owned(), expect.into());
        }
        Self { check: Some((kind, check)), workload: None }
    }
}

impl Kuma<'_> {
    /// Takes one over.
    ///
    /// # Errors
    /// A secret cannot be kept.
    pub(super) fn monitor(&mut self, row: &Value) -> Result<(), String> {
        let name = text(row, "name").unwrap_or_default();
        let kind = text(row, "type").unwrap_or_default();
        let who = format!("monitor {name}");
        if kind == "group" {
            self.of_group(row, &who);
            return Ok(());
        }
        if row.get("active").is_some() && !flag(row, "active") {
            self.left_out.push(format!("{who}: it is paused"));
            return Ok(());
        }
        if flag(row, "upside_down") {
            self.left_out
                .push(format!("{who}: it is upside down, and no check can expect that nothing answers; ask by exec"));
            return Ok(());
        }
        let group = self.group(row);
        let service = self.names.take(&[&name, &format!("{}-{name}", group.as_deref().unwrap_or_default())]);
        let made = match self.made(row, &kind, &service, &who) {
            Ok(made) => made,
            Err(why) => {
                self.left_out.push(format!("{who} ({kind}): {why}"));
                return Ok(());
            }
        };
        let mut ours = Map::new();
        let about = text(row, "description")
            .map_or_else(|| format!("{name} in Uptime Kuma"), |about| format!("{about} ({name} in Uptime Kuma)"));
        ours.insert("about".to_owned(), about.into());
        ours.extend(group.map(|group| ("group".to_owned(), group.into())));
        let labels = self.labels(row);
        if !labels.is_empty() {
            ours.insert("labels".to_owned(), labels.into());
        }
        if let Some((check_name, mut check)) = made.check {
            if !check.contains_key("heartbeat") {
                check.extend(timing(row));
            }
            ours.insert("checks".to_owned(), json!({ check_name: check }));
        }
        ours.extend(made.workload.map(|workload| ("workload".to_owned(), workload)));
        self.tell(row, &service, &who, &mut ours);
        if let Some(own) = id(row, "id") {
            self.known.insert(own, service.clone());
        }
        self.services.insert(service, ours.into());
        Ok(())
    }

    fn made(&mut self, row: &Value, kind: &str, service: &str, who: &str) -> Result<Made, String> {
        let conditions = nested(row, "conditions");
        if conditions.as_array().is_some_and(|list| !list.is_empty()) {
            self.left_out.push(format!("{who}: conditions; write what is expected under expect: …"));
        }
        match kind {
            "http" | "keyword" | "json-query" => self.http(row, kind, service, who),
            "push" => self.push(row, service, who),
            "docker" => self.container(row),
            _ => self.server(row, kind, service, who),
        }
    }

    /// A group stands for its members, who are told of by themselves.
    fn of_group(&mut self, row: &Value, who: &str) {
        let Some(own) = id(row, "id") else { return };
        if !self.tables.joined("monitor_notification", "monitor_id", own, "notification_id").is_empty() {
            self.left_out.push(format!("{who}: its own notifications; those of its members are sent"));
        }
    }

    fn labels(&self, row: &Value) -> Map<String, Value> {
        let Some(own) = id(row, "id") else { return Map::new() };
        let mut labels = Map::new();
        for pair in self.tables.all("monitor_tag").iter().filter(|pair| id(pair, "monitor_id") == Some(own)) {
            let tag = id(pair, "tag_id").and_then(|tag| self.tables.find("tag", tag));
            let Some(name) = tag.and_then(|tag| text(tag, "name")) else { continue };
            labels.insert(label(&name), text(pair, "value").unwrap_or_else(|| "yes".to_owned()).into());
        }
        labels
    }

    fn tell(&mut self, row: &Value, service: &str, who: &str, ours: &mut Map<String, Value>) {
        let notifications = id(row, "id")
            .map(|own| self.tables.joined("monitor_notification", "monitor_id", own, "notification_id"))
            .unwrap_or_default();
        let channels: Vec<String> = notifications.iter().filter_map(|id| self.told.get(id).cloned()).collect();
        if channels.is_empty() {
            if !notifications.is_empty() {
                self.left_out.push(format!("{who}: nobody is told of it: none of its notifications is a channel here"));
            }
            ours.insert("alert".to_owned(), json!({ "down": "none", "degraded": "none" }));
            return;
        }
        // It counts failing beats, ours counts time.
        let beats = count(row, "resend_interval").filter(|beats| *beats > 0);
        let reminder = beats.map(|beats| length_ms((beats * every_secs(row)).clamp(60, 30 * 86_400) * 1000));
        self.audiences.tell(channels, reminder, service);
    }

    fn push(&mut self, row: &Value, service: &str, who: &str) -> Result<Made, String> {
        let retries = count(row, "maxretries").unwrap_or_default();
        let retry = count(row, "retry_interval").filter(|secs| *secs > 0).unwrap_or_else(|| every_secs(row));
        let grace = (retries * retry).max(1);
        let mut settings = Map::from_iter([
            // Jobs come more seldom than anything is asked.
            ("period".to_owned(), json!(length_ms(count(row, "interval").unwrap_or(EVERY_SECS).max(1) * 1000))),
            ("grace".to_owned(), json!(length_ms(grace * 1000))),
        ]);
        let token = text(row, "push_token").ok_or("it has no token")?;
        self.secrets.put(&mut settings, "token", &format!("{service}-token"), &token)?;
        self.changed.push(format!(
            "{who}: it pushes to POST /api/v1/heartbeat/{service}/heartbeat?state=success (or fail), with the same token as a bearer; \
             /api/push/… is not answered here"
        ));
        Ok(Made::check("heartbeat", settings, Map::new()))
    }

    fn container(&self, row: &Value) -> Result<Made, String> {
        let name = text(row, "docker_container").ok_or("it names no container")?;
        let host = id(row, "docker_host").and_then(|host| self.tables.find("docker_host", host));
        let daemon = host.and_then(|host| text(host, "docker_daemon")).unwrap_or_default();
        let mut container = Map::from_iter([("name".to_owned(), json!(name))]);
        match daemon.split_once("://") {
            None if daemon.is_empty() || daemon == "/var/run/docker.sock" => {}
            None => _ = container.insert("engine".to_owned(), format!("unix://{daemon}").into()),
            Some(("tcp" | "http", rest)) => {
                _ = container.insert("engine".to_owned(), format!("tcp://{}", rest.trim_end_matches('/')).into());
            }
            Some(_) => {
                return Err(
                    "an engine over TLS; write workload: { container: { name: …, engine: tcp://…, tls: { … } } }"
                        .to_owned(),
                );
            }
        }
        Ok(Made { check: None, workload: Some(json!({ "container": container })) })
    }
}

pub(super) fn every_secs(row: &Value) -> u64 {
    count(row, "interval").unwrap_or(EVERY_SECS).clamp(*EVERY.start(), *EVERY.end())
}

/// How often it is asked, how long an answer may take, and after how many fails it is down.
fn timing(row: &Value) -> Map<String, Value> {
    let every = every_secs(row);
    let retry = count(row, "retry_interval").filter(|secs| *secs > 0).unwrap_or(every);
    let written = row.get("timeout").and_then(Value::as_f64).filter(|secs| *secs > 0.0);
    // Older versions allow four fifths of the interval.
    let timeout = written.map_or(every * 800, |secs| {
        u64::try_from(std::time::Duration::from_secs_f64(secs.min(600.0)).as_millis()).unwrap_or(TIMEOUT_MS)
    });
    let timeout = timeout.clamp(*TIMEOUT.start(), *TIMEOUT.end());
    let fails = (count(row, "maxretries").unwrap_or_default() + 1).min(MAX_FAILS);
    let mut timing = Map::new();
    for (key, value, usual) in [
        ("every", every * 1000, EVERY_SECS * 1000),
        ("every_when_failing", retry.clamp(1, 86_400) * 1000, EVERY_SECS * 1000),
        ("timeout", timeout, TIMEOUT_MS),
    ] {
        if value != usual {
            timing.insert(key.to_owned(), length_ms(value).into());
        }
    }
    if fails != 1 {
        timing.insert("fail_after".to_owned(), fails.into());
    }
    timing
}
