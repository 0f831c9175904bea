//! Settings of kind `journey`, checked once at load: every step, every template, every name.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kit::config::{Cursor, Fields};

use crate::probe::kinds::{Expectation, Kind, Probe, Scope, Target};

use super::step::Step;
use super::template::Templates;
use super::walk::JourneyProbe;

/// Most steps of a journey: each is a request to a service that has other things to do.
const MAX_STEPS: usize = 50;
/// Steps whose names are shown to people beside the check; the page shows all.
const SHOWN_STEPS: usize = 4;

/// Walks through several requests.
pub(crate) struct Journey;

impl Kind for Journey {
    fn name(&self) -> &'static str {
        "journey"
    }

    // They belong to the steps.
    fn expectations(&self) -> &'static [Expectation] {
        &[]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let (mut templates, names_are_fine) = decode_names(&fields);
        let steps = fields.require("steps").map(|cursor| (cursor.items(), cursor));
        fields.end();
        let (items, cursor) = steps?;
        if items.is_empty() || items.len() > MAX_STEPS {
            cursor.mistake(format!("a journey has 1 to {MAX_STEPS} steps, not {}", items.len()));
            return None;
        }
        let mut names = HashSet::new();
        let mut steps = Vec::with_capacity(items.len());
        for item in &items {
            let step = Step::decode(item, &mut templates);
            if let Some(step) = &step
                && !names.insert(step.name.clone())
            {
                item.mistake(format!("there is a step {:?} before; give each its own name", step.name));
            }
            steps.push(step);
        }
        let steps: Vec<Step> = steps.into_iter().collect::<Option<_>>()?;
        let target = target(&steps)?;
        names_are_fine.then(|| Arc::new(JourneyProbe { steps, templates, target }) as Arc<dyn Probe>)
    }
}

/// Decodes `values` and `secrets`; false if a secret cannot be read, whose name is known all the same.
fn decode_names(fields: &Fields<'_>) -> (Templates, bool) {
    let values = fields.get("values").and_then(|c| c.entries()).unwrap_or_default();
    let values = values.into_iter().map(|(name, cursor)| (name.to_owned(), cursor.node().to_json())).collect();
    let mut are_fine = true;
    let mut secrets = BTreeMap::new();
    for (name, cursor) in fields.get("secrets").and_then(|c| c.entries()).unwrap_or_default() {
        let secret = cursor.named_secret();
        are_fine &= secret.is_some();
        secrets.insert(name.to_owned(), secret.unwrap_or_default());
    }
    (Templates::new(values, secrets), are_fine)
}

/// What is asked, for people; as far away as its farthest step.
fn target(steps: &[Step]) -> Option<Target> {
    let names: Vec<&str> = steps.iter().take(SHOWN_STEPS).map(|step| step.name.as_str()).collect();
    let more = if steps.len() > SHOWN_STEPS { ", …" } else { "" };
    let first = steps.first()?;
    let is_public = |step: &&Step| step.options.target.scope == Scope::Public;
    let scope = steps.iter().find(is_public).unwrap_or(first).options.target.scope;
    let origin = first.options.first.url.origin().ascii_serialization();
    Some(Target { shown: format!("{}{more} at {origin}", names.join(", ")), scope })
}
