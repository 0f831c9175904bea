//! The task that watches one engine for every service whose container it runs.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use kit::clock::Stamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::address::Address;
use super::connection::{Blind, Connection};
use super::facts::{Facts, Happening};
use super::tracker::{News, Tracker};
use crate::supervise::message::Command;
use crate::supervise::pace::{PING_EVERY, RESCAN_EVERY, RETRY_AFTER, first_settled};
use crate::supervise::teller::Teller;
use crate::supervise::workload::{Assignment, Order, Subject};

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
    let teller = Teller::new(events);
    let mut watcher = Watcher { address, trackers: Vec::new(), teller, acting, seen_until: None };
    watcher.list(&subjects.borrow_and_update().clone());
    loop {
        match watcher.session(&mut subjects, &mut orders).await {
            Ok(()) => return,
            Err(blind) => {
                let Watcher { teller, trackers, .. } = &mut watcher;
                teller.lost(&blind.to_string(), trackers.iter().map(Tracker::service)).await;
                // Asked later it might be another engine, with something else to mend.
                while let Ok(order) = orders.try_recv() {
                    watcher.teller.refused(&order, blind.to_string()).await;
                }
            }
        }
        tokio::select! {
            () = sleep(RETRY_AFTER) => {}
            Some(order) = orders.recv() => watcher.teller.refused(&order, "the engine cannot be asked".to_owned()).await,
            changed = subjects.changed() => {
                if changed.is_err() {
                    return;
                }
                watcher.list(&subjects.borrow_and_update().clone());
            }
        }
    }
}

struct Watcher {
    address: Address,
    trackers: Vec<Tracker>,
    teller: Teller,
    /// Orders that the engine carries out, each with why it was refused; they end with us, what it has begun goes on.
    acting: JoinSet<Option<(Order, String)>>,
    /// When the newest event that was taken happened.
    seen_until: Option<Timestamp>,
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
        self.teller.has_new_listeners();
    }

    /// Watches over one connection; `Ok` means that nobody wants to know any more.
    async fn session(
        &mut self,
        subjects: &mut watch::Receiver<Vec<Subject>>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<(), Blind> {
        let connection = Connection::open(&self.address)?;
        let mut events = self.take_up(&connection).await?;
        let mut taken_up = Instant::now();
        let mut rescan = Instant::now() + RESCAN_EVERY;
        let mut ping = Instant::now() + PING_EVERY;
        loop {
            let settled = sleep_until(first_settled(self.trackers.iter().filter_map(Tracker::settles)));
            tokio::select! {
                changed = subjects.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.list(&subjects.borrow_and_update().clone());
                    rescan = Instant::now();
                }
                Some(order) = orders.recv() => self.obey(&connection, order).await?,
                Some(acted) = self.acting.join_next() => {
                    if let Ok(Some((order, why))) = acted {
                        self.refused(&order, why).await;
                    }
                }
                event = events.next() => match event.unwrap_or_else(|| Err(connection.hung_up())) {
                    Ok(happening) => self.happened(&connection, happening).await?,
                    Err(blind) if taken_up.elapsed() < RETRY_AFTER => return Err(blind),
                    // Proxies cut off a stream in which nothing has come for a while: only a question finds out more.
                    Err(_cut_off) => {
                        events = self.take_up(&connection).await?;
                        taken_up = Instant::now();
                    }
                },
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

    /// Begins to follow, and takes what happened before.
    async fn take_up(&mut self, connection: &Connection) -> Result<Events, Blind> {
        connection.ping().await?;
        let from = self.watched_from();
        for happening in connection.missed(from).await? {
            self.happened(connection, happening).await?;
        }
        let mut events = connection.events(self.seen_until.unwrap_or(from));
        self.scan(connection, &mut events, |_| true).await?;
        self.teller.found(self.trackers.iter().map(Tracker::service)).await;
        Ok(events)
    }

    /// Returns when to begin: behind the last event, or else behind what an earlier monitor knew.
    fn watched_from(&self) -> Timestamp {
        let known = || self.trackers.iter().filter_map(Tracker::known_until).min();
        self.seen_until.or_else(known).unwrap_or_else(Timestamp::now)
    }

    async fn happened(&mut self, connection: &Connection, happening: Happening) -> Result<(), Blind> {
        // A stream that is taken up again begins with what was seen already.
        if self.seen_until.is_some_and(|seen| happening.at <= seen) {
            return Ok(());
        }
        for tracker in self.trackers.iter_mut().filter(|tracker| tracker.concerns(&happening)) {
            let facts = inspect_end(connection, tracker, &happening).await?;
            let last_lines = connection.last_lines(tracker.lines_wanted(Some(&happening), facts.as_ref())).await;
            let news = News { happening: Some(happening.clone()), facts, last_lines };
            self.teller.tell(tracker.take(news, Stamp::now())).await;
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
            while let Ok(Some(Ok(event))) = timeout(EVENTS_SETTLE, events.next()).await {
                self.happened(connection, event).await?;
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
            self.teller.tell(news).await;
        }
        Ok(())
    }

    /// Asks the engine for what is ordered, and goes on watching meanwhile.
    async fn obey(&mut self, connection: &Connection, order: Order) -> Result<(), Blind> {
        let Some(tracker) = self.trackers.iter_mut().find(|tracker| *tracker.service() == order.service) else {
            return Ok(());
        };
        let found = match connection.find(tracker.sought(), tracker.container()).await {
            Ok(found) => found,
            Err(blind) => {
                self.teller.refused(&order, blind.to_string()).await;
                return Err(blind);
            }
        };
        let Some(facts) = found else {
            self.teller.refused(&order, "there is no such container".to_owned()).await;
            return Ok(());
        };
        if order.command == Command::Heal && (tracker.is_asked() || !facts.running) {
            self.teller.refused(&order, "somebody is stopping it, or it does not run any more".to_owned()).await;
            return Ok(());
        }
        tracker.order(order.command, Stamp::now());
        let acting = connection.act(order.command, facts.id);
        self.acting.spawn(async move { acting.await.err().map(|refusal| (order, refusal.to_string())) });
        Ok(())
    }

    async fn refused(&mut self, order: &Order, why: String) {
        let tracker = self.trackers.iter_mut().find(|tracker| *tracker.service() == order.service);
        if let Some(tracker) = tracker {
            tracker.refused(order.command);
        }
        self.teller.refused(order, why).await;
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
