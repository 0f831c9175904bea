//! Reads `workload: { container: … }`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields, Value};

use super::address::Address;
use super::connection::Connection;
use super::discover::Discover;
use crate::supervise::discovery::Scout;
use crate::supervise::workload::{Assignment, Runtime, Sought, Watched, Workload, WorkloadKind};

/// As for processes.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The labels by which Compose finds its own containers (compose-spec, "Labels"; `docker compose ls` uses them too).
pub(super) const COMPOSE_PROJECT: &str = "com.docker.compose.project";
pub(super) const COMPOSE_SERVICE: &str = "com.docker.compose.service";
/// Which of a service's containers it is, from 1 (compose, `pkg/api/labels.go`); it stays when one is made anew.
pub(super) const COMPOSE_NUMBER: &str = "com.docker.compose.container-number";
/// Compose marks what `docker compose run` starts (compose, `pkg/api/labels.go`).
const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";

/// The kind `container`.
pub(crate) struct Container;

impl WorkloadKind for Container {
    fn name(&self) -> &'static str {
        "container"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Workload> {
        if let Value::Text(_) = cursor.node().value {
            let sought = name(cursor)?;
            return Some(watch(sought, Address::default(), READY_TIMEOUT));
        }
        let fields = cursor.fields()?;
        let sought = sought(&fields);
        let address = Address::decode(&fields);
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let ready_timeout = fields.get("ready_timeout").and_then(|c| c.duration(second..=hour));
        fields.end();
        Some(watch(sought?, address?, ready_timeout.unwrap_or(READY_TIMEOUT)))
    }

    fn discovers(&self) -> bool {
        true
    }

    fn scout(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Scout>> {
        Some(Arc::new(Discover::decode(cursor)?))
    }
}

/// Watches a container that was found by itself.
pub(super) fn found(sought: &Sought, address: &Address) -> Workload {
    watch(sought.clone(), address.clone(), READY_TIMEOUT)
}

fn watch(sought: Sought, address: Address, ready_timeout: Duration) -> Workload {
    Workload::Watch(Watched { runtime: Arc::new(Engine { address }), sought, ready_timeout })
}

/// Returns whether a container with these labels is a job of a person's. It has the labels of the service that it is made
/// of, and is none.
pub(super) fn is_oneoff(labels: &HashMap<String, String>) -> bool {
    labels.get(COMPOSE_ONEOFF).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn sought(fields: &Fields<'_>) -> Option<Sought> {
    let named = fields.get("name").map(|c| name(&c));
    let labelled = fields.get("label").map(|c| label(&c));
    let composed = fields.get("compose").map(|c| compose(&c));
    let mut given: Vec<Option<Sought>> = [named, labelled, composed].into_iter().flatten().collect();
    if given.len() != 1 {
        fields.cursor().mistake("say which container: exactly one of \"name\", \"label\" and \"compose\"");
        return None;
    }
    given.pop().flatten()
}

/// The names that Docker gives (moby, `names.RestrictedNameChars`).
fn name(cursor: &Cursor<'_>) -> Option<Sought> {
    let name = cursor.text()?;
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if name.is_empty() || !is_name(&name) {
        cursor.mistake(format!("{name:?} is no container's name; write one like web-1"));
        return None;
    }
    Some(Sought::Name(name))
}

fn label(cursor: &Cursor<'_>) -> Option<Sought> {
    let text = cursor.text()?;
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Some(Sought::Labels(vec![(key.to_owned(), value.to_owned())])),
        _ => {
            cursor.mistake(format!("{text:?} is no label; write key=value, like role=web"));
            None
        }
    }
}

fn compose(cursor: &Cursor<'_>) -> Option<Sought> {
    let text = cursor.text()?;
    let parts: Vec<&str> = text.split('/').collect();
    let is_number = parts.get(2).is_none_or(|number| number.parse::<u32>().is_ok());
    if !(2..=3).contains(&parts.len()) || parts.contains(&"") || !is_number {
        cursor.mistake(format!(
            "{text:?} names no service of Compose; write PROJECT/SERVICE, like shop/web, or PROJECT/SERVICE/NUMBER for one \
             of its containers"
        ));
        return None;
    }
    Some(compose_labels(parts))
}

/// Finds containers by their project, service, and perhaps number.
pub(super) fn compose_labels<'a>(values: impl IntoIterator<Item = &'a str>) -> Sought {
    let pairs = [COMPOSE_PROJECT, COMPOSE_SERVICE, COMPOSE_NUMBER].into_iter().zip(values);
    Sought::Labels(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// A container engine.
#[derive(Debug)]
struct Engine {
    address: Address,
}

impl Runtime for Engine {
    fn address(&self) -> &str {
        &self.address.shown
    }

    fn reach(&self) -> BoxFuture<'static, Result<(), String>> {
        let address = self.address.clone();
        let reached = async move { Connection::open(&address)?.reach().await };
        reached.map(|answer| answer.map_err(|blind| blind.to_string())).boxed()
    }

    fn watch(&self, assignment: Assignment) -> BoxFuture<'static, ()> {
        super::watch::watch(self.address.clone(), assignment).boxed()
    }
}
