//! Translates the labels of a workload into what a configuration says of a service, so that the same decoders check it:
//! each value is placed at its label. Pure.
//!
//! Labels are written by whoever may start a container. They define only checks of that container: where it answers is
//! its runtime's word, and a label that says anything else is a mistake.

use std::collections::BTreeMap;

use kit::config::{Cursor, Entry, Mistake, Mistakes, Node, Place, Value, suggest};

use super::sighting::{LABEL_PREFIX, Reach, Sighting};
use crate::config::check_name;
use crate::probe::Kinds;

/// Checks that one workload may define: each is asked every few seconds.
const MAX_CHECKS: usize = 16;
/// As of a service that is written down.
const MAX_QUORUM: usize = 100;
/// What stands for an address where none is to be asked (RFC 5737 section 3).
const NOBODY: &str = "192.0.2.1";

/// Labels of a service that are taken as they are, where a configuration has the same path.
const SERVICE_LABELS: [&str; 10] = [
    "enable",
    "name",
    "about",
    "group",
    "critical",
    "needs",
    "needs.hard",
    "needs.soft",
    "replicas.quorum",
    "slo.availability",
];
/// Labels of a check that are taken as they are, beside its kind.
const CHECK_LABELS: [&str; 9] = [
    "about",
    "every",
    "timeout",
    "fail_after",
    "recover_after",
    "severity",
    "expect.status",
    "expect.body_contains",
    "expect.max_latency",
];
const JSON_LABEL: &str = "expect.json.";

/// What the labels of a workload say.
#[derive(Debug)]
pub struct Labelled {
    /// The service's name.
    pub name: String,
    /// The service, as a configuration has it, without its workload.
    pub node: Node,
    /// The same, had it another address: what does not change when only that does.
    pub placeless: Node,
    /// Whether nothing can be asked yet.
    pub is_pending: bool,
    /// How many must work, of several that are this service.
    pub quorum: usize,
    /// What is wrong; what it concerns is left out.
    pub mistakes: Mistakes,
}

impl Labelled {
    /// Reads the labels of a workload.
    pub fn read(sighting: &Sighting, kinds: &Kinds) -> Self {
        let mistakes = Mistakes::default();
        for excess in sighting.labels.excesses() {
            mistakes.add(&Place::whole(&sighting.shown), "", excess);
        }
        let reader = Reader { sighting, kinds, mistakes: &mistakes };
        let (service, checks) = reader.sort();
        let mut entries = reader.service(&service);
        let mut placeless = entries.clone();
        let quorum = reader.quorum(&service);
        let is_pending = sighting.reach == Reach::Pending;
        let nobody = |port: Option<u16>| Ok(format!("{NOBODY}:{}", port.unwrap_or(1)));
        let known = |port| sighting.reach.address(port);
        let real: &dyn Fn(Option<u16>) -> Result<String, String> = if is_pending { &nobody } else { &known };
        entries.extend(reader.checks(&checks, real));
        // What is wrong has been said.
        let unheard = Mistakes::default();
        placeless.extend(Reader { mistakes: &unheard, ..reader }.checks(&checks, &nobody));
        let name = reader.name();
        let node =
            |entries| Node { place: Place::whole(&sighting.shown), value: Value::Map(entries), substituted: None };
        Self { name, node: node(entries), placeless: node(placeless), is_pending, quorum, mistakes }
    }
}

/// Says what is wrong with a label as people read it: the path within a service says nothing that the label does not.
pub fn told(mistake: &Mistake) -> String {
    format!("{}: {}", mistake.place, mistake.message)
}

type Texts<'a> = BTreeMap<&'a str, &'a str>;

struct Reader<'a> {
    sighting: &'a Sighting,
    kinds: &'a Kinds,
    mistakes: &'a Mistakes,
}

