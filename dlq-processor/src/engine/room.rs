//! What may be redriven now: as rates, breakers, budgets and the load of each queue let it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::redrive::LOOK_EVERY;
use super::{Engine, Trouble, now_ms};
use crate::ledger::{self, Due, Held, Lane};
use crate::storm::{Bucket, Pressure, Throttle};

/// Between two looks at how busy a queue is.
const LOAD_EVERY: Duration = Duration::from_secs(5);

/// What one loop knows of the queues of a source.
#[derive(Default)]
pub(super) struct Room {
    queues: BTreeMap<String, Place>,
    /// Queues that letters are due in, and that are not there, or unsafe.
    strange: BTreeSet<String>,
    /// Where what is due is looked for next.
    pub(super) next: ledger::Place,
    /// Queues that letters came from, and in which nothing is done.
    passive: BTreeSet<String>,
    /// When something was redriven last.
    pub(super) redriven_at: Option<Instant>,
    /// When what all queues may have together ran out.
    spent: Spent,
}

/// What is known of one queue.
struct Place {
    rate: Bucket,
    /// Of redrives that nobody asked for; none for as many as there are.
    budget: Option<Bucket>,
    pressure: Option<Pressure>,
    looked_at: Option<Instant>,
    /// When its rate ran out, and when its budget did.
    spent: Spent,
    spent_budget: Spent,
}

/// When something ran out: a little later there is no more of it yet, however little has come since. Each part costs two writes to
/// the ledger's disk.
#[derive(Clone, Copy, Default)]
struct Spent(Option<Instant>);

impl Spent {
    fn note(&mut self, tokens: f64) {
        if tokens < 1.0 && !self.holds() {
            self.0 = Some(Instant::now());
        }
    }

    fn holds(self) -> bool {
        self.0.is_some_and(|at| at.elapsed() < LOOK_EVERY)
    }
}

impl Engine {
    /// Looks how busy those queues are that something is due in, or was held back in.
    pub(super) async fn look_at_load(&self, room: &mut Room, due: &[Due]) -> Result<(), Trouble> {
        let held = room.queues.iter().filter(|(_, place)| place.pressure.is_some()).map(|(queue, _)| queue.clone());
        let wanted: BTreeSet<String> = due.iter().map(|due| due.target().to_owned()).chain(held).collect();
        let safe_queues = self.safe_queues();
        for queue in wanted {
            let settings = self.settings.of_queue(&queue);
            let now_ms = now_ms();
            let place = room.queues.entry(queue.clone()).or_insert_with(|| Place {
                rate: Bucket::new(settings.rate, settings.rate, now_ms),
                budget: None,
                pressure: None,
                looked_at: None,
                spent: Spent::default(),
                spent_budget: Spent::default(),
            });
            if !settings.acts || place.looked_at.is_some_and(|at| at.elapsed() < LOAD_EVERY) {
                continue;
            }
            if safe_queues.lacks(&queue) {
                place.looked_at = Some(Instant::now());
                self.note_pressure(&queue, place.pressure, Some(Pressure::Absent));
                place.pressure = Some(Pressure::Absent);
                continue;
            }
            let load = self.source.load(&queue).await?;
            place.looked_at = Some(Instant::now());
            self.note_pressure(&queue, place.pressure, load.pressure(&settings.limits));
            place.pressure = load.pressure(&settings.limits);
            match (load.budget(&settings.limits), &mut place.budget) {
                (Some(budget), Some(bucket)) => bucket.set(budget, now_ms),
                (budget, bucket) => *bucket = budget.map(|budget| Bucket::new(budget, budget, now_ms)),
            }
        }
        Ok(())
    }

    /// Only a change is worth a line.
    fn note_pressure(&self, queue: &str, was: Option<Pressure>, is: Option<Pressure>) {
        for pressure in Pressure::ALL {
            let held = self.figures.held.with_label_values(&[queue, pressure.word()]);
            held.set((is == Some(pressure)).into());
        }
        match is {
            Some(pressure) if was != is => {
                tracing::warn!(source = self.name, queue, reason = pressure.word(), "nothing is redriven for now");
            }
            None if was.is_some() => tracing::info!(source = self.name, queue, "letters are redriven again"),
            _ => {}
        }
        let mut known = self.pressures.lock().unwrap_or_else(PoisonError::into_inner);
        match is {
            Some(pressure) => drop(known.insert(queue.to_owned(), pressure)),
            None => drop(known.remove(queue)),
        }
    }

    /// Queues that nothing may be done in.
    pub(super) fn held(&self, room: &mut Room) -> Held {
        let safe_queues = self.safe_queues();
        room.strange.retain(|queue| !safe_queues.contains(queue));
        let unsafe_queues = || self.unsafe_queues().into_iter().chain(room.strange.clone());
        // What goes elsewhere is done something about where it failed, too, unless nothing is left there.
        Held {
            origins: unsafe_queues().filter(|queue| !safe_queues.lacks(queue)).chain(room.passive.clone()).collect(),
            queues: unsafe_queues().chain(room.passive.clone()).collect(),
        }
    }

