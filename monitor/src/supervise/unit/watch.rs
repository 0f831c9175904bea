//! The task that watches one systemd for every service whose unit it runs.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use kit::clock::Stamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use zbus::{Message, MessageStream};

use super::allowance::Allowance;
use super::bus::Place;
use super::connection::{Blind, Connection, Signal};
use super::facts::Facts;
use super::journal::Journal;
use super::programs::Programs;
use super::tracker::Tracker;
use super::version::Settings;
use crate::supervise::message::{Command, Event};
use crate::supervise::pace::{PING_EVERY, RESCAN_EVERY, RETRY_AFTER, first_settled};
use crate::supervise::teller::Teller;
use crate::supervise::workload::{Assignment, Order, Sought, Subject};

/// How often the journal is asked for the last lines of one unit's runs: this many at once, and then one in this long.
const LINES_AT_ONCE: u32 = 8;
const LINES_EVERY: Duration = Duration::from_secs(2);
/// How many runs of one unit are told as they come: this many at once, and then one in this long. Who dies a hundred times
/// a second would hold up everybody else's news, and his runs say the same each time.
const RUNS_AT_ONCE: u32 = 40;
const RUNS_EVERY: Duration = Duration::from_millis(500);
/// Who is faster is caught up with this often, and of what went by this many runs are told.
const CATCH_UP_EVERY: Duration = Duration::from_secs(2);
const RUNS_CAUGHT_UP: usize = 8;
/// Messages that are taken before an answer, at most: more come while these are taken.
const MESSAGES_BEFORE: usize = 4096;

/// Watches until the list's sender is gone.
pub(super) async fn watch(place: Place, assignment: Assignment) {
    let Assignment { mut subjects, mut orders, events } = assignment;
    let (journal, teller) = (Journal::new(place.journal.clone()), Teller::new(events));
    let (followed, programs, acting) = (Vec::new(), Programs::default(), JoinSet::new());
    let mut watcher = Watcher { place, journal, followed, programs, teller, acting, is_anew: false };
    watcher.list(&subjects.borrow_and_update().clone());
    loop {
        match watcher.session(&mut subjects, &mut orders).await {
            Ok(Pause::Ended) => return,
            Ok(Pause::Listed) => continue,
            Err(blind) => {
                let Watcher { teller, followed, .. } = &mut watcher;
                teller.lost(&blind.to_string(), followed.iter().map(|one| one.tracker.service())).await;
                // Asked later it might be another one, with something else to mend.
                while let Ok(order) = orders.try_recv() {
                    watcher.teller.refused(&order, blind.to_string()).await;
                }
            }
        }
        tokio::select! {
            () = sleep(RETRY_AFTER) => {}
            Some(order) = orders.recv() => watcher.teller.refused(&order, "systemd cannot be asked".to_owned()).await,
            changed = subjects.changed() => {
                if changed.is_err() {
                    return;
                }
                watcher.list(&subjects.borrow_and_update().clone());
            }
        }
    }
}

/// Why a session ended that could have gone on.
enum Pause {
    /// Nobody wants to know any more.
    Ended,
    /// There is another list of services.
    Listed,
}

/// A service, and its unit on the bus.
struct Followed {
    tracker: Tracker,
    path: String,
    /// As the signals have it; a change comes in two pieces.
    facts: Facts,
    lines: Allowance,
    runs: Allowance,
    /// Since when its runs are not told as they come.
    behind: Option<Instant>,
}

impl Followed {
    fn new(tracker: Tracker) -> Self {
        let now = Instant::now();
        let (lines, runs) =
            (Allowance::new(LINES_AT_ONCE, LINES_EVERY, now), Allowance::new(RUNS_AT_ONCE, RUNS_EVERY, now));
        Self { tracker, path: String::new(), facts: Facts::default(), lines, runs, behind: None }
    }

    /// Returns whether what was told has to wait until it is caught up with.
    fn falls_behind(&mut self) -> bool {
        let now = Instant::now();
        if self.behind.is_none() && self.tracker.is_new(&self.facts) && !self.runs.take(now) {
            self.behind = Some(now);
        }
        self.behind.is_some()
    }
}

struct Watcher {
    place: Place,
    journal: Journal,
    followed: Vec<Followed>,
    programs: Programs,
    teller: Teller,
    /// Orders that systemd carries out, each with why it was refused; they end with us, what it has begun goes on.
    acting: JoinSet<Option<(Order, String)>>,
    /// Everything may be different from what was seen: all is to be looked at.
    is_anew: bool,
}

