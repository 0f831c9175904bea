//! What leaves a worker when the disk does not take anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::clock::Stamp;
use kit::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::alerts::Alerts;
use super::channel::{Accepted, Channel, ChannelSettings, EvidenceLevel, SendError};
use super::condition::Condition;
use super::figures::AlertFigures;
use super::message::{Message, Severity, Status};
use super::route::{Route, Routes};
use super::settings::AlertSettings;
use crate::record::{AuditRow, DeliveryQuery, IncidentQuery, State, StateBatch, StateStore, StoreError, Transition};

/// How a disk behaves.
const WORKS: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;

#[derive(Default)]
struct Disk(AtomicU8);

impl StateStore for Disk {
    fn save<'a>(&'a self, _: &'a StateBatch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            match self.0.load(Ordering::SeqCst) {
                WORKS => Ok(()),
                FAILS => Err(StoreError("disk I/O error".to_owned())),
                _ => std::future::pending().await,
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn documents<'a>(&'a self, _: &'static str) -> BoxFuture<'a, Result<HashMap<String, String>, StoreError>> {
        Box::pin(async { Ok(HashMap::new()) })
    }

    fn rename_service<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn transitions<'a>(&'a self, _: Option<&'a str>, _: u32) -> BoxFuture<'a, Result<Vec<Transition>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn incidents<'a>(&'a self, _: &'a IncidentQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn incident(&self, _: Uuid) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn events(&self, _: Uuid) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn deliveries<'a>(&'a self, _: &'a DeliveryQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn audit(&self, _: u32) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Accepts everything, and keeps when it came.
#[derive(Debug, Default)]
struct Pager(Mutex<Vec<(Message, tokio::time::Instant)>>);

impl Channel for Pager {
    fn target(&self) -> String {
        "a pager".to_owned()
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            self.0.lock().unwrap().push((message.clone(), tokio::time::Instant::now()));
            Ok(Accepted::default())
        })
    }
}

struct Room {
    alerts: Arc<Alerts>,
    state: Arc<State>,
    disk: Arc<Disk>,
    pager: Arc<Pager>,
    stop: CancellationToken,
}

impl Room {
    fn new() -> Self {
        let (disk, pager, stop) = (Arc::new(Disk::default()), Arc::new(Pager::default()), CancellationToken::new());
        let state = Arc::new(State::new(disk.clone(), &[], |_, _, ours| ours.to_owned()));
        let alerts = Arc::new(Alerts::new(state.clone(), &[0; 32], AlertFigures::new(&Metrics::new("monitor", "0"))));
        let settings = ChannelSettings {
            name: "pager".into(),
            kind: "pager",
            channel: pager.clone(),
            timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(3600),
            evidence: EvidenceLevel::None,
        };
        let route = Route { to: vec!["pager".to_owned()], ..Route::default() };
        let all =
            AlertSettings { channels: vec![settings.clone()], routes: Routes(vec![route]), ..AlertSettings::default() };
        alerts.configure(all);
        tokio::spawn(alerts.clone().work(settings, stop.clone()));
        let (writing, until) = (state.clone(), stop.clone());
        tokio::spawn(async move { writing.run(until).await });
        Self { alerts, state, disk, pager, stop }
    }

    fn look(&self, conditions: &[Condition]) {
        self.alerts.follow(conditions.to_vec(), &|_| true, Stamp::now(), StateBatch::default());
    }

    async fn told(&self, count: usize) -> Vec<(Message, tokio::time::Instant)> {
        testkit::eventually("messages at the pager", Duration::from_secs(600), async || {
            let told = self.pager.0.lock().unwrap().clone();
            (told.len() >= count).then_some(told)
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_waits_a_second_for_a_disk_that_fails_or_hangs_and_then_goes_out_marked() {
    for broken in [FAILS, HANGS] {
        let room = Room::new();
        room.disk.0.store(broken, Ordering::SeqCst);
        let began = tokio::time::Instant::now();
        let condition = Condition::new("service:web", "ServiceDown", Severity::Page, "web is down");
        room.look(std::slice::from_ref(&condition));
        let (page, at) = room.told(1).await.remove(0);
        assert!(!page.durable, "{page:?}");
        assert!(at - began <= Duration::from_secs(10), "{:?}", at - began);
        room.disk.0.store(WORKS, Ordering::SeqCst);
        let healed =
            room.state.put(StateBatch { documents: [(("x", String::new()), None)].into(), ..StateBatch::default() });
        room.state.durable(healed).await;
        room.look(&[]);
        let (end, _) = room.told(2).await.remove(1);
        assert_eq!((end.status, end.durable), (Status::Resolved, true));
        assert_eq!(end.alerts[0].incident, page.alerts[0].incident);
        room.stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_down_at_once_is_not_marked() {
    let room = Room::new();
    room.look(&[Condition::new("service:web", "ServiceDown", Severity::Page, "web is down")]);
    let (page, _) = room.told(1).await.remove(0);
    assert!(page.durable);
    assert!(page.alerts[0].opened <= Timestamp::now());
    room.stop.cancel();
}
