//! A channel's worker: takes what is due, waits until it is on the disk, hands it over, and writes down what came of it.
//!
//! One a channel, so that a receiver that stalls holds up only itself.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use kit::backoff::Backoff;
use kit::clock::{Moment, Stamp, later};
use kit::config::show_duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::alerts::{Alerts, delivery_row, incident_row};
use super::channel::{Accepted, ChannelSettings, EvidenceLevel, SendError};
use super::compose::{Context, compose};
use super::delivery::{Delivery, DeliveryState};
use super::incident::Incident;
use super::message::{Happening, Message};
use super::outbox::{Pick, Waiting};
use crate::probe::CheckId;
use crate::record::{Mark, Point, StateBatch, Ticket};

/// Between two tries of one message.
const RETRY: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };
/// How long a page waits for the disk before it goes out from memory (DESIGN section 8).
const DISK_PATIENCE: Duration = Duration::from_secs(1);
/// A worker looks at least this often, whatever the clocks say.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How far back a chart goes, in milliseconds, and its points at most: what fits the width of a mail.
const CHART_MS: i64 = 3_600_000;
const CHART_POINTS: usize = 240;
/// Charts in one message, at most.
const CHARTS: usize = 5;
/// How long a chart may be looked for.
const CHART_PATIENCE: Duration = Duration::from_millis(500);
/// Incidents in one repetition.
const REPEATED_TOGETHER: usize = 50;

