//! What leaves a worker when the disk does not take anything.

use std::collections::{HashMap, VecDeque};
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
use super::calendar::Recurrence;
use super::channel::{Accepted, Channel, ChannelSettings, EvidenceLevel, SendError};
use super::condition::Condition;
use super::figures::AlertFigures;
use super::incident::ToldState;
use super::message::{Happening, Message, Severity, Status};
use super::objectives::Objectives;
use super::route::{Route, Routes};
use super::settings::AlertSettings;
use super::silence::OnceWindow;
use super::verdicts::ServiceAlerts;
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

/// Keeps what came and when; answers as it was told to, then accepts everything.
#[derive(Debug, Default)]
struct Pager(Mutex<Vec<(Message, tokio::time::Instant)>>, Mutex<VecDeque<SendError>>);

impl Channel for Pager {
    fn target(&self) -> String {
        "a pager".to_owned()
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            self.0.lock().unwrap().push((message.clone(), tokio::time::Instant::now()));
            self.1.lock().unwrap().pop_front().map_or_else(|| Ok(Accepted::default()), Err)
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
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut AlertSettings)) -> Self {
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
        let mut all =
            AlertSettings { channels: vec![settings.clone()], routes: Routes(vec![route]), ..AlertSettings::default() };
        change(&mut all);
        let settings = all.channels[0].clone();
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

fn web(severity: Severity) -> Condition {
    Condition::new("service:web", "ServiceDown", severity, "web is down")
}

#[tokio::test]
async fn an_end_follows_whatever_was_accepted_though_the_first_message_was_refused() {
    let room = Room::new();
    let answers = [SendError::Failed("away".to_owned()), SendError::Refused("no".to_owned())];
    room.pager.1.lock().unwrap().extend(answers);
    room.look(&[web(Severity::Ticket)]);
    room.told(1).await;
    room.look(&[web(Severity::Page)]);
    room.look(&[]);
    let told = room.told(4).await;
    let happened: Vec<Happening> = told.iter().map(|(message, _)| message.alerts[0].happening).collect();
    assert_eq!(happened, [Happening::Opened, Happening::Opened, Happening::Worsened, Happening::Resolved]);
    room.stop.cancel();
}

#[tokio::test]
async fn who_has_a_message_counts_though_others_are_put_off() {
    let room = Room::new();
    room.pager.1.lock().unwrap().push_back(SendError::Partly("taken for ada; not yet for eve".to_owned()));
    room.look(&[web(Severity::Page)]);
    let is_known = testkit::eventually("somebody to know", Duration::from_secs(10), async || {
        let desk = room.alerts.desk();
        let told = desk.open().next()?.told.get("pager")?.clone();
        told.accepted.then_some(told)
    });
    assert_eq!(is_known.await.state, ToldState::Owed, "and others are still asked for");
    let told = room.told(2).await;
    assert_eq!(told[0].0.key, told[1].0.key);
    room.stop.cancel();
}

#[tokio::test]
async fn a_message_that_is_never_accepted_is_a_dead_letter_in_the_end_and_says_why() {
    let room = Room::with(|all| all.channels[0].max_age = Duration::from_secs(1));
    let away = || SendError::Failed("nobody there".to_owned());
    room.pager.1.lock().unwrap().extend([away(), away(), away()]);
    room.look(&[web(Severity::Page)]);
    let dead = testkit::eventually("the message to be given up", Duration::from_secs(20), async || {
        let told = room.alerts.desk().open().next()?.told.get("pager")?.clone();
        (told.state == ToldState::Dead).then_some(told)
    });
    assert!(!dead.await.accepted);
    room.look(&[web(Severity::Page)]);
    let desk = room.alerts.desk();
    let own = desk.open().find(|incident| incident.name == "AlertChannelFailing").unwrap();
    assert!(own.title.ends_with("refused: not accepted within 1s: nobody there"), "{}", own.title);
    drop(desk);
    room.stop.cancel();
}

#[tokio::test]
async fn a_drill_begins_when_it_is_due_goes_the_whole_way_and_leaves_its_mark() {
    let utc = jiff::tz::TimeZone::UTC;
    let begin = Timestamp::now().to_zoned(utc.clone()).with().second(0).subsec_nanosecond(0).build().unwrap();
    let minutely = Recurrence::parse(&begin.strftime("%a %H:%M").to_string(), Duration::from_secs(3600), utc).unwrap();
    let room = Room::with(|all| all.drill = Some(minutely));
    room.alerts.restore().await.unwrap();
    let look = |wall: Timestamp| {
        let now = Stamp { at: Stamp::now().at, wall };
        room.alerts.follow(Vec::new(), &|_| true, now, StateBatch::default());
    };
    look(begin.timestamp() - jiff::SignedDuration::from_secs(1));
    assert_eq!(room.alerts.drills().began, None, "not yet");
    look(Timestamp::now());
    let (drill, _) = room.told(1).await.remove(0);
    assert!(drill.drill && drill.title.contains("the schedule"), "{drill:?}");
    let accepted = testkit::eventually("it to be accepted", Duration::from_secs(10), async || {
        look(Timestamp::now());
        room.alerts.drills().succeeded
    });
    assert!(accepted.await >= begin.timestamp());
    look(Timestamp::now());
    assert_eq!(room.told(2).await.len(), 2, "its end, and no second one");
    room.stop.cancel();
}

#[tokio::test]
async fn time_in_a_window_spends_no_budget() {
    let room = Room::with(|all| {
        let objectives = Objectives { availability: Some(0.9), latency_p95: None };
        all.services.insert("web".into(), ServiceAlerts { objectives, ..ServiceAlerts::standard(true) });
    });
    let now = Timestamp::now();
    let left = || room.alerts.slos().of("web")[0].budget.left(now);
    let fail = || room.alerts.observe("web", now, false, None);
    (0..1000).for_each(|_| room.alerts.observe("web", now, true, Some(Duration::ZERO)));
    let whole = left();
    let window = OnceWindow {
        id: Uuid::now_v7(),
        name: "disk".to_owned(),
        from: now,
        until: now + jiff::SignedDuration::from_hours(1),
        services: vec!["web".to_owned()],
        by: "ada".to_owned(),
    };
    let id = window.id;
    let audit = || AuditRow::new("ada", "test", "web", "");
    room.alerts.add_window(window, audit()).await.unwrap();
    fail();
    assert_eq!((left(), left().is_some()), (whole, true));
    room.alerts.end_window(id, audit()).await.unwrap();
    fail();
    assert!(left() < whole, "{:?}", left());
    room.stop.cancel();
}
