//! Incidents that really open, and channels that answer what a test wants: the real desk, outbox, workers and store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use kit::clock::Stamp;
use monitor::alert::{
    Accepted, AlertSettings, Channel, ChannelSettings, Condition, Delivery, DeliveryState, Evidence, EvidenceLevel,
    Incident, Matcher, Message, OnceWindow, Route, Routes, SendError, Severity, Silence,
};
use monitor::record::{AuditRow, DeliveryQuery, StateBatch};
use testkit::eventually;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::prepared::Monitor;

/// Far longer than a channel and a disk need.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A channel that always says the same.
struct Says(Result<Accepted, SendError>);

impl fmt::Debug for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Says")
    }
}

impl Channel for Says {
    fn target(&self) -> String {
        "127.0.0.1:9".to_owned()
    }

    fn send<'a>(&'a self, _message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        async { self.0.clone() }.boxed()
    }
}

/// A channel that accepts.
pub(crate) fn accepts(name: &str) -> ChannelSettings {
    channel(name, Ok(Accepted { answer: "200 OK".to_owned(), partly: None }))
}

/// A channel that fails, and is tried again.
pub(crate) fn fails(name: &str, why: &str) -> ChannelSettings {
    channel(name, Err(SendError::Failed(why.to_owned())))
}

/// A channel that refuses for good.
pub(crate) fn refuses(name: &str, why: &str) -> ChannelSettings {
    channel(name, Err(SendError::Refused(why.to_owned())))
}

fn channel(name: &str, says: Result<Accepted, SendError>) -> ChannelSettings {
    ChannelSettings {
        name: name.into(),
        kind: "made-up",
        channel: Arc::new(Says(says)),
        timeout: LIMIT,
        max_age: Duration::from_secs(3600),
        evidence: EvidenceLevel::Full,
    }
}

/// What is wrong with a service, with everything that can prove it.
pub(crate) fn down(service: &str, reason: &str) -> Condition {
    let title = format!("{service} is down: health: {reason}");
    let mut condition = Condition::new(Condition::service_key(service), "ServiceDown", Severity::Page, title);
    condition.service = Some(service.into());
    condition.verdict = "down".to_owned();
    condition.cause = reason.to_owned();
    condition.evidence = Evidence {
        check: format!("{service}/health"),
        target: "127.0.0.1:9".to_owned(),
        reason: reason.to_owned(),
        phases: vec![("connect".to_owned(), 2), ("first_byte".to_owned(), 40)],
        exit: "exited with code 3".to_owned(),
        last_lines: vec!["cannot open key".to_owned()],
        digest: "d1".repeat(32),
        changed: String::new(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        latency: vec![(1_000, Some(20.0)), (11_000, Some(30.0)), (21_000, None)],
    };
    condition
}

/// What the audit keeps of an act that a test does itself.
pub(crate) fn audit() -> AuditRow {
    let (who, action, target) = ("ada".to_owned(), "test".to_owned(), String::new());
    AuditRow { at: Timestamp::now(), who, action, target, detail: String::new() }
}

/// An hour of silence for a service.
pub(crate) fn silence(service: &str) -> Silence {
    let now = Timestamp::now();
    Silence {
        id: Uuid::now_v7(),
        matchers: vec![Matcher::equal("service", service)],
        from: now,
        until: now + SignedDuration::from_hours(1),
        by: "ada".to_owned(),
        comment: "moving house".to_owned(),
    }
}

/// An hour of maintenance from now on.
pub(crate) fn window(name: &str, services: &[&str]) -> OnceWindow {
    let now = Timestamp::now();
    OnceWindow {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        from: now,
        until: now + SignedDuration::from_hours(1),
        services: services.iter().map(|service| (*service).to_owned()).collect(),
        by: "ada".to_owned(),
    }
}

/// Takes these channels, each with its worker, and tells all of them everything. Workers end with what is returned.
pub(crate) fn told_to(monitor: &Monitor, channels: Vec<ChannelSettings>) -> DropGuard {
    let stop = CancellationToken::new();
    let to = channels.iter().map(|channel| channel.name.to_string()).collect();
    let routes = Routes(vec![Route { to, ..Route::default() }]);
    monitor.shared.alerts.configure(AlertSettings { channels: channels.clone(), routes, ..AlertSettings::default() });
    for channel in channels {
        tokio::spawn(monitor.shared.alerts.clone().work(channel, stop.clone()));
    }
    stop.drop_guard()
}

/// Lets these conditions hold, and no others: incidents open, go on and end by that. Returns the open ones, oldest first.
pub(crate) async fn holds(monitor: &Monitor, conditions: &[Condition]) -> Vec<Incident> {
    let (alerts, state) = (&monitor.shared.alerts, &monitor.shared.stores.state);
    alerts.follow(conditions.to_vec(), &|_| true, Stamp::now(), StateBatch::default());
    // The ticket of everything so far.
    state.durable(state.put(StateBatch::default())).await;
    let mut open: Vec<Incident> = alerts.desk().open().cloned().collect();
    open.sort_by_key(|incident| (incident.opened, incident.id));
    open
}

/// Waits until a delivery of this incident to a channel is in a state, after at least one try.
pub(crate) async fn until(monitor: &Monitor, incident: Uuid, channel: &str, state: DeliveryState) {
    let store = monitor.shared.stores.state.store();
    eventually("the delivery", LIMIT, async || {
        let rows = store.deliveries(&DeliveryQuery::Of(incident)).await.unwrap();
        let rows = rows.iter().map(|row| serde_json::from_str::<Delivery>(row).unwrap());
        rows.into_iter().any(|row| row.channel == channel && row.state == state && row.tries > 0).then_some(())
    })
    .await;
}