impl<'a> Reader<'a> {
    /// Returns the labels of the service by their paths, and those of each check; others are mistakes.
    fn sort(&self) -> (Texts<'a>, BTreeMap<&'a str, Texts<'a>>) {
        let (mut service, mut checks) = (Texts::new(), BTreeMap::<&str, Texts<'_>>::new());
        for (key, value) in &self.sighting.labels.values {
            let check = key.strip_prefix("check.").and_then(|rest| rest.split_once('.'));
            match check {
                Some((name, path)) if checks.contains_key(name) || checks.len() < MAX_CHECKS => {
                    checks.entry(name).or_default().insert(path, value);
                }
                Some(_) => self.mistake(key, format!("a service has {MAX_CHECKS} checks by labels at most")),
                None if SERVICE_LABELS.contains(&key.as_str()) => drop(service.insert(key, value)),
                None => self.unknown(key, key, SERVICE_LABELS.into_iter().chain(["check."])),
            }
        }
        (service, checks)
    }

    fn service(&self, texts: &Texts<'a>) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut needs = Vec::new();
        let mut slo = Vec::new();
        for (key, value) in texts {
            match *key {
                // Of one there is nothing to count; of several it is read apart.
                "replicas.quorum" => {}
                // Whoever listed it has read these.
                "enable" => drop(Cursor::top(&self.scalar(key, value), self.mistakes).bool()),
                "name" => {}
                "needs" | "needs.hard" if texts.contains_key("needs") && texts.contains_key("needs.hard") => {
                    self.mistake(key, "both needs and needs.hard are written, which mean the same; keep one");
                }
                "needs" | "needs.hard" => needs.push(self.entry(key, "hard", self.list(key, value))),
                "needs.soft" => needs.push(self.entry(key, "soft", self.list(key, value))),
                "slo.availability" => slo.push(self.entry(key, "availability", self.scalar(key, value))),
                other => entries.push(self.entry(key, other, self.scalar(key, value))),
            }
        }
        for (name, below) in [("needs", needs), ("slo", slo)] {
            if !below.is_empty() {
                entries.push(self.branch(name, name, below));
            }
        }
        entries
    }

    fn quorum(&self, texts: &Texts<'a>) -> usize {
        let read = |text: &&str| {
            let node = self.scalar("replicas.quorum", text);
            Cursor::top(&node, self.mistakes).whole(1..=MAX_QUORUM)
        };
        texts.get("replicas.quorum").and_then(read).unwrap_or(1)
    }

    /// Returns `checks:`, if there are any.
    fn checks(
        &self,
        checks: &BTreeMap<&'a str, Texts<'a>>,
        own: &dyn Fn(Option<u16>) -> Result<String, String>,
    ) -> Option<Entry> {
        let read: Vec<Entry> = checks.iter().filter_map(|(name, texts)| self.check(name, texts, own)).collect();
        (!read.is_empty()).then(|| self.branch("check", "checks", read))
    }

    fn check(
        &self,
        name: &str,
        texts: &Texts<'a>,
        own: &dyn Fn(Option<u16>) -> Result<String, String>,
    ) -> Option<Entry> {
        let label = |path: &str| format!("check.{name}.{path}");
        let port = self.port(&label("port"), texts.get("port").copied());
        let own = |written: Option<u16>| own(written.or(port.unwrap_or_default()));
        let (mut entries, mut expect, mut json) = (Vec::new(), Vec::new(), Vec::new());
        let (mut is_whole, mut asks) = (port.is_ok(), false);
        for (path, value) in texts {
            let at = label(path);
            if let Some(settings) = self.kinds.find(path).and_then(|kind| kind.by_label(value, &own)) {
                asks = true;
                match settings {
                    Ok(settings) => {
                        let settings = settings
                            .into_iter()
                            .map(|(key, text)| self.entry(&at, key, self.node(&at, Value::Text(text))));
                        entries.push(self.branch(&at, path, settings.collect()));
                    }
                    Err(message) => {
                        self.mistake(&at, message);
                        is_whole = false;
                    }
                }
            } else if let Some(json_path) = path.strip_prefix(JSON_LABEL) {
                json.push(self.entry(&at, json_path, self.scalar(&at, value)));
            } else if let Some(key) = path.strip_prefix("expect.").filter(|_| CHECK_LABELS.contains(path)) {
                let node = if key == "status" { self.list(&at, value) } else { self.scalar(&at, value) };
                expect.push(self.entry(&at, key, node));
            } else if CHECK_LABELS.contains(path) {
                entries.push(self.entry(&at, path, self.scalar(&at, value)));
            } else if *path != "port" {
                self.unknown(&at, path, CHECK_LABELS.into_iter().chain(self.askable()).chain(["port"]));
                is_whole = false;
            }
        }
        if !asks && is_whole {
            let wanted: Vec<String> =
                self.askable().iter().map(|kind| format!("{LABEL_PREFIX}{}", label(kind))).collect();
            self.mistake(&label("*"), format!("nothing is asked; write {}", wanted.join(" or ")));
        }
        if !asks || !is_whole {
            return None;
        }
        if !json.is_empty() {
            expect.push(self.branch(&label("expect.json.*"), "json", json));
        }
        if !expect.is_empty() {
            entries.push(self.branch(&label("expect.*"), "expect", expect));
        }
        Some(self.branch(&label("*"), name, entries))
    }

    /// Returns the kinds that labels can define.
    fn askable(&self) -> Vec<&'static str> {
        let nobody = |_: Option<u16>| Ok(format!("{NOBODY}:1"));
        let is_askable = |name: &&str| self.kinds.find(name).is_some_and(|kind| kind.by_label(":1", &nobody).is_some());
        self.kinds.names().into_iter().filter(is_askable).collect()
    }

