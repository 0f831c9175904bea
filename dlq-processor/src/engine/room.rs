//! What may be redriven now: as rates, breakers, budgets and the load of each queue let it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::destinations::OTHERS;
use super::{Engine, Trouble, now_ms};
use crate::ledger::{Due, Held};
use crate::storm::{Breaker, BreakerState, Bucket, Pressure, Throttle};

/// Between two looks at how busy a queue is.
const LOAD_EVERY: Duration = Duration::from_secs(5);

/// What one loop knows of the queues of a source.
#[derive(Default)]
pub(super) struct Room {
    queues: BTreeMap<String, Place>,
    /// Queues that letters are due in, and that are not there, or unsafe.
    strange: BTreeSet<String>,
}

/// What is known of one queue.
struct Place {
    rate: Bucket,
    /// Of redrives that nobody asked for; none for as many as there are.
    budget: Option<Bucket>,
    pressure: Option<Pressure>,
    looked_at: Option<Instant>,
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

    /// What would be refused anyway, and must not stand before what would not.
    pub(super) fn held(&self, room: &mut Room) -> Held {
        let now_ms = now_ms();
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shut = |breaker: &Breaker| match breaker.state() {
            BreakerState::Open(until_ms) => now_ms < until_ms,
            BreakerState::Closed | BreakerState::HalfOpen(_) => breaker.is_full(),
        };
        let shut = breakers.iter().filter(|(_, breaker)| is_shut(breaker)).map(|(destination, _)| destination.clone());
        let (others, names): (Vec<_>, Vec<_>) = shut.partition(|(_, name)| name == OTHERS);
        let mut held = Held { names, queues: self.unsafe_queues().into_iter().collect(), ..Held::default() };
        // Nobody can list them.
        held.queues.extend(others.into_iter().map(|(queue, _)| queue));
        let safe_queues = self.safe_queues();
        room.strange.retain(|queue| !safe_queues.contains(queue));
        // What goes elsewhere is done something about where it failed, too, unless nothing is left there.
        let origins = self.unsafe_queues().into_iter().chain(room.strange.clone());
        held.origins = origins.filter(|queue| !safe_queues.lacks(queue)).collect();
        held.queues.extend(room.strange.iter().cloned());
        self.figures.room.note_all(self.rate.lock().unwrap_or_else(PoisonError::into_inner).tokens(now_ms));
        self.set_rates(room, now_ms);
        for (queue, place) in &mut room.queues {
            let budget = place.budget.as_mut().map(|budget| budget.tokens(now_ms));
            self.figures.room.note(queue, place.rate.tokens(now_ms), budget);
            if place.pressure.is_some() || place.rate.tokens(now_ms) < 1.0 {
                held.queues.push(queue.clone());
            } else if budget.is_some_and(|budget| budget < 1.0) {
                held.unasked.push(queue.clone());
            }
        }
        held
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
        due.into_iter().filter(|due| admit(due)).collect()
    }
}
