//! The task that watches one engine for every service whose container it runs.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::address::Address;
use super::connection::{Blind, Connection};
use super::facts::{Facts, Happening};
use super::tracker::{News, Tracker};
use crate::supervise::message::{Command, Event};
use crate::supervise::workload::{Assignment, Order, Subject};

/// The engine keeps 256 events and drops slow readers, so everything is looked at anew this often (DESIGN section 7).
const RESCAN_EVERY: Duration = Duration::from_secs(60);
/// An engine that hangs ends no stream: only a question finds out.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Between two tries to reach an engine that cannot be asked.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What happened before we looked is told within this time; its own account comes before what we saw.
const EVENTS_SETTLE: Duration = Duration::from_millis(100);

/// How often, and how many times, it is looked again whether memory ran out: Docker notes it within some milliseconds, and
/// starts a container again after 100 ms at the soonest.
const OOM_LOOK_EVERY: Duration = Duration::from_millis(20);
const OOM_LOOKS: u32 = 5;

type Events = BoxStream<'static, Result<Happening, Blind>>;

/// Watches until the list's sender is gone.
pub(super) async fn watch(address: Address, assignment: Assignment) {
    let Assignment { mut subjects, mut orders, events } = assignment;
    let acting = JoinSet::new();
    let mut watcher =
        Watcher { address, trackers: Vec::new(), events, acting, seen_until: None, is_blind: false, is_told: false };
    watcher.list(&subjects.borrow_and_update().clone());
    loop {
        match watcher.session(&mut subjects, &mut orders).await {
            Ok(()) => return,
            Err(blind) => {
                watcher.lost(&blind).await;
                // Asked later it might be another engine, with something else to mend.
                while let Ok(order) = orders.try_recv() {
                    watcher.refused(&order, blind.to_string()).await;
                }
            }
        }
        tokio::select! {
            () = sleep(RETRY_AFTER) => {}
            Some(order) = orders.recv() => watcher.refused(&order, "the engine cannot be asked".to_owned()).await,
            changed = subjects.changed() => {
                if changed.is_err() {
                    return;
                }
                watcher.list(&subjects.borrow_and_update().clone());
                // New ones do not know yet that nothing can be seen; the others are to hear when something can.
                watcher.is_told = false;
            }
        }
    }
}

struct Watcher {
    address: Address,
    trackers: Vec<Tracker>,
    events: mpsc::Sender<Event>,
    /// Orders that the engine carries out; they end with us, what it has begun goes on.
    acting: JoinSet<()>,
    /// When the newest event that was taken happened.
    seen_until: Option<Timestamp>,
    is_blind: bool,
    /// Whether every service knows that nothing can be seen.
    is_told: bool,
}

impl Watcher {
    /// Takes the list of services; those that stay keep what is known of them.
    fn list(&mut self, subjects: &[Subject]) {
        let now = Stamp::now();
        let mut before = std::mem::take(&mut self.trackers);
        for subject in subjects {
            let is_it =
                |tracker: &Tracker| *tracker.service() == subject.service && *tracker.sought() == subject.sought;
            let known = before.iter().position(is_it).map(|index| before.swap_remove(index));
            self.trackers.push(known.unwrap_or_else(|| Tracker::new(subject.clone(), now)));
        }
    }

    /// Watches over one connection; `Ok` means that nobody wants to know any more.
    async fn session(
        &mut self,
        subjects: &mut watch::Receiver<Vec<Subject>>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<(), Blind> {
        let connection = Connection::open(&self.address)?;
        connection.ping().await?;
        let from = self.watched_from();
        for happening in connection.missed(from).await? {
            self.happened(&connection, happening).await?;
        }
        let mut events = connection.events(self.seen_until.unwrap_or(from));
        self.scan(&connection, &mut events, |_| true).await?;
        self.found().await;
        let mut rescan = Instant::now() + RESCAN_EVERY;
        let mut ping = Instant::now() + PING_EVERY;
        loop {
            let settled = sleep_until(self.next_settled());
            tokio::select! {
                changed = subjects.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.list(&subjects.borrow_and_update().clone());
                    rescan = Instant::now();
                }
                Some(order) = orders.recv() => self.obey(&connection, order).await?,
                event = events.next() => {
                    self.happened(&connection, event.ok_or_else(|| connection.hung_up())??).await?;
                }
                () = sleep_until(rescan) => {
                    self.scan(&connection, &mut events, |_| true).await?;
                    rescan = Instant::now() + RESCAN_EVERY;
                }
                () = sleep_until(ping) => {
                    connection.ping().await?;
                    ping = Instant::now() + PING_EVERY;
                }
                () = settled => {
                    let now = Stamp::now().at;
                    let is_due = |tracker: &Tracker| tracker.settles().is_some_and(|settles| settles.at <= now);
                    self.scan(&connection, &mut events, is_due).await?;
                }
            }
        }
    }

    /// Returns when to begin: behind the last event, or else behind what an earlier monitor knew.
    fn watched_from(&self) -> Timestamp {
        let known = || self.trackers.iter().filter_map(Tracker::known_until).min();
        self.seen_until.or_else(known).unwrap_or_else(Timestamp::now)
    }

    /// Returns when the first service has settled that waits for that.
    fn next_settled(&self) -> Instant {
        let first = self.trackers.iter().filter_map(Tracker::settles).map(|settles| settles.at).min();
        // The clock counts milliseconds: one more, so that it has passed by then.
        let wait = first.map(|first| first.since(Moment::now()) + Duration::from_millis(1));
        Instant::now() + wait.unwrap_or(RESCAN_EVERY)
    }

