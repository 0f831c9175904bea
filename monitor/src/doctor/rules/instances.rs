//! Two instances of the same store, and two services that mean the same queue but not the same instance.

use url::Url;

use crate::doctor::compose::{Kind, Project, Service, Variable};
use crate::doctor::finding::{Hit, Rule};

pub(super) const RULES: &[Rule<Project>] = &[Rule::error(
    "wrong-instance",
    "two services name the same queue on different instances",
    "One writes where the other does not read: nothing ever arrives, and both look healthy.",
    wrong_instance,
)];

/// A service's variable that leads to a store.
struct Use<'a> {
    service: &'a Service,
    variable: &'a Variable,
    store: &'a Service,
}

fn wrong_instance(project: &Project) -> Vec<Hit> {
    let uses = uses(project);
    let mut hits = Vec::new();
    for (index, first) in uses.iter().enumerate() {
        for second in uses.iter().skip(index + 1) {
            let differ = first.store.name != second.store.name && first.store.facts.name == second.store.facts.name;
            let is_pair = first.service.name != second.service.name && first.variable.name == second.variable.name;
            if !differ || !is_pair {
                continue;
            }
            let Some((name, value)) = shared_queue(first.service, second.service) else { continue };
            let wrong =
                if fits(first.store, &name, &value) && !fits(second.store, &name, &value) { second } else { first };
            let wrong =
                if fits(second.store, &name, &value) == fits(first.store, &name, &value) { second } else { wrong };
            let right = if std::ptr::eq(wrong, first) { second } else { first };
            let message = format!(
                "{} reads and writes {name}={value} on {}, but {} does on {}",
                wrong.service.name, wrong.store.name, right.service.name, right.store.name
            );
            let value = right.variable.value.clone().unwrap_or_default();
            hits.push(Hit::new(
                &wrong.variable.place,
                &wrong.service.name,
                message,
                format!("{}={}", wrong.variable.name, without_secret(&value)),
            ));
        }
    }
    hits
}

/// Leaves the password out of a URL.
pub(super) fn without_secret(value: &str) -> String {
    match Url::parse(value) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("***")) {
            Ok(()) => url.to_string(),
            Err(()) => String::new(),
        },
        _ => value.to_owned(),
    }
}

fn uses(project: &Project) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    for service in &project.services {
        for variable in &service.environment {
            let Some(value) = &variable.value else { continue };
            let host = Url::parse(value).ok().and_then(|url| url.host_str().map(str::to_owned));
            let host = host.unwrap_or_else(|| value.split(':').next().unwrap_or_default().to_owned());
            let store = project.reached_by(&host).filter(|store| store.facts.is(Kind::Store));
            found.extend(store.map(|store| Use { service, variable, store }));
        }
    }
    found
}

/// Returns a queue that both name alike.
fn shared_queue(first: &Service, second: &Service) -> Option<(String, String)> {
    let words = ["QUEUE", "STREAM", "TOPIC", "CHANNEL", "DLQ", "EXCHANGE"];
    let queues = first.environment.iter().filter(|variable| words.iter().any(|word| variable.name.contains(word)));
    let mut shared = queues.filter_map(|variable| {
        let value = variable.value.as_ref().filter(|value| !value.is_empty() && !value.contains("://"))?;
        (second.variable(&variable.name) == Some(value)).then(|| (variable.name.clone(), value.clone()))
    });
    shared.next()
}

/// A store that is called after the queue, such as `redis-queue`, is the one that was meant.
fn fits(store: &Service, name: &str, value: &str) -> bool {
    let text = format!("{name} {value}").to_ascii_lowercase();
    store
        .name
        .split(['-', '_'])
        .any(|word| word.len() > 2 && word != store.facts.name && text.contains(word.trim_end_matches('s')))
}
