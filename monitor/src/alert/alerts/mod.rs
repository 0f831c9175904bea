//! The alerts as a whole: the desk, the outbox and what suppresses, behind one handle that the loop, the workers and the
//! API share. Decides nothing itself; it writes down what was decided and hands it on.

mod drilling;
mod outside;
mod people;
mod quiet;
mod restore;
mod rows;

pub(super) use rows::{delivery_row, incident_row};

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use kit::clock::Stamp;
use kit::hmac::SigningKey;
use tokio::sync::watch;
use uuid::Uuid;

use super::condition::Condition;
use super::delivery::{Delivery, DeliveryState};
use super::desk::{Desk, Look};
use super::drill::DrillRecord;
use super::external::Externals;
use super::figures::AlertFigures;
use super::incident::Incident;
use super::objectives::Slos;
use super::outbox::Outbox;
use super::own::{self, CHANNEL_LABEL, Refusals};
use super::settings::AlertSettings;
use super::silence::{Suppression, Window};
use super::tell::{Changes, Telling};
use crate::record::{AuditRow, History, IncidentRow, State, StateBatch, StoreError, Ticket};
pub(crate) use rows::read_rows;
use rows::{json, keep};

/// Document kind of silences.
const SILENCE: &str = "silence";
/// Document kind of maintenance windows made by hand.
const WINDOW: &str = "window";
/// Document kinds that are kept here.
pub const ALERT_DOCUMENTS: [&str; 4] = [SILENCE, WINDOW, DRILL, EXTERNAL];
/// Document kind, and key, of what is remembered of drills.
const DRILL: &str = "drill";
/// Document kind of alerts from elsewhere.
const EXTERNAL: &str = "external";
/// The label by which an incident that we sent elsewhere is known if it comes back.
pub const ORIGIN_LABEL: &str = "monitor_incident";
/// Annotation with the id of the trace in which it went wrong: 32 hexadecimal digits.
pub(super) const TRACE_ANNOTATION: &str = "trace_id";
/// Incidents that are read back at a start, at most.
const MAX_RESTORED: u32 = 10_000;
/// Silences and windows at once, at most.
const MAX_SUPPRESSIONS: usize = 1000;

/// How long whoever makes a silence waits for the disk.
const WRITE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// What became of a post of alerts.
#[derive(Debug)]
pub struct TakenPost {
    /// When what was taken is on the disk.
    pub ticket: Ticket,
    /// What is wrong with those that were not taken.
    pub wrong: Vec<String>,
    /// Whether there was no room for some.
    pub is_full: bool,
    /// Whether some ended that may be known once what an earlier monitor left is read.
    pub is_early: bool,
    /// Watched services that something new was said of.
    pub services: BTreeSet<String>,
}

/// What became of an incident, for whoever looks on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Became {
    /// The incident.
    pub id: Uuid,
    /// The service, if it is about one.
    pub service: Option<String>,
    /// `opened`, `changed` or `resolved`.
    pub state: &'static str,
}

impl Became {
    fn of(row: &IncidentRow, batch: &StateBatch) -> Self {
        let state = match row.resolved_ms {
            Some(_) => "resolved",
            None if batch.events.contains_key(&(row.id, 1)) => "opened",
            None => "changed",
        };
        Self { id: row.id, service: row.service.clone(), state }
    }
}

/// Handle to everything about alerts.
pub struct Alerts {
    /// Held while something is decided and given to the record: what is decided later is written later.
    order: Mutex<()>,
    desk: Mutex<Desk>,
    outbox: Mutex<Outbox>,
    suppression: Mutex<Suppression>,
    settings: ArcSwap<AlertSettings>,
    state: Arc<State>,
    /// For the chart in a mail; none where there is no history.
    history: Option<Arc<History>>,
    /// Rises whenever there may be something to send.
    news: watch::Sender<u64>,
    /// Rises whenever a page about alerts would show something else, but for what a look changed.
    shown: watch::Sender<u64>,
    /// Seals links that acknowledge.
    link_key: SigningKey,
    /// Alerts from elsewhere.
    externals: Mutex<Externals>,
    /// What services promise, and what they have spent.
    slos: Mutex<Slos>,
    /// Channels that refuse.
    refusals: Mutex<Refusals>,
    /// What is remembered of drills.
    drills: Mutex<DrillRecord>,
    /// Whether what an earlier monitor left was read.
    is_restored: AtomicBool,
    /// Counters.
    pub figures: AlertFigures,
}

