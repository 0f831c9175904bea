//! What is at work now, for whoever shows it or has a say in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::capped::Cap;
use super::{Engine, now_ms};
use crate::source::SourceError;
use crate::storm::BreakerState;

/// The engines that work; none while another daemon acts. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Working(Arc<Mutex<AtWork>>);

#[derive(Default)]
struct AtWork {
    engines: Vec<Arc<Engine>>,
    /// Why none of them works.
    waits: Option<String>,
}

/// How a source stands.
#[derive(Debug, Serialize)]
pub(crate) struct Standing {
    /// Its name.
    pub(crate) source: String,
    /// Why it does not get on, if so.
    pub(crate) trouble: Option<String>,
    /// What it waits for, if nobody has made it yet.
    pub(crate) waits: Option<String>,
    /// Why nothing at all is redriven there.
    pub(crate) hazard: Option<String>,
    /// Its queues, as far as something is to be said of them.
    pub(crate) queues: BTreeMap<String, QueueStanding>,
}

/// How a queue stands.
#[derive(Debug, Default, Serialize)]
pub(crate) struct QueueStanding {
    /// Why nothing is put back now: it is busy.
    pub(crate) held: Option<&'static str>,
    /// The share of its rate that it is redriven at, while whoever does its jobs says that too much is asked.
    pub(crate) slowed_to: Option<f64>,
    /// What makes it unsafe, and is not accepted.
    pub(crate) perils: Vec<PerilStanding>,
    /// Failures of which no more are redriven unasked for now: too many were in vain.
    pub(crate) capped: Vec<CapStanding>,
    /// Breakers that are not closed.
    pub(crate) breakers: Vec<BreakerStanding>,
}

/// A peril.
#[derive(Debug, Serialize)]
pub(crate) struct PerilStanding {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// One sentence.
    pub(crate) why: String,
}

/// Failures that are alike.
#[derive(Debug, Serialize)]
pub(crate) struct CapStanding {
    /// What they have in common.
    pub(crate) fingerprint: String,
    /// Until when, in milliseconds since the epoch.
    pub(crate) until_ms: i64,
}

/// A breaker.
#[derive(Debug, Serialize)]
pub(crate) struct BreakerStanding {
    /// The job's name.
    pub(crate) name: String,
    /// `open` or `half_open`.
    pub(crate) state: &'static str,
    /// When canaries are let through, in milliseconds since the epoch.
    pub(crate) until_ms: Option<i64>,
}

impl Working {
    /// Has these be the ones that work.
    pub(crate) fn set(&self, engines: Vec<Arc<Engine>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = AtWork { engines, waits: None };
    }

    /// Notes why none works.
    pub(crate) fn wait(&self, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waits = Some(why);
    }

    /// Returns why none works, if that is known.
    pub(crate) fn waits(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waits.clone()
    }

    /// Returns them.
    pub(crate) fn all(&self) -> Vec<Arc<Engine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).engines.clone()
    }
}

impl Engine {
    /// Says how it stands.
    pub(crate) fn standing(&self) -> Standing {
        let mut queues = BTreeMap::<String, QueueStanding>::new();
        for (queue, pressure) in self.pressures.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            queues.entry(queue.clone()).or_default().held = Some(pressure.word());
        }
        let now_ms = now_ms();
        for (queue, throttle) in self.throttles.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let share = throttle.share(now_ms);
            if share < 1.0 {
                queues.entry(queue.clone()).or_default().slowed_to = Some(share);
            }
        }
        for peril in self.perils() {
            let standing = PerilStanding { kind: peril.kind.word(), why: peril.why };
            queues.entry(peril.queue).or_default().perils.push(standing);
        }
        for (fingerprint, Cap { queue, until_ms }) in self.capped() {
            queues.entry(queue).or_default().capped.push(CapStanding { fingerprint, until_ms });
        }
        for ((queue, name), breaker) in self.breakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (state, until_ms) = match breaker.state() {
                BreakerState::Closed if breaker.room(now_ms) != Some(0) => continue,
                BreakerState::Open(until_ms) => ("open", Some(until_ms)),
                BreakerState::Closed => ("trying", None),
                BreakerState::HalfOpen(_) => ("half_open", None),
            };
            let standing = BreakerStanding { name: name.clone(), state, until_ms };
            queues.entry(queue.clone()).or_default().breakers.push(standing);
        }
        Standing {
            source: self.name.clone(),
            trouble: self.state().err(),
            waits: self.waits(),
            hazard: self.hazard(),
            queues,
        }
    }

    /// Opens or closes the breaker of a destination: a person's word.
    pub(crate) fn set_breaker(&self, queue: &str, name: &str, is_open: bool) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let destination = self.destinations.of(queue, name);
        let labels = [&*destination.0, &*destination.1];
        let breaker = self.breaker(&mut breakers, destination.clone());
        if is_open {
            breaker.open(now_ms())
        } else {
            breaker.close()
        }
        self.figures.breaker_open.with_label_values(&labels).set(is_open.into());
    }

    /// Returns the latest epoch that somebody acted under here.
    ///
    /// # Errors
    /// What the source says.
    pub(crate) async fn latest_epoch(&self) -> Result<i64, SourceError> {
        self.source.latest_epoch().await
    }
}