impl Alerts {
    /// Sends what is due on one channel until `stop`.
    ///
    /// # Cancel safety
    /// A message that is being sent when this is dropped is sent again by the next worker, with the same key.
    pub async fn work(self: Arc<Self>, settings: ChannelSettings, stop: CancellationToken) {
        let mut news = self.news();
        self.figures.know(&settings.name);
        let (repeat_every, together) = (settings.channel.repeat_every(), settings.channel.takes_several());
        let (mut repeated, mut not_before) = (Moment::now(), Moment::now());
        loop {
            if repeat_every.is_some_and(|every| Moment::now().since(repeated) >= every) {
                self.repeat(&settings).await;
                repeated = Moment::now();
            }
            news.mark_unchanged();
            let pick = if Moment::now() < not_before {
                Pick::Wait(not_before)
            } else {
                self.outbox().pick(&settings.name, Moment::now(), together)
            };
            let wait = match pick {
                Pick::Send(members) => {
                    // Not cut short: the channel's deadline bounds it, and a message cut off may have been accepted.
                    let pause = self.send(&settings, members).await;
                    not_before = Moment::now() + pause;
                    if stop.is_cancelled() {
                        return;
                    }
                    continue;
                }
                Pick::Wait(until) => until.since(Moment::now()).min(LOOK_EVERY),
                Pick::Idle => LOOK_EVERY,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _changed = news.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Says again what is open, to a channel that forgets what it is not told again. Nothing is written down: what it
    /// accepted once stays accepted.
    async fn repeat(&self, settings: &ChannelSettings) {
        let channel = &*settings.name;
        let open: Vec<(Delivery, Incident)> = {
            let desk = self.desk();
            let known = desk.open().filter(|incident| !incident.is_trial());
            known.filter_map(|incident| Some((repeated(incident, channel)?, incident.clone()))).collect()
        };
        let parts: Vec<(&Delivery, &Incident)> = open.iter().map(|(delivery, incident)| (delivery, incident)).collect();
        for some in parts.chunks(REPEATED_TOGETHER) {
            let Some(message) = self.compose(settings, some, true) else { return };
            if let Err(error) = deliver(settings, &message).await {
                tracing::warn!(alert.channel = channel, %error, "what is open could not be repeated; tried again soon");
                return;
            }
        }
    }

    /// Sends one message; returns for how long the channel wants to be left alone.
    async fn send(&self, settings: &ChannelSettings, mut members: Vec<Waiting>) -> Duration {
        if let Some(old) = expired(settings, &members) {
            if members.iter().all(|member| member.delivery.reached) {
                tracing::warn!(alert.channel = &*settings.name, why = old, "some recipients never got a message");
                self.settle(members, DeliveryState::Sent, &old, None);
                return Duration::ZERO;
            }
            self.figures.attempt(&settings.name, "expired");
            tracing::error!(alert.channel = &*settings.name, why = old, "a message is too old: a dead letter");
            self.refusals().refused(&settings.name, &old, Timestamp::now());
            self.settle(members, DeliveryState::Dead, &old, None);
            return Duration::ZERO;
        }
        let ticket = self.bound(&mut members);
        // While the disk takes nothing, not every message waits for it anew.
        let patience = if self.state().figures.failing().is_some() { Duration::ZERO } else { DISK_PATIENCE };
        let durable = tokio::time::timeout(patience, self.state().durable(ticket)).await.is_ok();
        let (message, members) = match self.message(settings, members, durable).await {
            Ok(Some(composed)) => composed,
            Ok(None) => return Duration::ZERO,
            Err((members, why)) => {
                // The disk cannot be read now: its message is not lost, only late.
                self.settle(members, DeliveryState::Due, &why, Some(RETRY.delay(1, rand::random())));
                return Duration::ZERO;
            }
        };
        let result = deliver(settings, &message).await;
        self.conclude(settings, members, result)
    }

    /// Fixes a message before it is sent for the first time: a repeat, also after a crash, is the same message with the
    /// same key. Returns when that is on the disk.
    fn bound(&self, members: &mut [Waiting]) -> Ticket {
        if members.iter().all(|member| member.delivery.attempted) {
            return members.iter().map(|member| member.ticket).max().unwrap_or_default();
        }
        let _order = self.in_order();
        self.outbox().bind(members, Some(Uuid::now_v7()).filter(|_| members.len() > 1));
        let mut batch = StateBatch::default();
        for member in members.iter() {
            batch.deliveries.insert(member.delivery.id(), delivery_row(&member.delivery));
        }
        self.state().put(batch)
    }

    /// Writes a message for the members whose incident is known; the others become dead letters. `None` if none is.
    async fn message(
        &self,
        settings: &ChannelSettings,
        members: Vec<Waiting>,
        durable: bool,
    ) -> Result<Option<(Message, Vec<Waiting>)>, (Vec<Waiting>, String)> {
        let (mut parts, mut unknown): (Vec<(Waiting, Incident)>, Vec<Waiting>) = (Vec::new(), Vec::new());
        for member in &members {
            match self.incident(member.delivery.incident).await {
                Ok(Some(incident)) => parts.push((member.clone(), incident)),
                Ok(None) => unknown.push(member.clone()),
                Err(error) => return Err((members, error.to_string())),
            }
        }
        if !unknown.is_empty() {
            self.settle(unknown, DeliveryState::Dead, "its incident is not known any more", None);
        }
        let written: Vec<(&Delivery, &Incident)> =
            parts.iter().map(|(member, incident)| (&member.delivery, incident)).collect();
        let Some(mut message) = self.compose(settings, &written, durable) else { return Ok(None) };
        // A slow disk costs the chart, not the page.
        if settings.evidence == EvidenceLevel::Full {
            let _without_chart = tokio::time::timeout(CHART_PATIENCE, self.chart(&mut message)).await;
        }
        Ok(Some((message, parts.into_iter().map(|(member, _)| member).collect())))
    }

    /// Adds the latest latencies of the failing checks where whoever reads it gets the whole evidence.
    async fn chart(&self, message: &mut Message) {
        let Some(history) = self.history() else { return };
        let now_ms = Timestamp::now().as_millisecond();
        for evidence in message.alerts.iter_mut().filter_map(|part| part.evidence.as_mut()).take(CHARTS) {
            let Some((service, check)) = evidence.check.split_once('/') else { continue };
            let id = CheckId::new(service, check);
            let Ok(points) = history.points(&id, now_ms - CHART_MS, now_ms + 1).await else { continue };
            let newest = points.iter().skip(points.len().saturating_sub(CHART_POINTS));
            evidence.latency = newest.filter(|point| point.mark != Mark::Unknown).map(latency).collect();
        }
    }

    fn compose(&self, settings: &ChannelSettings, parts: &[(&Delivery, &Incident)], durable: bool) -> Option<Message> {
        let all = self.settings();
        let context = Context {
            channel: &settings.name,
            evidence: settings.evidence,
            now: Timestamp::now(),
            durable,
            public_url: all.public_url.as_deref(),
            elsewhere: &all.elsewhere,
            acknowledge_token: &|id| self.link_token(id),
        };
        compose(parts, &context)
    }

    fn conclude(
        &self,
        settings: &ChannelSettings,
        members: Vec<Waiting>,
        result: Result<Accepted, SendError>,
    ) -> Duration {
        let channel = &*settings.name;
        let tries = members.iter().map(|member| member.delivery.tries).max().unwrap_or(0) + 1;
        match result {
            Ok(accepted) => {
                self.figures.attempt(channel, "accepted");
                if tries == 1 {
                    let now = Moment::now();
                    let waited = members.iter().map(|member| member.age(now)).max().unwrap_or_default();
                    self.figures.handed_over(waited.as_secs_f64());
                }
                if let Some(partly) = &accepted.partly {
                    tracing::warn!(alert.channel = channel, partly, "a message was accepted in part");
                }
                let said = accepted.partly.unwrap_or(accepted.answer);
                self.refusals().accepted(channel);
                self.took(channel);
                self.desk().works(channel, Timestamp::now());
                self.settle(members, DeliveryState::Sent, &said, None);
                Duration::ZERO
            }
            Err(SendError::Refused(why)) => {
                self.figures.attempt(channel, "refused");
                tracing::error!(alert.channel = channel, why, "a message was refused for good: a dead letter");
                self.refusals().refused(channel, &why, Timestamp::now());
                self.settle(members, DeliveryState::Dead, &why, None);
                Duration::ZERO
            }
            Err(SendError::Failed(why)) => {
                self.figures.attempt(channel, "failed");
                let wait = RETRY.delay(tries, rand::random());
                tracing::warn!(alert.channel = channel, why, tries, wait_ms = wait.as_millis(), "not accepted");
                self.settle(members, DeliveryState::Due, &why, Some(wait));
                Duration::ZERO
            }
            Err(SendError::Partly(why)) => {
                self.figures.attempt(channel, "failed");
                let wait = RETRY.delay(tries, rand::random());
                tracing::warn!(alert.channel = channel, why, tries, wait_ms = wait.as_millis(), "accepted in part");
                let mut members = members;
                members.iter_mut().for_each(|member| member.delivery.reached = true);
                self.settle(members, DeliveryState::Due, &why, Some(wait));
                Duration::ZERO
            }
            Err(SendError::Busy { after, why }) => {
                self.figures.attempt(channel, "busy");
                tracing::warn!(alert.channel = channel, why, tries, wait_ms = after.as_millis(), "not accepted yet");
                // At least as long as it asked for, and never at once. Whatever else waits for it waits too.
                let wait = after.max(RETRY.delay(1, rand::random()));
                self.settle(members, DeliveryState::Due, &why, Some(wait));
                wait
            }
        }
    }

    /// Writes down what came of a try, and tells the desk. Never waits: a repeat after a crash has the same key.
    pub(super) fn settle(&self, members: Vec<Waiting>, state: DeliveryState, said: &str, wait: Option<Duration>) {
        let _order = self.in_order();
        let now = Stamp::now();
        let mut batch = StateBatch::default();
        let settings = self.settings();
        for Waiting { mut delivery, ticket, .. } in members {
            delivery.tries += 1;
            let is_there = settings.channels.iter().any(|channel| *channel.name == *delivery.channel);
            let (state, wait) = if is_there { (state, wait) } else { (gone(state), None) };
            (delivery.state, delivery.updated) = (state, now.wall);
            said.clone_into(&mut delivery.said);
            if let Some(wait) = wait {
                delivery.due = later(now.wall, wait);
            } else {
                self.figures.state(&delivery);
            }
            batch.deliveries.insert(delivery.id(), delivery_row(&delivery));
            if delivery.reached && wait.is_some() {
                let changed = self.desk().reached(&delivery.id());
                batch.incidents.extend(changed.map(|incident| (incident.id, incident_row(&incident))));
            }
            if wait.is_none() {
                let changed = self.desk().outcome(&delivery.id(), state == DeliveryState::Sent, now.wall);
                if let Some(incident) = changed {
                    batch.incidents.insert(incident.id, incident_row(&incident));
                }
                if state == DeliveryState::Dead {
                    self.drop_ends(&delivery, &mut batch);
                }
            }
            self.outbox().put(delivery, ticket, now);
        }
        self.state().put(batch);
        self.show();
    }
}

impl Alerts {
    /// Nobody must hear of the end of what she never heard of: if the beginning died unaccepted, its end goes too.
    fn drop_ends(&self, dead: &Delivery, batch: &mut StateBatch) {
        let knows = |incident: &Incident| incident.told.get(&dead.channel).is_some_and(|told| told.accepted);
        if self.desk().find(dead.incident).is_some_and(knows) {
            return;
        }
        let mut outbox = self.outbox();
        let left = outbox.of(&dead.channel, dead.incident);
        // Something else of it may still be accepted: then its end must follow.
        if left
            .iter()
            .any(|waiting| waiting.delivery.id() != dead.id() && waiting.delivery.happening != Happening::Resolved)
        {
            return;
        }
        for waiting in left {
            let mut end = waiting.delivery;
            if end.happening == Happening::Resolved && !end.attempted {
                (end.state, end.updated) = (DeliveryState::Cancelled, Timestamp::now());
                "its beginning was never accepted".clone_into(&mut end.said);
                batch.deliveries.insert(end.id(), delivery_row(&end));
                outbox.remove(&end.id());
            }
        }
    }
}

/// What was on its way when its channel was taken out of the configuration is not tried again.
fn gone(state: DeliveryState) -> DeliveryState {
    if state == DeliveryState::Due { DeliveryState::Dead } else { state }
}

/// Returns why the messages are too old to be sent, if they are.
fn expired(settings: &ChannelSettings, members: &[Waiting]) -> Option<String> {
    let now = Moment::now();
    let age = members.iter().map(|member| member.age(now)).min()?;
    let said = members.iter().map(|member| member.delivery.said.as_str()).find(|said| !said.is_empty());
    let said = said.unwrap_or("not tried");
    (age > settings.max_age).then(|| format!("not accepted within {}: {said}", show_duration(settings.max_age)))
}

/// Returns what a channel is told again of an incident, if it knows of it.
fn repeated(incident: &Incident, channel: &str) -> Option<Delivery> {
    let told = incident.told.get(channel).filter(|told| told.accepted)?;
    let id = (incident.id, told.event, channel.to_owned());
    let again = Delivery::due(id, Happening::Opened, incident.severity, Timestamp::now());
    Some(Delivery { state: DeliveryState::Sent, tries: 1, attempted: true, ..again })
}

fn latency(point: &Point) -> (i64, Option<f64>) {
    let took_ms = f64::from(point.took_us) / 1000.0;
    (point.at_ms, Some(took_ms).filter(|_| matches!(point.mark, Mark::Pass | Mark::Slow)))
}

/// One try, under the channel's deadline; a channel that breaks has failed, not we.
async fn deliver(settings: &ChannelSettings, message: &Message) -> Result<Accepted, SendError> {
    let sending = AssertUnwindSafe(settings.channel.send(message)).catch_unwind();
    match tokio::time::timeout(settings.timeout, sending).await {
        Ok(Ok(result)) => result,
        Ok(Err(_panic)) => Err(SendError::Failed("the channel broke; see the log".to_owned())),
        Err(_elapsed) => Err(SendError::Failed(format!("no answer within {}", show_duration(settings.timeout)))),
    }
}