impl Alerts {
    /// Joins the parts. Nothing is known yet; see [`Alerts::restore`].
    pub fn new(state: Arc<State>, link_key: &[u8], figures: AlertFigures) -> Self {
        Self {
            order: Mutex::default(),
            desk: Mutex::default(),
            outbox: Mutex::default(),
            suppression: Mutex::default(),
            settings: ArcSwap::default(),
            state,
            history: None,
            news: watch::Sender::default(),
            shown: watch::Sender::default(),
            link_key: SigningKey::new(link_key),
            externals: Mutex::default(),
            slos: Mutex::default(),
            refusals: Mutex::default(),
            drills: Mutex::default(),
            is_restored: AtomicBool::new(false),
            figures,
        }
    }

    /// Adds the past, so that messages can show it.
    #[must_use]
    pub fn with_history(mut self, history: Arc<History>) -> Self {
        self.history = Some(history);
        self
    }

    pub(super) fn history(&self) -> Option<&History> {
        self.history.as_deref()
    }

    /// Takes the desk for a moment. Never held across an await.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the outbox for a moment. Never held across an await.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a copy of what suppresses messages.
    pub fn suppression(&self) -> Suppression {
        self.suppressing().clone()
    }

    fn suppressing(&self) -> MutexGuard<'_, Suppression> {
        self.suppression.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> Arc<AlertSettings> {
        self.settings.load_full()
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Returns what rises when people or channels changed something: an acknowledgement, a silence, an answer.
    pub fn shown(&self) -> watch::Receiver<u64> {
        self.shown.subscribe()
    }

    pub(super) fn show(&self) {
        self.shown.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Takes new settings. Returns the services with an objective for which history is to be counted.
    pub fn configure(&self, settings: AlertSettings) -> Vec<Arc<str>> {
        let made_by_hand = |windows: &mut Vec<Window>| windows.retain(|window| window.id.is_some());
        {
            let mut suppression = self.suppressing();
            made_by_hand(&mut suppression.windows);
            suppression.windows.splice(0..0, settings.windows.iter().cloned());
        }
        let fresh = self.slos().configure(&settings.services);
        let is_there = |name: &str| settings.channels.iter().any(|channel| &*channel.name == name);
        self.refusals().keep_only(is_there);
        let orphans: Vec<String> = self.outbox().channels().into_iter().filter(|name| !is_there(name)).collect();
        self.settings.store(Arc::new(settings));
        for channel in orphans {
            let waiting = self.outbox().all_of(&channel);
            self.settle(waiting, DeliveryState::Dead, "this channel is not configured any more", None);
        }
        self.wake();
        fresh
    }

    /// Services have new names: incidents, silences, windows and budgets go on under those.
    pub fn rename(&self, renames: &[(Arc<str>, Arc<str>)]) {
        if renames.is_empty() {
            return;
        }
        let _order = self.in_order();
        let (mut changes, mut batch) = (Changes::default(), StateBatch::default());
        for (old, new) in renames {
            changes.extend(self.desk().rename(old, new, Timestamp::now()));
            self.slos().rename(old, new);
            self.externals().rename(old, new);
            let (silences, windows) = self.suppressing().rename(old, new);
            let silences = silences.iter().map(|silence| ((SILENCE, silence.id.to_string()), Some(json(silence))));
            batch.documents.extend(silences);
            batch.documents.extend(windows.iter().map(|window| ((WINDOW, window.id.to_string()), Some(json(window)))));
        }
        // Nobody is told of a new name.
        let _no_deliveries = keep(changes, &mut batch);
        self.state.put(batch);
        self.show();
    }

    /// Looks at what holds now, and gives what follows to the record together with `batch`: all of it is one transaction.
    /// Returns what became of which incidents.
    pub fn follow(
        &self,
        conditions: Vec<Condition>,
        is_known: &dyn Fn(&str) -> bool,
        now: Stamp,
        mut batch: StateBatch,
    ) -> Vec<Became> {
        let _order = self.in_order();
        let deliveries = self.look(conditions, is_known, now, &mut batch);
        let became = batch.incidents.values().map(|row| Became::of(row, &batch)).collect();
        let ticket = self.state.put(batch);
        self.dispatch(deliveries, ticket);
        became
    }

    pub(super) fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(
        &self,
        mut conditions: Vec<Condition>,
        is_known: &dyn Fn(&str) -> bool,
        now: Stamp,
        batch: &mut StateBatch,
    ) -> Vec<Delivery> {
        let given_up = self.given_up(now, batch);
        let settings = self.settings();
        self.join_externals(&mut conditions, now, batch);
        self.slos().conditions(&settings.services, &mut conditions, now);
        conditions.extend(self.own_conditions(now));
        let mut changes = self.with_desk(now, |desk, telling| {
            desk.look(&conditions, &mut Look { telling: *telling, new_id: &mut Uuid::now_v7, is_known })
        });
        changes.extend(given_up);
        self.tend_drills(now, batch, &mut changes);
        keep(changes, batch)
    }

    /// Takes the objectives for a moment. Never held across an await.
    pub fn slos(&self) -> MutexGuard<'_, Slos> {
        self.slos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a probe of a critical check against its service's objectives, unless it is maintained.
    pub fn observe(&self, service: &str, at: Timestamp, passed: bool, took: Option<std::time::Duration>) {
        let mut slos = self.slos();
        if slos.promises(service) && self.suppressing().window_of(Some(service), at).is_none() {
            slos.observe(service, at, passed, took);
        }
    }

    fn own_conditions(&self, now: Stamp) -> Vec<Condition> {
        let settings = self.settings();
        let names = settings.channels.iter().map(|channel| &*channel.name);
        let mut found = self.refusals().look(names, &self.outbox(), now);
        found.extend(own::unwritten(self.state.figures.failing()));
        found.extend(own::damaged(&self.state.damaged(), now));
        found
    }

    pub(super) fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a channel that messages do not get through, as far as is known: by what it was given last, or by the last
    /// drill.
    pub fn blocked_channel(&self) -> Option<String> {
        let settings = self.settings();
        let names = || settings.channels.iter().map(|channel| &*channel.name);
        let mut conditions = self.refusals().conditions(names(), &self.outbox(), Stamp::now()).into_iter();
        let refusing = conditions.find_map(|condition| condition.labels.get(CHANNEL_LABEL).cloned());
        let drills = self.drills();
        let failed = || drills.failed(|channel| names().any(|name| name == channel)).next().map(str::to_owned);
        refusing.or_else(failed)
    }

    /// Calls the desk with what decides whom to tell.
    fn with_desk<T>(&self, now: Stamp, call: impl FnOnce(&mut Desk, &Telling<'_>) -> T) -> T {
        let (settings, suppression) = (self.settings(), self.suppression());
        let channels: Vec<String> = settings.channels.iter().map(|channel| channel.name.to_string()).collect();
        let telling = Telling { routes: &settings.routes, channels: &channels, suppression: &suppression, now };
        call(&mut self.desk(), &telling)
    }

    /// Hands deliveries to the workers; `ticket` tells when they are on the disk.
    fn dispatch(&self, deliveries: Vec<Delivery>, ticket: Ticket) {
        if deliveries.is_empty() {
            return;
        }
        {
            let (mut outbox, now) = (self.outbox(), Stamp::now());
            for delivery in deliveries {
                self.figures.state(&delivery);
                outbox.put(delivery, ticket, now);
            }
        }
        self.wake();
    }

    /// Writes changes that did not come from a look, and hands them on. The caller holds the order.
    fn carry_out(&self, changes: Changes, audit: Option<AuditRow>) -> Ticket {
        let mut batch = StateBatch::default();
        batch.audit.extend(audit);
        let deliveries = keep(changes, &mut batch);
        let ticket = self.state.put(batch);
        self.dispatch(deliveries, ticket);
        self.show();
        ticket
    }

    /// Waits until something is on the disk, but not for ever.
    async fn written(&self, ticket: Ticket) -> Result<(), String> {
        let written = tokio::time::timeout(WRITE_PATIENCE, self.state.durable(ticket)).await;
        written.map_err(|_elapsed| "it is in force, but not written down yet: the disk does not take it".to_owned())
    }

    /// Finds an incident in memory or on the disk.
    ///
    /// # Errors
    /// It is not in memory, and the store cannot be read.
    pub async fn incident(&self, id: Uuid) -> Result<Option<Incident>, StoreError> {
        let known = self.desk().find(id).cloned();
        match known {
            Some(incident) => Ok(Some(incident)),
            None => Ok(self.state.store().incident(id).await?.and_then(|body| read_rows(&[body]).pop())),
        }
    }

    fn wake(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}
