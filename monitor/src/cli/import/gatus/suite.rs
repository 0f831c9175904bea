//! A suite of Gatus as a journey.

use kit::config::Place;
use serde_json::{Map, Value, json};

use super::super::keys::Keys;
use super::super::names::{Names, slug};
use super::condition::Operand;
use super::expectation::Subject;
use super::fill::Known;
use super::target::Target;
use super::{EVERY, Gatus, TIMEOUT, wrong};

/// Gatus' own defaults of suites.
const SUITE_EVERY: &str = "10m";
const SUITE_TIMEOUT: &str = "5m";

impl Gatus<'_> {
    /// Takes one over; it is left out as a whole if one of its steps cannot be.
    ///
    /// # Errors
    /// It has no name, or a secret cannot be kept.
    pub(super) fn suite(&mut self, place: &Place, item: &Value) -> Result<(), String> {
        let mut keys = Keys::new("suite", item);
        let name = keys.text("name").ok_or_else(|| wrong(place, "this suite has no name; write name: …"))?;
        let group = keys.text("group");
        keys.who = super::endpoint::who("suite", group.as_deref(), &name);
        if keys.flag("enabled") == Some(false) {
            self.left_out.push(format!("{}: it is disabled", keys.who));
            return Ok(());
        }
        let service = self.names.take(&[&name, &format!("{}-{name}", group.as_deref().unwrap_or_default())]);
        let mut known = Known { constants: keys.take("context").unwrap_or_default(), ..Known::default() };
        let (mut steps, mut secrets, mut alerts, mut names) = (Vec::new(), Map::new(), Vec::new(), Names::default());
        for step in keys.list("endpoints") {
            let mut own = Keys::new(keys.who.clone(), &step);
            let step_name = own.text("name").unwrap_or_default();
            own.who = format!("{}: {step_name}", keys.who);
            alerts.extend(own.list("alerts"));
            match self.step(own, &step, &names.take(&[&step_name]), &service, &mut known, &mut secrets)? {
                Some(step) => steps.push(step),
                None => return Ok(()),
            }
        }
        if steps.is_empty() {
            return Err(wrong(place, &format!("{} has no endpoints; write endpoints: […]", keys.who)));
        }
        let every = keys.text("interval").unwrap_or_else(|| SUITE_EVERY.to_owned());
        let every = super::endpoint::length(&every);
        let timeout = super::endpoint::length(&keys.text("timeout").unwrap_or_else(|| SUITE_TIMEOUT.to_owned()));
        let mut journey = Map::from_iter([("steps".to_owned(), Value::Array(steps))]);
        if !secrets.is_empty() {
            journey.insert("secrets".to_owned(), secrets.into());
        }
        let mut check = Map::from_iter([("journey".to_owned(), journey.into())]);
        if every != EVERY {
            check.insert("every".to_owned(), every.clone().into());
            check.insert("every_when_failing".to_owned(), every.into());
        }
        if timeout != TIMEOUT {
            check.insert("timeout".to_owned(), timeout.into());
        }
        // A suite has no alerts of its own, its endpoints have.
        let mut with_alerts = Keys::new(keys.who.clone(), &json!({ "alerts": alerts }));
        self.keep(
            &service,
            group.as_deref(),
            &name,
            Map::from_iter([("journey".to_owned(), check.into())]),
            &mut with_alerts,
        );
        keys.end(&mut self.left_out);
        Ok(())
    }

    fn step(
        &mut self,
        mut keys: Keys,
        item: &Value,
        name: &str,
        service: &str,
        known: &mut Known,
        secrets: &mut Map<String, Value>,
    ) -> Result<Option<Value>, String> {
        let url = keys.text("url").unwrap_or_default();
        // A constant may be the beginning of a URL.
        let start = match known.fill(&url, &mut Vec::new()) {
            super::super::request::Text::Plain(text) | super::super::request::Text::Template(text) => text,
        };
        if !matches!(super::target::subject(&start, item.get("dns").is_some()), Ok(Subject::Http)) {
            self.left_out.push(format!("{}: the steps of a journey are HTTP; the suite is left out", keys.who));
            return Ok(None);
        }
        let mut expected = self.conditions(&mut keys, Subject::Http, known);
        let _of_the_journey = (keys.text("interval"), keys.take("ui"));
        known.fixed = vec![("[ENDPOINT_NAME]", name.to_owned()), ("[ENDPOINT_URL]", url.clone())];
        let file = format!("{service}-{name}");
        let (always, store) = (keys.flag("always-run"), keys.keys("store"));
        let mut target = Target {
            keys: &mut keys,
            url,
            name: &file,
            secrets: self.secrets,
            known,
            left_out: &mut self.left_out,
            changed: &mut self.changed,
        };
        let expect = target.expect(&mut expected, true);
        let request = target.request()?;
        // Steps share their secrets' names: each has its own.
        let sealed = request.sealed().clone();
        let mut step = request.into_step(expect, true);
        let prefix = slug(name).replace('-', "_");
        for (secret, place) in sealed {
            let renamed = format!("{prefix}_{secret}");
            rename(&mut step, &format!("secrets.{secret}"), &format!("secrets.{renamed}"));
            secrets.insert(renamed, place);
        }
        step.insert("name".to_owned(), name.into());
        if always == Some(true) {
            step.insert("always".to_owned(), true.into());
        }
        let extract = self.extract(store, known);
        if !extract.is_empty() {
            step.insert("extract".to_owned(), extract.into());
        }
        keys.end(&mut self.left_out);
        Ok(Some(step.into()))
    }

    /// What a step stores is taken from its answer.
    fn extract(&mut self, store: Keys, known: &mut Known) -> Map<String, Value> {
        let mut extract = Map::new();
        let who = store.who.clone();
        for (key, from) in store.rest() {
            let operand = from.as_str().map(Operand::parse);
            let Some(Operand::Body(path)) = operand else {
                self.left_out.push(format!("{who}: {key}: only what stands in [BODY] can be taken"));
                continue;
            };
            let name = format!("taken_{}", slug(&key).replace('-', "_"));
            let from = if path.is_empty() { json!({ "body": "(?s).*" }) } else { json!({ "json": path }) };
            extract.insert(name.clone(), from);
            known.taken.insert(key, name);
        }
        extract
    }
}

/// Renames in every text below.
fn rename(map: &mut Map<String, Value>, from: &str, to: &str) {
    for value in map.values_mut() {
        match value {
            Value::String(text) => {
                *text =
                    text.replace(&format!("{from} "), &format!("{to} ")).replace(&format!("{from}|"), &format!("{to}|"))
            }
            Value::Object(inner) => rename(inner, from, to),
            _ => {}
        }
    }
}