impl Watcher {
    /// Takes the list of services; those that stay keep what is known of them.
    fn list(&mut self, subjects: &[Subject]) {
        let now = Stamp::now();
        let mut before = std::mem::take(&mut self.followed);
        for subject in subjects {
            let is_it =
                |one: &Followed| *one.tracker.service() == subject.service && *one.tracker.sought() == subject.sought;
            let known = before.iter().position(is_it).map(|index| before.swap_remove(index));
            self.followed.push(known.unwrap_or_else(|| Followed::new(Tracker::new(subject.clone(), now))));
        }
        self.teller.has_new_listeners();
    }

    /// Watches over one connection.
    async fn session(
        &mut self,
        subjects: &mut watch::Receiver<Vec<Subject>>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<Pause, Blind> {
        let (connection, mut messages) = Connection::open(&self.place).await?;
        for one in &mut self.followed {
            let Sought::Name(unit) = one.tracker.sought() else { continue };
            one.path = match connection.follow(unit).await? {
                Ok(path) => path,
                Err(why) => {
                    one.facts = Facts::missing(unit, &why);
                    String::new()
                }
            };
            one.tracker.forget_order_of_states();
        }
        self.scan(&connection, &mut messages, |_| true).await?;
        self.teller.found(self.followed.iter().map(|one| one.tracker.service())).await;
        let mut rescan = Instant::now() + RESCAN_EVERY;
        let mut ping = Instant::now() + PING_EVERY;
        loop {
            if std::mem::take(&mut self.is_anew) {
                self.followed.iter_mut().for_each(|one| one.tracker.forget_order_of_states());
                rescan = Instant::now();
            }
            let next_look = self.next_look();
            tokio::select! {
                changed = subjects.changed() => {
                    if changed.is_err() {
                        return Ok(Pause::Ended);
                    }
                    self.list(&subjects.borrow_and_update().clone());
                    return Ok(Pause::Listed);
                }
                Some(order) = orders.recv() => self.obey(&connection, order).await,
                Some(acted) = self.acting.join_next() => {
                    if let Ok(Some((order, why))) = acted {
                        self.refused(&order, why).await;
                    }
                }
                message = messages.next() => {
                    let message = message.and_then(Result::ok).ok_or_else(|| connection.hung_up())?;
                    if let Some(Signal::Anew) = self.heard(&message, &connection).await {
                        connection.subscribe().await?;
                        self.is_anew = true;
                    }
                }
                () = sleep_until(rescan) => {
                    self.scan(&connection, &mut messages, |_| true).await?;
                    rescan = Instant::now() + RESCAN_EVERY;
                }
                () = sleep_until(ping) => {
                    connection.ping().await?;
                    ping = Instant::now() + PING_EVERY;
                }
                () = sleep_until(next_look) => {
                    let now = Stamp::now().at;
                    let is_due = |one: &Followed| {
                        one.behind.is_some_and(|behind| behind.elapsed() >= CATCH_UP_EVERY)
                            || one.tracker.settles().is_some_and(|settles| settles.at <= now)
                    };
                    self.scan(&connection, &mut messages, is_due).await?;
                }
            }
        }
    }

    /// Returns when to look at the first service that waits for that.
    fn next_look(&self) -> Instant {
        let settled = first_settled(self.followed.iter().filter_map(|one| one.tracker.settles()));
        let behind = self.followed.iter().filter_map(|one| one.behind).min();
        behind.map_or(settled, |behind| settled.min(behind + CATCH_UP_EVERY))
    }

    /// Takes a signal; returns it if it is not of one unit.
    async fn heard(&mut self, message: &Message, connection: &Connection) -> Option<Signal> {
        // Reading it would take longer than the next one takes to come.
        let is_of_it = |one: &&Followed| message.header().path().is_some_and(|path| path.as_str() == one.path);
        if self.followed.iter().find(is_of_it).is_some_and(|one| one.behind.is_some()) {
            return None;
        }
        let signal = connection.signal_of(message);
        let Some(Signal::Changed(path, changed, is_whole)) = signal else { return signal };
        let is_it = |one: &&mut Followed| one.path == path;
        let first = self.followed.iter_mut().find(is_it)?;
        first.facts.take(changed);
        let facts = first.facts.clone();
        // Several services may be of one unit.
        for one in self.followed.iter_mut().filter(is_it) {
            one.facts.clone_from(&facts);
        }
        for index in (0..self.followed.len()).filter(|_| is_whole) {
            if self.followed.get_mut(index).is_some_and(|one| one.path == path && !one.falls_behind()) {
                self.take(index, facts.clone(), true, connection).await;
            }
        }
        None
    }

    /// Looks at the units of some services, and takes what signals have not told.
    async fn scan(
        &mut self,
        connection: &Connection,
        messages: &mut MessageStream,
        which: impl Fn(&Followed) -> bool,
    ) -> Result<(), Blind> {
        for index in 0..self.followed.len() {
            let Some(one) = self.followed.get(index).filter(|one| which(one)) else { continue };
            let facts = if one.path.is_empty() { one.facts.clone() } else { connection.look(&one.path).await? };
            // What was told before this answer has its turn before it.
            for _ in 0..MESSAGES_BEFORE {
                let Some(message) = messages.next().now_or_never() else { break };
                let message = message.and_then(Result::ok).ok_or_else(|| connection.hung_up())?;
                if let Some(Signal::Anew) = self.heard(&message, connection).await {
                    connection.subscribe().await?;
                    self.is_anew = true;
                }
            }
            if let Some(one) = self.followed.get_mut(index).filter(|one| one.facts.changed_us <= facts.changed_us) {
                one.facts = facts.clone();
            }
            self.take(index, facts, false, connection).await;
        }
        Ok(())
    }

    /// Takes how one unit stands, as a signal told it or as it was found, with what the journal knows.
    async fn take(&mut self, index: usize, mut facts: Facts, is_told: bool, connection: &Connection) {
        let Some(Followed { tracker, path, lines, behind, facts: seen, .. }) = self.followed.get_mut(index) else {
            return;
        };
        if is_told && tracker.is_made_of_unknown(&facts) {
            // What a unit is made of is in no signal (org.freedesktop.systemd1(5)): it is what was last asked for.
            match connection.look(path).await {
                Ok(fresh) => {
                    facts.made_as(&fresh);
                    seen.made_as(&fresh);
                }
                // The next look knows it.
                Err(_) => facts.settings = Settings::default(),
            }
        }
        if let Some(program) = facts.program().filter(|_| connection.is_here && tracker.wants_digest(&facts)) {
            facts.digest = self.programs.digest(program).await;
        }
        if let Some(since) = tracker.missed_since(&facts, is_told) {
            let mut past = self.journal.past(&facts.name, connection.manager_is, since).await;
            let mut after_gap = None;
            if behind.take().is_some() && past.len() > RUNS_CAUGHT_UP {
                let dropped = past.len() - RUNS_CAUGHT_UP;
                past.drain(..dropped);
                after_gap = past.first().map(|run| run.invocation);
                tracing::warn!(unit = facts.name, dropped, "it dies faster than its runs can be told");
            }
            // Of those that ended only the last one's lines are shown.
            let ended =
                past.iter_mut().rev().find(|run| run.ended.is_some() && Some(run.invocation) != facts.invocation);
            if let Some(ended) = ended
                && let Some(whole) = self.journal.run(&facts.name, ended.invocation, connection.manager_is, None).await
            {
                ended.learn_lines(whole);
            }
            let mut news = tracker.recall(past, &facts, Stamp::now());
            let service = || tracker.service().to_string();
            news.extend(after_gap.map(|run| Event::Missed { service: service(), run }));
            self.teller.tell(news).await;
        }
        *behind = None;
        let mut past = None;
        if let Some(run) = tracker.ends(&facts).filter(|_| lines.take(Instant::now())) {
            let is_over = facts.is_at_rest() || facts.waits();
            let ended = facts.ended().filter(|_| is_over);
            past = self.journal.run(&facts.name, run, connection.manager_is, ended).await;
        }
        self.teller.tell(tracker.look(facts, past, Stamp::now())).await;
    }

    /// Asks systemd for what is ordered, and goes on watching meanwhile.
    async fn obey(&mut self, connection: &Connection, order: Order) {
        let Some(one) = self.followed.iter_mut().find(|one| *one.tracker.service() == order.service) else { return };
        let Sought::Name(unit) = one.tracker.sought().clone() else { return };
        if !one.facts.exists() {
            self.teller.refused(&order, format!("there is no unit {unit}: {}", one.facts.load_words())).await;
            return;
        }
        if let Some(why) = one.tracker.why_not_heal().filter(|_| order.command == Command::Heal) {
            self.teller.refused(&order, why.to_owned()).await;
            return;
        }
        one.tracker.order(order.command, Stamp::now());
        let acting = connection.act(order.command, unit, one.facts.hit_its_limit());
        self.acting.spawn(async move { acting.await.err().map(|refusal| (order, refusal.to_string())) });
    }

    async fn refused(&mut self, order: &Order, why: String) {
        if let Some(one) = self.followed.iter_mut().find(|one| *one.tracker.service() == order.service) {
            one.tracker.refused(order.command);
        }
        self.teller.refused(order, why).await;
    }
}
