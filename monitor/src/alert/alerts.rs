//! The alerts as a whole: the desk, the outbox and what suppresses, behind one handle that the loop, the workers and the
//! API share. Decides nothing itself; it writes down what was decided and hands it on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use kit::clock::Stamp;
use kit::hmac::SigningKey;
use serde::Serialize;
use tokio::sync::watch;
use uuid::Uuid;

use super::condition::Condition;
use super::delivery::{Delivery, DeliveryState};
use super::desk::{Desk, Look};
use super::drill::{self, DrillRecord, DrillState};
use super::external::{Externals, Posted, Taken};
use super::figures::AlertFigures;
use super::incident::{Ending, Incident};
use super::message::Happening;
use super::objectives::Slos;
use super::outbox::Outbox;
use super::own::{CHANNEL_KEY, Refusals};
use super::settings::AlertSettings;
use super::silence::{OnceWindow, Silence, Suppression, When};
use super::tell::{Changes, Telling};
use crate::record::{
    AuditRow, DeliveryQuery, DeliveryRow, EventRow, History, IncidentQuery, IncidentRow, State, StateBatch, StoreError,
    Ticket,
};

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
        let made_by_hand = |windows: &mut Vec<super::silence::Window>| windows.retain(|window| window.id.is_some());
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

    /// Reads what an earlier monitor left: open incidents, what was still to be told, silences, windows.
    ///
    /// # Errors
    /// The store cannot be read now. Nothing is lost by calling it again later.
    pub async fn restore(&self) -> Result<(), StoreError> {
        if self.is_restored.load(Ordering::SeqCst) {
            return Ok(());
        }
        let store = self.state.store();
        let query = IncidentQuery { unfinished: true, limit: MAX_RESTORED, ..IncidentQuery::default() };
        let incidents: Vec<Incident> = parse(&store.incidents(&query).await?);
        let mut deliveries: Vec<Delivery> = parse(&store.deliveries(&DeliveryQuery::Open).await?);
        // As they came: a beginning that was tried last must still go before its end.
        deliveries.sort_by_key(|delivery| (delivery.created, delivery.incident, delivery.event));
        let silences: Vec<Silence> = parse(&store.documents(SILENCE).await?.into_values().collect::<Vec<_>>());
        let windows: Vec<OnceWindow> = parse(&store.documents(WINDOW).await?.into_values().collect::<Vec<_>>());
        let drills: Vec<DrillRecord> = parse(&store.documents(DRILL).await?.into_values().collect::<Vec<_>>());
        let externals = parse(&store.documents(EXTERNAL).await?.into_values().collect::<Vec<_>>());
        let now = Timestamp::now();
        self.externals().adopt(externals, now);
        if let Some(record) = drills.into_iter().next() {
            *self.drills.lock().unwrap_or_else(PoisonError::into_inner) = record;
        }
        for incident in incidents.iter().filter(|incident| !incident.is_over()) {
            if let Some(channel) = incident.key.strip_prefix(CHANNEL_KEY) {
                self.refusals().refused(channel, &incident.evidence.reason, incident.opened);
            }
        }
        let (ended, open) = incidents.into_iter().partition(Incident::is_over);
        self.desk().adopt(open, ended);
        {
            let (mut outbox, stamp) = (self.outbox(), Stamp::now());
            for mut delivery in deliveries {
                // Whatever it waited for before, the way may be free now.
                delivery.due = delivery.due.min(now);
                outbox.put(delivery, Ticket::default(), stamp);
            }
        }
        {
            let mut suppression = self.suppressing();
            suppression.silences.extend(silences.into_iter().filter(|silence| silence.until > now));
            // Past ones still say what does not count against objectives.
            let oldest = now - jiff::SignedDuration::from_hours(24 * 30);
            let windows = windows.into_iter().filter(|window| window.until > oldest);
            suppression.windows.extend(windows.map(Into::into));
        }
        self.is_restored.store(true, Ordering::SeqCst);
        self.wake();
        Ok(())
    }

    /// Looks at what holds now, and gives what follows to the record together with `batch`: all of it is one transaction.
    /// Returns what became of which incidents.
    pub fn follow(
        &self,
        conditions: &[Condition],
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
        conditions: &[Condition],
        is_known: &dyn Fn(&str) -> bool,
        now: Stamp,
        batch: &mut StateBatch,
    ) -> Vec<Delivery> {
        let mut all = conditions.to_vec();
        let given_up = self.given_up(now, batch);
        let settings = self.settings();
        self.join_externals(&mut all, now, batch);
        self.slos().conditions(&settings.services, &mut all, now);
        all.extend(self.own_conditions(now));
        let mut changes = self.with_look(is_known, now, |desk, look| desk.look(&all, look));
        changes.extend(given_up);
        self.tend_drills(now, batch, &mut changes);
        keep(changes, batch)
    }

    /// Takes the alerts of a post; those that are wrong are left out (Alertmanager 0.25 does the same).
    pub fn take(&self, posted: Vec<Posted>) -> TakenPost {
        let _order = self.in_order();
        let (now, mut batch, mut wrong, mut is_full) = (Timestamp::now(), StateBatch::default(), Vec::new(), false);
        for alert in posted {
            if self.is_our_own(&alert) {
                wrong.push("an alert of this monitor itself came back".to_owned());
                continue;
            }
            match self.externals().take(alert, now) {
                Ok(Taken::Changed(alert)) => {
                    batch.documents.insert((EXTERNAL, alert.fingerprint.clone()), Some(json(&alert)));
                }
                Ok(Taken::Over(fingerprint)) => {
                    batch.documents.insert((EXTERNAL, fingerprint), None);
                }
                Ok(Taken::Repeated | Taken::Nothing) => {}
                Ok(Taken::Full) => is_full = true,
                Err(why) => wrong.push(why),
            }
        }
        TakenPost { ticket: self.state.put(batch), wrong, is_full }
    }

    /// An alert that we sent to an Alertmanager must not come back as a new one.
    fn is_our_own(&self, alert: &Posted) -> bool {
        let id = alert.labels.get(ORIGIN_LABEL).or_else(|| alert.annotations.get(ORIGIN_LABEL));
        id.and_then(|id| id.parse::<Uuid>().ok()).is_some_and(|id| self.desk().find(id).is_some())
    }

    /// Adds alerts from elsewhere; those that were over before anybody looked are forgotten once they were looked at.
    fn join_externals(&self, conditions: &mut Vec<Condition>, now: Stamp, batch: &mut StateBatch) {
        let mut externals = self.externals();
        externals.join(conditions, &self.settings().services, now);
        batch.documents.extend(externals.seen().into_iter().map(|fingerprint| ((EXTERNAL, fingerprint), None)));
    }

    /// Ends the incidents of alerts whose source has been silent for too long.
    fn given_up(&self, now: Stamp, batch: &mut StateBatch) -> Changes {
        let (settings, mut changes) = (self.settings(), Changes::default());
        let gone = self.externals().give_up(now.wall);
        for alert in gone {
            let key = alert.key(&settings.services);
            let id = self.desk().open().find(|incident| incident.key == key).map(|incident| incident.id);
            // Of a service that we watch ourselves our own view decides.
            if let Some(id) = id.filter(|_| key.starts_with("alert:")) {
                let over = self.with_look(&|_| true, now, |desk, look| desk.close(id, Ending::Expired, look));
                changes.extend(over.unwrap_or_default());
            }
            batch.documents.insert((EXTERNAL, alert.fingerprint.clone()), None);
            tracing::warn!(alert.name = alert.name(), "given up: its source is silent for too long");
        }
        changes
    }

    /// Takes the objectives for a moment. Never held across an await.
    pub fn slos(&self) -> MutexGuard<'_, Slos> {
        self.slos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a probe of a critical check against its service's objectives, unless it is maintained.
    pub fn observe(&self, service: &str, at: Timestamp, passed: bool, took: std::time::Duration) {
        let mut slos = self.slos();
        if slos.promises(service) && self.suppressing().window_of(Some(service), at).is_none() {
            slos.observe(service, at, passed, took);
        }
    }

    /// Takes the alerts from elsewhere for a moment. Never held across an await.
    pub fn externals(&self) -> MutexGuard<'_, Externals> {
        self.externals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_conditions(&self, now: Stamp) -> Vec<Condition> {
        let settings = self.settings();
        let names = settings.channels.iter().map(|channel| &*channel.name);
        self.refusals().look(names, &self.outbox(), now)
    }

    pub(super) fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether messages get through, as far as is known.
    pub fn get_through(&self) -> bool {
        let settings = self.settings();
        let names = settings.channels.iter().map(|channel| &*channel.name);
        self.refusals().conditions(names, &self.outbox(), Stamp::now()).is_empty()
    }

    /// Returns what is remembered of drills.
    pub fn drills(&self) -> DrillRecord {
        self.drills.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a drill through these channels, or through all that routes lead to; returns its incident.
    ///
    /// # Errors
    /// A name that is no channel, or there is none at all.
    pub fn begin_drill(&self, by: &str, only: &[String], audit: AuditRow) -> Result<Uuid, String> {
        let _order = self.in_order();
        let (id, changes) = self.drill(by, only)?;
        self.carry_out(changes, Some(audit));
        Ok(id)
    }

    fn drill(&self, by: &str, only: &[String]) -> Result<(Uuid, Changes), String> {
        let (settings, now) = (self.settings(), Stamp::now());
        let known: Vec<&str> = settings.channels.iter().map(|channel| &*channel.name).collect();
        if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!(
                "{unknown:?} is not a channel{}",
                kit::config::suggest(unknown, known.iter().copied())
            ));
        }
        let channels: Vec<String> =
            if only.is_empty() { drill::channels(&settings.routes).into_iter().collect() } else { only.to_vec() };
        if channels.is_empty() {
            return Err("no channels are configured: there is nobody to tell".to_owned());
        }
        let id = Uuid::now_v7();
        let incident = drill::incident(id, by, now.wall);
        let changes = self.with_look(&|_| true, now, |desk, look| desk.open_trial(incident, &channels, look));
        self.drills.lock().unwrap_or_else(PoisonError::into_inner).began = Some(now.wall);
        Ok((id, changes))
    }

    /// Ends drills that are through, and begins one that is due.
    fn tend_drills(&self, now: Stamp, batch: &mut StateBatch, changes: &mut Changes) {
        let ended: Vec<(Incident, DrillState)> = {
            let desk = self.desk();
            let trials = desk.open().filter(|incident| incident.is_trial());
            let judged = trials.map(|incident| (incident.clone(), drill::state(incident, now.wall)));
            judged.filter(|(_, state)| *state != DrillState::Running).collect()
        };
        for (incident, state) in ended {
            let over = self.with_look(&|_| true, now, |desk, look| desk.close(incident.id, Ending::DrillOver, look));
            let record = {
                let mut record = self.drills.lock().unwrap_or_else(PoisonError::into_inner);
                record.results = drill::results(&incident);
                record.began = Some(incident.opened);
                // One channel's test proves nothing of the others.
                let everywhere = drill::channels(&self.settings().routes);
                let went_everywhere = everywhere.iter().all(|channel| incident.told.contains_key(channel));
                if state == DrillState::Succeeded && went_everywhere {
                    record.succeeded = Some(now.wall);
                }
                record.clone()
            };
            match state {
                DrillState::Succeeded => tracing::info!(results = ?record.results, "the drill got through"),
                _ => tracing::error!(results = ?record.results, "the drill did not get through"),
            }
            batch.documents.insert((DRILL, DRILL.to_owned()), Some(json(&record)));
            changes.extend(over.unwrap_or_default());
        }
        let due = self.settings().drill.clone();
        let began = self.drills().began;
        let since = due.and_then(|due| due.active_since(now.wall));
        let is_due = since.is_some_and(|since| began.is_none_or(|began| began < since));
        if is_due && self.is_restored.load(Ordering::SeqCst) {
            match self.drill("the schedule", &[]) {
                Ok((_, begun)) => changes.extend(begun),
                Err(why) => tracing::error!(why, "the scheduled drill cannot begin"),
            }
            batch.documents.insert((DRILL, DRILL.to_owned()), Some(json(&self.drills())));
        }
    }

    /// Calls the desk with what a look needs.
    fn with_look<T>(
        &self,
        is_known: &dyn Fn(&str) -> bool,
        now: Stamp,
        call: impl FnOnce(&mut Desk, &mut Look<'_>) -> T,
    ) -> T {
        let settings = self.settings();
        let suppression = self.suppression();
        let channels: Vec<String> = settings.channels.iter().map(|channel| channel.name.to_string()).collect();
        let telling =
            Telling { routes: &settings.routes, channels: &channels, suppression: &suppression, now: now.wall };
        let mut new_id = Uuid::now_v7;
        let has_channels = !settings.channels.is_empty();
        let mut look = Look { telling, now, has_channels, new_id: &mut new_id, is_known };
        call(&mut self.desk(), &mut look)
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

    /// Somebody takes an incident; returns false if it is not open.
    ///
    /// # Errors
    /// It is taken, but that is not on the disk.
    pub async fn acknowledge(&self, id: Uuid, by: &str, note: &str, audit: AuditRow) -> Result<bool, String> {
        let ticket = {
            let _order = self.in_order();
            let changes = self.desk().acknowledge(id, by, note, Timestamp::now());
            let Some(changes) = changes else { return Ok(false) };
            self.carry_out(changes, Some(audit))
        };
        self.written(ticket).await.map(|()| true)
    }

    /// A person says that an incident is over; returns false if it is not open.
    ///
    /// # Errors
    /// It is closed, but that is not on the disk.
    pub async fn close(&self, id: Uuid, by: &str, audit: AuditRow) -> Result<bool, String> {
        let ticket = {
            let _order = self.in_order();
            let how = Ending::Closed(by.to_owned());
            let changes = self.with_look(&|_| true, Stamp::now(), |desk, look| desk.close(id, how, look));
            let Some(changes) = changes else { return Ok(false) };
            self.carry_out(changes, Some(audit))
        };
        self.written(ticket).await.map(|()| true)
    }

    /// Adds a silence, or replaces the one with its id; on the disk before this returns.
    ///
    /// # Errors
    /// There are too many, or it is in force but not on the disk.
    pub async fn silence(&self, silence: Silence, audit: AuditRow) -> Result<(), String> {
        let document = (SILENCE, silence.id.to_string(), Some(json(&silence)));
        {
            let mut suppression = self.suppressing();
            suppression.silences.retain(|known| known.id != silence.id && known.until > Timestamp::now());
            if suppression.silences.len() >= MAX_SUPPRESSIONS {
                return Err(format!("there are {MAX_SUPPRESSIONS} silences already; end some"));
            }
            suppression.silences.push(silence);
        }
        self.keep_document(document, audit).await
    }

    /// Ends a silence now; returns false if there is none with this id.
    ///
    /// # Errors
    /// It has ended, but that is not on the disk.
    pub async fn end_silence(&self, id: Uuid, audit: AuditRow) -> Result<bool, String> {
        let is_there = {
            let mut suppression = self.suppressing();
            let before = suppression.silences.len();
            suppression.silences.retain(|silence| silence.id != id);
            suppression.silences.len() < before
        };
        if is_there {
            self.keep_document((SILENCE, id.to_string(), None), audit).await?;
        }
        Ok(is_there)
    }

    /// Adds a maintenance window; on the disk before this returns.
    ///
    /// # Errors
    /// There are too many, or it is in force but not on the disk.
    pub async fn add_window(&self, window: OnceWindow, audit: AuditRow) -> Result<(), String> {
        let document = (WINDOW, window.id.to_string(), Some(json(&window)));
        {
            let mut suppression = self.suppressing();
            let now = Timestamp::now();
            let is_past = |window: &super::silence::Window| matches!(window.when, When::Once { until, .. } if window.id.is_some() && until <= now);
            if suppression.windows.iter().filter(|window| !is_past(window)).count() >= MAX_SUPPRESSIONS {
                return Err(format!("there are {MAX_SUPPRESSIONS} windows already; end some"));
            }
            suppression.windows.push(window.into());
        }
        self.keep_document(document, audit).await
    }

    /// Ends a window made by hand; returns false if there is none with this id.
    ///
    /// # Errors
    /// It has ended, but that is not on the disk.
    pub async fn end_window(&self, id: Uuid, audit: AuditRow) -> Result<bool, String> {
        let is_there = {
            let mut suppression = self.suppressing();
            let before = suppression.windows.len();
            suppression.windows.retain(|window| window.id != Some(id));
            suppression.windows.len() < before
        };
        if is_there {
            self.keep_document((WINDOW, id.to_string(), None), audit).await?;
        }
        Ok(is_there)
    }

    async fn keep_document(
        &self,
        (kind, key, body): (&'static str, String, Option<String>),
        audit: AuditRow,
    ) -> Result<(), String> {
        let mut batch = StateBatch::default();
        batch.documents.insert((kind, key), body);
        batch.audit.push(audit);
        let ticket = self.state.put(batch);
        self.wake();
        self.show();
        self.written(ticket).await
    }

    /// Waits until something is on the disk, but not for ever.
    async fn written(&self, ticket: Ticket) -> Result<(), String> {
        let written = tokio::time::timeout(WRITE_PATIENCE, self.state.durable(ticket)).await;
        written.map_err(|_elapsed| "it is in force, but not written down yet: the disk does not take it".to_owned())
    }

    /// Returns the token that a link to acknowledge an incident carries.
    pub fn link_token(&self, id: Uuid) -> String {
        let signature = self.link_key.sign(&[b"acknowledge:", id.as_bytes()]);
        base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, signature)
    }

    /// Returns whether a link's token is the one for this incident.
    pub fn is_link_token(&self, id: Uuid, token: &str) -> bool {
        let Ok(signature) = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, token) else {
            return false;
        };
        let text = [b"acknowledge:".as_slice(), id.as_bytes()].concat();
        self.link_key.is_signature_of(&text, &signature)
    }

    /// Tries a dead letter again; returns false if there is none.
    pub async fn revive(&self, id: &super::delivery::DeliveryId, audit: AuditRow) -> Result<bool, StoreError> {
        let rows: Vec<Delivery> = parse(&self.state.store().deliveries(&DeliveryQuery::Of(id.0)).await?);
        let dead = rows.into_iter().find(|row| row.id() == *id && row.state == DeliveryState::Dead);
        let Some(mut delivery) = dead else { return Ok(false) };
        let now = Timestamp::now();
        (delivery.state, delivery.due, delivery.updated) = (DeliveryState::Due, now, now);
        (delivery.tried_since, delivery.tries) = (now, 0);
        (delivery.attempted, delivery.batch) = (false, None);
        let incident = self.incident(id.0).await?;
        let _order = self.in_order();
        self.desk().adopt(Vec::new(), incident.filter(Incident::is_over).into_iter().collect());
        let Some(incident) = self.desk().revived(id.0, &id.2, now) else { return Ok(false) };
        let mut deliveries = vec![delivery.clone()];
        if incident.is_over() && delivery.happening != Happening::Resolved {
            // Whoever hears of the beginning now must hear of the end too.
            let (event, happening) = (incident.last_event, Happening::Resolved);
            deliveries.push(Delivery { event, happening, created: now, ..delivery });
        }
        self.carry_out(Changes { incidents: vec![incident], deliveries, ..Changes::default() }, Some(audit));
        Ok(true)
    }

    /// Finds an incident in memory or on the disk.
    ///
    /// # Errors
    /// It is not in memory, and the store cannot be read.
    pub async fn incident(&self, id: Uuid) -> Result<Option<Incident>, StoreError> {
        let known = self.desk().find(id).cloned();
        match known {
            Some(incident) => Ok(Some(incident)),
            None => Ok(self.state.store().incident(id).await?.and_then(|body| serde_json::from_str(&body).ok())),
        }
    }

    fn wake(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Adds changes to a batch; returns the deliveries among them.
fn keep(changes: Changes, batch: &mut StateBatch) -> Vec<Delivery> {
    for incident in &changes.incidents {
        batch.incidents.insert(incident.id, incident_row(incident));
    }
    for (incident, event) in &changes.events {
        let row = EventRow { incident: *incident, number: event.number, body: json(event) };
        batch.events.insert((*incident, event.number), row);
    }
    for delivery in &changes.deliveries {
        batch.deliveries.insert(delivery.id(), delivery_row(delivery));
    }
    changes.deliveries
}

pub(super) fn incident_row(incident: &Incident) -> IncidentRow {
    IncidentRow {
        id: incident.id,
        service: incident.service.clone(),
        opened_ms: incident.opened.as_millisecond(),
        resolved_ms: incident.resolved.as_ref().map(|resolution| resolution.at.as_millisecond()),
        body: json(incident),
    }
}

pub(super) fn delivery_row(delivery: &Delivery) -> DeliveryRow {
    DeliveryRow {
        incident: delivery.incident,
        event: delivery.event,
        channel: delivery.channel.clone(),
        state: delivery.state.as_str(),
        is_open: delivery.state.is_open(),
        updated_ms: delivery.updated.as_millisecond(),
        body: json(delivery),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("alerts hold nothing that JSON has no form for")
}

/// Reads rows back; one that cannot be read is said and left out, not the others with it.
fn parse<T: serde::de::DeserializeOwned>(bodies: &[String]) -> Vec<T> {
    let read = |body: &String| match serde_json::from_str(body) {
        Ok(row) => Some(row),
        Err(error) => {
            tracing::error!(%error, "a stored row cannot be read; going on without it");
            None
        }
    };
    bodies.iter().filter_map(read).collect()
}