    async fn happened(&mut self, connection: &Connection, happening: Happening) -> Result<(), Blind> {
        // A stream that is taken up again begins with what was seen already.
        if self.seen_until.is_some_and(|seen| happening.at <= seen) {
            return Ok(());
        }
        let events = self.events.clone();
        for tracker in self.trackers.iter_mut().filter(|tracker| tracker.concerns(&happening)) {
            let facts = inspect_end(connection, tracker, &happening).await?;
            let last_lines = connection.last_lines(tracker.lines_wanted(Some(&happening), facts.as_ref())).await;
            let news = News { happening: Some(happening.clone()), facts, last_lines };
            tell(&events, tracker.take(news, Stamp::now())).await;
        }
        self.seen_until = Some(happening.at);
        Ok(())
    }

    /// Looks at the containers of some services, and takes what events have not told.
    async fn scan(
        &mut self,
        connection: &Connection,
        events: &mut Events,
        which: impl Fn(&Tracker) -> bool,
    ) -> Result<(), Blind> {
        let mut found: Vec<(usize, Option<Facts>)> = Vec::new();
        for (index, tracker) in self.trackers.iter().enumerate().filter(|(_, tracker)| which(tracker)) {
            found.push((index, connection.find(tracker.sought(), tracker.container()).await?));
        }
        let is_behind = |(index, facts): &(usize, Option<Facts>)| {
            facts
                .as_ref()
                .is_some_and(|facts| self.trackers.get(*index).is_some_and(|tracker| tracker.is_behind(facts)))
        };
        if found.iter().any(is_behind) {
            while let Ok(Some(event)) = timeout(EVENTS_SETTLE, events.next()).await {
                self.happened(connection, event?).await?;
            }
        }
        for (index, facts) in found {
            let Some(tracker) = self.trackers.get_mut(index) else { continue };
            let news = match facts {
                None => tracker.absent(Stamp::now()),
                Some(facts) => {
                    let last_lines = connection.last_lines(tracker.lines_wanted(None, Some(&facts))).await;
                    tracker.take(News { facts: Some(facts), last_lines, ..News::default() }, Stamp::now())
                }
            };
            tell(&self.events, news).await;
        }
        Ok(())
    }

    /// Asks the engine for what is ordered, and goes on watching meanwhile.
    async fn obey(&mut self, connection: &Connection, order: Order) -> Result<(), Blind> {
        let Some(tracker) = self.trackers.iter_mut().find(|tracker| *tracker.service() == order.service) else {
            return Ok(());
        };
        let Some(facts) = connection.find(tracker.sought(), tracker.container()).await? else {
            self.refused(&order, "there is no such container".to_owned()).await;
            return Ok(());
        };
        if order.command == Command::Heal && (tracker.is_asked() || !facts.running) {
            self.refused(&order, "somebody is stopping it, or it does not run any more".to_owned()).await;
            return Ok(());
        }
        tracker.order(order.command, Stamp::now());
        while self.acting.try_join_next().is_some() {}
        let (events, acting) = (self.events.clone(), connection.act(order.command, facts.id));
        self.acting.spawn(async move {
            if let Err(refusal) = acting.await {
                let (service, command, why) = (order.service.to_string(), order.command, refusal.to_string());
                tell(&events, vec![Event::Refused { service, command, why }]).await;
            }
        });
        Ok(())
    }

    async fn refused(&self, order: &Order, why: String) {
        let (service, command) = (order.service.to_string(), order.command);
        tell(&self.events, vec![Event::Refused { service, command, why }]).await;
    }

    async fn lost(&mut self, blind: &Blind) {
        self.is_blind = true;
        if !std::mem::replace(&mut self.is_told, true) {
            self.tell_sight(Some(blind.to_string())).await;
        }
    }

    async fn found(&mut self) {
        self.is_told = false;
        if std::mem::replace(&mut self.is_blind, false) {
            self.tell_sight(None).await;
        }
    }

    async fn tell_sight(&self, lost: Option<String>) {
        let sights = self.trackers.iter().map(|tracker| {
            let service = tracker.service().to_string();
            Event::Sight { service, lost: lost.clone() }
        });
        tell(&self.events, sights.collect()).await;
    }
}

/// Looks at a container after an event. The kernel's word that memory ran out comes to the engine on another way than the
/// end of the process, and may come after it.
async fn inspect_end(
    connection: &Connection,
    tracker: &Tracker,
    happening: &Happening,
) -> Result<Option<Facts>, Blind> {
    let mut facts = connection.inspect(&happening.container).await?;
    let began = facts.as_ref().and_then(|facts| facts.started);
    let mut looks = if tracker.was_killed(happening) { OOM_LOOKS } else { 0 };
    while looks > 0 && facts.as_ref().is_some_and(|facts| !facts.oom_killed) {
        sleep(OOM_LOOK_EVERY).await;
        let later = connection.inspect(&happening.container).await?;
        // What began anew says nothing of how it ended.
        if later.as_ref().is_none_or(|later| later.started != began) {
            break;
        }
        (facts, looks) = (later, looks - 1);
    }
    Ok(facts)
}

/// Nobody to tell means that the app is ending.
async fn tell(events: &mpsc::Sender<Event>, news: Vec<Event>) {
    for event in news {
        let _ending = events.send(event).await;
    }
}
