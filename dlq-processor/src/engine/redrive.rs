//! Redrives letters that are due, as far as rates and breakers let it: written first, done then.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::perils::SafeQueues;
use super::reconcile::Tally;
use super::room::Room;
use super::spans::Redrives;
use super::{Engine, Trouble, now_ms, passed_secs};
use crate::failpoint;
use crate::ledger::{Due, Intended, LetterId, Place};
use crate::policy::{JobFacts, Policy};
use crate::source::{Episode, Lost, Other, PAGE, Put, is_remembered};
use crate::storm::Breaker;

/// Between two looks for what is due, once there is nothing more that may be redriven: at the rate that queues have unless told
/// otherwise letters go one by one then, unless the disk of a server is waited for. In parts of four the slowest of a queue's jobs
/// waited longer for them: BullMQ's own p99 was 3.5 ms with four each 200 ms, 2.7 with one each 50 ms, 2.4 with none (the load
/// of `compose/bench/dead_letters.py`).
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same where nothing has been redriven for a while.
const LOOK_IDLY_EVERY: Duration = Duration::from_millis(200);
const IDLE_AFTER: Duration = Duration::from_secs(1);
/// How long it is looked for one of them, at most, where very many kinds wait: it is looked on from there next time.
const LOOK_FOR: Duration = Duration::from_millis(100);
/// Letters that are redriven at once, at most: each time the ledger is twice written to the disk.
const AT_ONCE: usize = 2000;
/// Letters whose payloads are held at once, where the source has none: a payload may be of a mebibyte.
const WHOLE: usize = 50;
/// Between two looks for what was lost.
const SETTLE_EVERY: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) async fn redrive_for_ever(&self) {
        let (mut room, mut lost, mut failures, mut settled) =
            (Room::default(), BTreeSet::new(), 0, None::<(Instant, SafeQueues)>);
        loop {
            // Of what is written nobody knows whether it was done: after a start, and after a source was away; and it may have
            // lost what it was asked. What was held back while a queue was not known to be safe is done as soon as it is.
            if self.has_lost.swap(false, Ordering::Relaxed) {
                settled = None;
            }
            let asked = self.looks.settle_due();
            if asked.is_some() {
                settled = None;
            }
            let safe_queues = self.safe_queues();
            let is_settled =
                |(at, queues): &(Instant, SafeQueues)| at.elapsed() < SETTLE_EVERY && *queues == safe_queues;
            let round = if settled.as_ref().is_some_and(is_settled) {
                self.redrive_due(&mut room).await
            } else {
                settled = Some((Instant::now(), safe_queues));
                let settling = self.settle(&mut lost, &mut room).await;
                asked.filter(|_| settling.is_ok()).into_iter().for_each(|look| self.looks.note_settled(look));
                settling.map(|()| true)
            };
            let is_through = round.as_ref().is_ok_and(|is_through| *is_through);
            let wait = self.went("redriving", &round.map(drop), &mut failures);
            match wait {
                Some(wait) => {
                    settled = None;
                    tokio::time::sleep(wait).await;
                }
                None if is_through => {
                    let is_idle = room.redriven_at.is_none_or(|at| at.elapsed() >= IDLE_AFTER);
                    tokio::time::sleep(if is_idle { LOOK_IDLY_EVERY } else { LOOK_EVERY }).await;
                }
                None => {}
            }
        }
    }

    /// Carries out again what was written and of which nobody has said what came of it.
    async fn settle(&self, lost: &mut BTreeSet<String>, room: &mut Room) -> Result<(), Trouble> {
        self.withdraw_lost_canaries(lost).await?;
        self.forget_strange(room).await?;
        let given_up = self.ledger.give_up(&self.name, now_ms()).await?;
        if given_up > 0 {
            tracing::warn!(
                source = self.name,
                letters = given_up,
                "could not be redriven in time and wait for somebody"
            );
        }
        let intended = self.ledger.intended(&self.name).await?;
        let now_ms = now_ms();
        let (known, forgotten): (Vec<Intended>, Vec<Intended>) =
            intended.into_iter().partition(|intended| is_remembered(intended.since_ms, now_ms));
        // The source no longer knows either.
        self.ledger.uncertain(&forgotten, now_ms).await?;
        let remembers = |intended: &Intended| self.remembers(&intended.order.episode.queue);
        let (known, doubtful): (Vec<Intended>, Vec<Intended>) = known.into_iter().partition(remembers);
        let policy = self.policy.now();
        let (harmless, doubtful): (Vec<Intended>, Vec<Intended>) =
            doubtful.into_iter().partition(|intended| bears_twice(&policy, intended));
        self.ledger.uncertain(&doubtful, now_ms).await?;
        let known = [known, harmless].concat();
        let safe_queues = self.safe_queues();
        let acts = |intended: &Intended| {
            let mut queues = intended.queues();
            queues.all(|queue| self.settings.of_queue(queue).acts && safe_queues.bears(queue, intended.target()))
        };
        let known: Vec<Intended> = known.into_iter().filter(acts).collect();
        if known.is_empty() || !self.look_for_hazards().await? {
            return Ok(());
        }
        for part in known.chunks(PAGE) {
            self.carry_out(part).await?;
            Tally::add(&self.looks.tally().ordered_again, part.len());
        }
        Ok(())
    }

    /// Has breakers expect nothing of letters that are no longer redriven: the ledger was away before it knew of them, say, or a
    /// person has dealt with them. Nobody else would make room for other canaries. Whoever is `lost` was so at the last look, too:
    /// what the ledger knows already may be on its way to the breaker.
    async fn withdraw_lost_canaries(&self, lost: &mut BTreeSet<String>) -> Result<(), Trouble> {
        let canaries: Vec<String> = {
            let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
            breakers.values().flat_map(Breaker::under_way).map(str::to_owned).collect()
        };
        let ids: Vec<&str> = canaries.iter().map(String::as_str).collect();
        let awaited = self.ledger.awaited(&ids).await?;
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let lost_before = std::mem::take(lost);
        for canary in canaries.into_iter().filter(|canary| !awaited.contains(canary)) {
            if lost_before.contains(&canary) {
                breakers.values_mut().for_each(|breaker| breaker.withdrawn(&canary));
            } else {
                lost.insert(canary);
            }
        }
        Ok(())
    }

    /// Whether an order for a job of a queue can be given again.
    fn remembers(&self, queue: &str) -> bool {
        self.source.manners(queue).remembers_orders
    }

    /// Redrives what is due, and returns whether no more of it may be for now: while the source is asked, the ledger is written.
    async fn redrive_due(&self, room: &mut Room) -> Result<bool, Trouble> {
        let (room, until) = (Mutex::new(room), Instant::now() + SETTLE_EVERY);
        let (one, other) = tokio::join!(self.redrive_some(&room, until), self.redrive_some(&room, until));
        Ok(one? && other?)
    }

    /// Redrives page after page, until no more may be, or until then. Returns whether no more may be.
    async fn redrive_some(&self, room: &Mutex<&mut Room>, until: Instant) -> Result<bool, Trouble> {
        while Instant::now() < until {
            let mut room = room.lock().await;
            let intended = self.intend_due(&mut room).await?;
            if intended.is_empty() {
                return Ok(true);
            }
            let remembers = |intended: &Intended| self.remembers(&intended.order.episode.queue);
            // Where nobody else remembers orders, one page is under way and no more: the other one waits for the room.
            let _next_page_waits = (!intended.iter().all(remembers)).then_some(room);
            self.carry_out(&intended).await?;
        }
        Ok(false)
    }

    /// Writes that some of what is due will be redriven.
    async fn intend_due(&self, room: &mut Room) -> Result<Vec<Intended>, Trouble> {
        self.look_at_load(room, &[]).await?;
        let mut due = self.find_uncapped(room).await?;
        // Of what is intended when power is cut nobody else will know: it is one page and no more.
        if !due.iter().all(|due| self.remembers(&due.episode.queue)) {
            due.truncate(PAGE);
        }
        if due.is_empty() || !self.look_for_hazards().await? {
            return Ok(Vec::new());
        }
        self.look_at_load(room, &due).await?;
        let admitted = self.admit(due, room);
        if admitted.is_empty() {
            return Ok(Vec::new());
        }
        let order = || Uuid::now_v7().simple().to_string();
        let intended = self.ledger.intend(&self.name, &admitted, now_ms(), order).await?;
        // Somebody else was faster with the others.
        let written: BTreeSet<&LetterId> = intended.iter().map(|intended| &intended.id).collect();
        for due in admitted.iter().filter(|due| !written.contains(&due.id)) {
            self.withdrawn(&due.id, due.target(), &due.name);
        }
        room.redriven_at = Some(Instant::now());
        failpoint::at("after_intent");
        Ok(intended)
    }

    /// Finds some letters that are due, from where it was looked last on, and at the end once from the first ones on; none if it
    /// takes long to find one.
    pub(super) async fn find_due(&self, room: &mut Room) -> Result<Vec<Due>, Trouble> {
        let (until, mut is_around) = (Instant::now() + LOOK_FOR, room.next == Place::default());
        loop {
            let (held, room_of, after) = (self.held(room), self.room_of(room), room.next.clone());
            let page = self.ledger.due(&self.name, now_ms(), &held, (AT_ONCE, &after), room_of).await?;
            let is_end = page.next.is_none();
            room.next = page.next.unwrap_or_default();
            if !page.due.is_empty() || is_end && is_around || Instant::now() >= until {
                return Ok(page.due);
            }
            is_around |= is_end;
        }
    }

    /// Makes jobs anew that have gone, where a person asked for it: unasked nobody can say whether they were done after all.
    async fn make_anew(&self, intended: &[Intended], put: &mut [Put]) -> Result<(), Trouble> {
        let is_lost = |(intended, put): &(&Intended, &mut Put)| **put == Put::Gone && intended.order.has_all_tries;
        let mut lost: Vec<(&Intended, &mut Put)> = intended.iter().zip(put).filter(is_lost).collect();
        for part in lost.chunks_mut(WHOLE) {
            let letters: Vec<&Intended> = part.iter().map(|(lost, _)| *lost).collect();
            for ((_, place), put) in part.iter_mut().zip(self.put_anew(&letters).await?) {
                **place = put;
            }
        }
        Ok(())
    }

    /// Puts back what stays in its queue while it is dead.
    async fn put_back(&self, intended: &[Intended]) -> Result<Vec<Put>, Trouble> {
        let orders: Vec<_> = intended.iter().map(|intended| intended.order.clone()).collect();
        let mut put = self.source.put_back(&orders).await?;
        self.make_anew(intended, &mut put).await?;
        Ok(put)
    }

    /// Puts back what the ledger alone has.
    async fn put_anew(&self, intended: &[&Intended]) -> Result<Vec<Put>, Trouble> {
        let kept = self.ledger.kept(intended).await?;
        let orders = intended.iter().map(|intended| intended.order.clone());
        let lost: Vec<Lost> = orders.zip(kept).map(|(order, kept)| Lost { order, kept }).collect();
        Ok(self.source.put_anew(&lost).await?)
    }

    /// Puts back as other jobs what goes into another queue, or holds something else now.
    async fn put_others(&self, intended: &[Intended]) -> Result<Vec<Put>, Trouble> {
        let all: Vec<&Intended> = intended.iter().collect();
        let (kept, edited) = (self.ledger.kept(&all).await?, self.ledger.edited(intended).await?);
        let other = |((intended, kept), data): ((&Intended, Vec<u8>), Option<Vec<u8>>)| Other {
            order: intended.order.clone(),
            kept,
            queue: intended.target().to_owned(),
            data,
        };
        let others: Vec<Other> = intended.iter().zip(kept).zip(edited).map(other).collect();
        Ok(self.source.put_others(&others).await?)
    }

    /// Takes jobs away that others were put in for. What stays after all is known to the ledger, and in nobody's way.
    async fn take_away(&self, intended: &[Intended], put: &[Put]) {
        let is_replaced = |(intended, put): &(&Intended, &Put)| **put == Put::Anew && intended.found_in.is_none();
        let replaced = intended.iter().zip(put).filter(is_replaced);
        let replaced: Vec<Episode> = replaced.map(|(intended, _)| intended.order.episode.clone()).collect();
        if !replaced.is_empty()
            && let Err(error) = self.source.forget(&replaced).await
        {
            tracing::warn!(source = self.name, %error, "jobs that others were put in for stay where they failed");
        }
    }

    async fn carry_out(&self, intended: &[Intended]) -> Result<(), Trouble> {
        let mut spans = self.redrive_spans(intended);
        let carried_out = self.give_orders(intended, &mut spans).await;
        if let Err(trouble) = &carried_out {
            spans.fail(trouble);
        }
        carried_out
    }

    async fn give_orders(&self, intended: &[Intended], spans: &mut Redrives) -> Result<(), Trouble> {
        let (others, same): (Vec<Intended>, Vec<Intended>) = intended.iter().cloned().partition(Intended::is_other);
        for others in others.chunks(WHOLE) {
            let put = self.put_others(others).await?;
            failpoint::at("after_lua");
            self.note(others.to_vec(), put.clone(), spans).await?;
            self.take_away(others, &put).await;
        }
        self.give_same_orders(&same, spans).await
    }

    /// Puts back jobs as they were.
    async fn give_same_orders(&self, intended: &[Intended], spans: &mut Redrives) -> Result<(), Trouble> {
        let manners = |intended: &Intended| self.source.manners(&intended.order.episode.queue);
        let is_kept = |intended: &Intended| manners(intended).keeps_dead && intended.found_in.is_none();
        let (kept, taken): (Vec<Intended>, Vec<Intended>) = intended.iter().cloned().partition(is_kept);
        if !kept.is_empty() {
            let put = self.put_back(&kept).await?;
            failpoint::at("after_lua");
            self.note(kept, put, spans).await?;
        }
        let taken: Vec<&Intended> = taken.iter().collect();
        let mut left = taken.as_slice();
        while !left.is_empty() {
            let (part, rest) = left.split_at(WHOLE.min(left.len()));
            let put = self.put_anew(part).await;
            let undone = if put.is_ok() { rest } else { left };
            let noted = match put {
                Ok(put) => {
                    failpoint::at("after_lua");
                    self.note(part.iter().copied().cloned().collect(), put, spans).await
                }
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = noted {
                // Nobody would know later that nothing was done.
                let forgetful = undone.iter().filter(|intended| !self.remembers(&intended.order.episode.queue));
                let forgetful: Vec<Intended> = forgetful.copied().cloned().collect();
                self.ledger.reschedule(&forgetful, now_ms()).await?;
                return Err(trouble);
            }
            left = rest;
        }
        Ok(())
    }

    /// Writes what came of orders.
    async fn note(&self, intended: Vec<Intended>, put: Vec<Put>, spans: &mut Redrives) -> Result<(), Trouble> {
        let (done, now_ms): (Vec<_>, i64) = (intended.into_iter().zip(put).collect(), now_ms());
        self.ledger.redriven(&done, now_ms).await?;
        failpoint::at("after_redriven");
        for (intended, put) in &done {
            spans.end(&intended.id, *put);
            let queue = intended.target();
            let (label, _) = self.destinations.of(queue, &intended.name);
            self.figures.redriven.with_label_values(&[&*label, put.word()]).inc();
            if matches!(put, Put::Moved | Put::Already | Put::Anew) {
                let took = self.figures.redrive_seconds.with_label_values(&[&*label]);
                took.observe(passed_secs(intended.since_ms, now_ms));
            } else {
                self.withdrawn(&intended.id, queue, &intended.name);
            }
            tracing::debug!(letter = %intended.id, order = intended.order.id, result = put.word(), "redriven");
        }
        Ok(())
    }
}

/// Whether somebody has said that doing it twice does no harm.
fn bears_twice(policy: &Policy, intended: &Intended) -> bool {
    JobFacts::of(&policy.jobs, &intended.order.episode.queue, &intended.name).idempotent == Some(true)
}