    /// How many letters of a lane would be admitted now, at most: others must not stand before what would be.
    pub(super) fn room_of(&self, room: &mut Room) -> impl Fn(&Lane) -> usize + use<'_> {
        let now_ms = now_ms();
        let all = self.rate.lock().unwrap_or_else(PoisonError::into_inner).tokens(now_ms);
        self.figures.room.note_all(all);
        self.set_rates(room, now_ms);
        let mut queues = BTreeMap::new();
        for (queue, place) in &mut room.queues {
            let (rate, budget) = (place.rate.tokens(now_ms), place.budget.as_mut().map(|it| it.tokens(now_ms)));
            self.figures.room.note(queue, rate, budget);
            let asked = if place.pressure.is_some() || place.spent.holds() { 0 } else { whole(rate) };
            let unasked = if place.spent_budget.holds() { 0 } else { budget.map_or(asked, whole).min(asked) };
            queues.insert(queue.clone(), (asked, unasked));
        }
        let all = if room.spent.holds() { 0 } else { whole(all) };
        move |lane| {
            if !self.settings.of_queue(&lane.queue).acts {
                return 0;
            }
            // What a queue bears nobody knows yet of which nothing was looked at.
            let (asked, unasked) = queues.get(&lane.queue).copied().unwrap_or((usize::MAX, usize::MAX));
            let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
            let breaker = self.breaker(&mut breakers, self.destinations.of(&lane.queue, &lane.name));
            let rate = if lane.is_asked { asked } else { unasked };
            breaker.room(now_ms).unwrap_or(usize::MAX).min(rate).min(all)
        }
    }

    /// Forgets queues that nothing is due in any more.
    pub(super) async fn forget_strange(&self, room: &mut Room) -> Result<(), Trouble> {
        let absent = room.queues.iter().filter(|(_, place)| place.pressure == Some(Pressure::Absent));
        let queues: BTreeSet<String> = absent.map(|(queue, _)| queue.clone()).chain(room.strange.clone()).collect();
        if queues.is_empty() {
            return Ok(());
        }
        let queues: Vec<String> = queues.into_iter().collect();
        let wanted = self.ledger.scheduled_in(&self.name, &queues).await?;
        room.strange.retain(|queue| wanted.contains(queue));
        for (queue, place) in room.queues.iter_mut().filter(|(queue, _)| !wanted.contains(*queue)) {
            if place.pressure.take_if(|pressure| *pressure == Pressure::Absent).is_some() {
                self.note_pressure(queue, Some(Pressure::Absent), None);
            }
        }
        Ok(())
    }

    /// Gives each queue as much of its rate as is left of it.
    fn set_rates(&self, room: &mut Room, now_ms: i64) {
        let mut throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        throttles.retain(|queue, throttle| {
            let (is_over, rate) = (throttle.share(now_ms) >= 1.0, self.settings.of_queue(queue).rate);
            if let Some(place) = room.queues.get_mut(queue) {
                place.rate.set(rate * throttle.share(now_ms), now_ms);
            }
            if is_over {
                tracing::info!(source = self.name, queue, "letters are redriven as fast as before");
            }
            !is_over
        });
    }

    /// Has queues be redriven into more slowly for a while.
    pub(super) fn throttle(&self, queues: &BTreeSet<&str>) {
        let now_ms = now_ms();
        let mut throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues.iter().filter(|queue| self.settings.of_queue(queue).acts) {
            let is_slower = match throttles.get_mut(*queue) {
                Some(throttle) => throttle.throttled(now_ms),
                None => throttles.insert((*queue).to_owned(), Throttle::new(now_ms)).is_none(),
            };
            if is_slower {
                let percent = throttles.get(*queue).map(|throttle| (throttle.share(now_ms) * 100.0).round());
                tracing::warn!(
                    source = self.name,
                    queue,
                    percent,
                    "too much is asked: letters are redriven more slowly"
                );
            }
        }
    }

    /// Leaves out what would be too much.
    pub(super) fn admit(&self, due: Vec<Due>, room: &mut Room) -> Vec<Due> {
        let now_ms = now_ms();
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let safe_queues = self.safe_queues();
        let mut admit = |due: &Due| {
            let (queue, name) = (due.target(), &due.name);
            // It may have been otherwise when it was taken in.
            let bears = |queue: &&str| safe_queues.bears(queue, due.target());
            room.strange.extend(due.queues().filter(|queue| !bears(queue)).map(str::to_owned));
            // Whatever comes from there would stand before others for ever.
            room.passive.extend(due.queues().filter(|queue| !self.settings.of_queue(queue).acts).map(str::to_owned));
            if !due.queues().all(|queue| self.settings.of_queue(queue).acts && bears(&queue)) {
                return false;
            }
            let Some(place) = room.queues.get_mut(queue).filter(|place| place.pressure.is_none()) else { return false };
            let budget = place.budget.as_mut().filter(|_| !due.is_asked);
            let mut buckets: Vec<&mut Bucket> = [&mut place.rate, &mut *rate].into_iter().chain(budget).collect();
            let has_tokens = buckets.iter_mut().all(|bucket| bucket.tokens(now_ms) >= 1.0);
            let breaker = self.breaker(&mut breakers, self.destinations.of(queue, name));
            // What the breaker refuses takes nothing away from others.
            let is_admitted = has_tokens && breaker.admit(due.id.as_str(), now_ms);
            is_admitted && buckets.iter_mut().all(|bucket| bucket.take(1, now_ms) == 1)
        };
        let admitted = due.into_iter().filter(|due| admit(due)).collect();
        room.spent.note(rate.tokens(now_ms));
        for place in room.queues.values_mut() {
            place.spent.note(place.rate.tokens(now_ms));
            place.spent_budget.note(place.budget.as_mut().map_or(1.0, |budget| budget.tokens(now_ms)));
        }
        admitted
    }
}

/// Whole tokens.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most what a rate is, and never below 0"
)]
fn whole(tokens: f64) -> usize {
    tokens.floor() as usize
}