    fn port(&self, label: &str, text: Option<&str>) -> Result<Option<u16>, ()> {
        let Some(text) = text else { return Ok(None) };
        match text.parse() {
            Ok(0) | Err(_) => {
                self.mistake(
                    label,
                    format!("{} is no port; write one from 1 to 65535", self.scalar(label, text).shown()),
                );
                Err(())
            }
            Ok(port) => Ok(Some(port)),
        }
    }

    /// Returns the service's name: as the label says, if that can be a name, or else as the runtime calls it.
    fn name(&self) -> String {
        let Some(text) = self.sighting.labels.values.get("name") else { return self.sighting.name.clone() };
        let (node, wrong) = (self.node("name", Value::Text(text.clone())), Mistakes::default());
        check_name(&Cursor::top(&node, &wrong), "service", text);
        if wrong.is_empty() {
            return text.clone();
        }
        for mistake in wrong.into_sorted() {
            self.mistakes.add(&mistake.place, "", mistake.message);
        }
        self.sighting.name.clone()
    }

    fn unknown(&self, label: &str, path: &str, known: impl Iterator<Item = &'static str>) {
        let near = if self.kinds.find(path).is_some() { String::new() } else { suggest(path, known) };
        let what_for = || {
            let kinds = self.askable().join(" and ");
            format!(
                "; labels define checks of kind {kinds} of their own container, everything else is for the configuration"
            )
        };
        let more = if near.is_empty() { what_for() } else { near };
        self.mistake(label, format!("no such label{more}"));
    }

    fn mistake(&self, label: &str, message: impl Into<String>) {
        self.mistakes.add(&self.place(label), "", message);
    }

    fn place(&self, label: &str) -> Place {
        Place::whole(&format!("{}, label {LABEL_PREFIX}{label}", self.sighting.shown))
    }

    fn node(&self, label: &str, value: Value) -> Node {
        Node { place: self.place(label), value, substituted: None }
    }

    /// Every label is text; a number, `true` or `false` counts as what it looks like, if nothing of it is lost.
    fn scalar(&self, label: &str, text: &str) -> Node {
        let whole = text.parse::<i64>().ok().filter(|number| number.to_string() == text).map(Value::Int);
        let float = text.parse::<f64>().ok().filter(|number| number.is_finite() && number.to_string() == text);
        let value = match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => whole.or(float.map(Value::Float)).unwrap_or_else(|| Value::Text(text.to_owned())),
        };
        self.node(label, value)
    }

    /// A list is written with commas.
    fn list(&self, label: &str, text: &str) -> Node {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items = items.map(|item| self.scalar(label, item)).collect();
        self.node(label, Value::List(items))
    }

    fn entry(&self, label: &str, key: &str, node: Node) -> Entry {
        Entry { key: key.to_owned(), key_place: self.place(label), node }
    }

    fn branch(&self, label: &str, key: &str, entries: Vec<Entry>) -> Entry {
        self.entry(label, key, self.node(label, Value::Map(entries)))
    }
}

#[cfg(test)]
#[path = "labels_tests.rs"]
mod tests;
