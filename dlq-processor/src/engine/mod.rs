//! What is done with one source, for ever: letters are taken in, redriven when they are due, and followed to their end.
//! Loops, none of which waits for another; a source or a ledger that is away holds them up and ends none.
//!
//! Failures are read (`read`) where queues tell of them (`tail`) and where they are listed (`scan`), wait in a bounded `intake`,
//! and are written by one writer (`write`); what was gone before it could be read is counted (`missed`).

mod brought;
mod canaries;
mod capped;
mod counts;
mod depths;
mod destinations;
mod facts;
mod follow;
mod hazards;
mod intake;
mod lists;
mod missed;
mod perils;
mod plans;
mod read;
mod reconcile;
mod redrive;
mod retention;
mod room;
mod scan;
mod spans;
mod tail;
mod verdict;
mod working;
mod write;

pub(crate) use brought::complete;
#[cfg(test)]
pub(crate) use counts::QueueCounts;
pub(crate) use facts::SourceFacts;
pub(crate) use plans::carry_out_plans;
pub(crate) use reconcile::Found as LookedAt;
pub(crate) use retention::let_go;
pub(crate) use working::{Standing, Working};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kit::backoff::Backoff;
use kit::chain::Chain;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::capped::Capped;
use self::counts::Counts;
use self::destinations::{Destination, Destinations};
use self::facts::Answer;
use self::intake::Intake;
use self::missed::Missed;
use self::perils::Looked;
use self::reconcile::Looks;
use crate::figures::Figures;
use crate::ledger::{Ledger, LedgerError, LetterId};
use crate::policy::Pattern;
use crate::settings::{InForce, Settings, SourceSettings};
use crate::source::{Source, SourceError};
use crate::storm::{Breaker, BreakerState, Bucket, Flood, Pressure, Throttle};

/// Between tries of what is away.
const AWAY: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(15) };

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger takes nothing more in.
    #[error("the ledger is as large as it may be; raise max_ledger, or let go of letters (retention)")]
    Full,
}

/// One source, with all that is needed to deal with it.
pub(crate) struct Engine {
    name: String,
    /// What kind of source it is.
    kind: &'static str,
    queues: Vec<Pattern>,
    source: Arc<dyn Source>,
    /// Its queues, as far as they are found and wanted.
    found: watch::Sender<Vec<String>>,
    /// What was read and is not written yet.
    intake: Intake,
    /// What could not be read.
    missed: Missed,
    counts: Counts,
    /// Failures that the ledger will never take.
    refused: Mutex<BTreeSet<LetterId>>,
    /// Looks that were asked for.
    looks: Looks,
    /// How far each queue was heard.
    places: Mutex<BTreeMap<String, String>>,
    settings: Arc<Settings>,
    policy: InForce,
    ledger: Ledger,
    figures: Figures,
    destinations: Destinations,
    breakers: Mutex<BTreeMap<Destination, Breaker>>,
    /// Of everything that this process redrives.
    rate: Arc<Mutex<Bucket>>,
    /// Whether the ledger is as large as it may be.
    is_full: Arc<AtomicBool>,
    /// Whether its source has lost what it was asked, and is to be asked again.
    has_lost: AtomicBool,
    /// Why nothing is redriven, though it may be; none before anybody has looked.
    hazards: Mutex<Option<Vec<String>>>,
    /// What makes queues unsafe.
    looked: Mutex<Looked>,
    /// Queues that nothing is put back into for now.
    pressures: Mutex<BTreeMap<String, Pressure>>,
    /// Queues that are redriven into more slowly for now.
    throttles: Mutex<BTreeMap<String, Throttle>>,
    /// Failures of which no more are redriven unasked for now.
    capped: Mutex<Capped>,
    /// How many failures come, by queue and job's name.
    floods: Mutex<BTreeMap<Destination, Flood>>,
    /// Why each loop does not get on.
    troubles: Mutex<BTreeMap<&'static str, String>>,
    /// Whether the source answers.
    answers: Mutex<Answer>,
}

impl Engine {
    pub(crate) fn new(
        of: &SourceSettings,
        settings: Arc<Settings>,
        policy: InForce,
        ledger: Ledger,
        figures: Figures,
        rate: Arc<Mutex<Bucket>>,
        is_full: Arc<AtomicBool>,
    ) -> Self {
        let SourceSettings { name, kind, queues, source } = of.clone();
        figures.source_up.with_label_values(&[&name]).set(0);
        figures.armed.with_label_values(&[&name]).set(1);
        Self {
            name,
            kind,
            queues,
            source,
            found: watch::Sender::default(),
            intake: Intake::new(),
            missed: Missed::default(),
            counts: Counts::default(),
            refused: Mutex::default(),
            looks: Looks::default(),
            places: Mutex::default(),
            settings,
            policy,
            ledger,
            figures,
            destinations: Destinations::default(),
            breakers: Mutex::default(),
            rate,
            is_full,
            has_lost: AtomicBool::default(),
            hazards: Mutex::default(),
            looked: Mutex::default(),
            pressures: Mutex::default(),
            throttles: Mutex::default(),
            capped: Mutex::default(),
            floods: Mutex::default(),
            troubles: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its queues, as far as they are found and wanted.
    pub(crate) fn queues(&self) -> Vec<String> {
        self.found.borrow().clone()
    }

    /// Does everything, until it is dropped. What is read and what is written is worked at side by side.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut reading = JoinSet::new();
        let (tail, scan) = (self.clone(), self.clone());
        reading.spawn(async move { tail.tail_for_ever().await });
        reading.spawn(async move { scan.scan_for_ever().await });
        tokio::join!(
            self.write_for_ever(),
            self.count_missed_for_ever(),
            self.redrive_for_ever(),
            self.follow_for_ever(),
            self.send_canaries_for_ever(),
            self.watch_perils_for_ever(),
            self.watch_hazards_for_ever(),
            self.list_for_ever(),
            self.seek_orphans_for_ever(),
            reading.join_all()
        );
    }

    /// Why it does not get on, if it does not.
    pub(crate) fn state(&self) -> Result<(), String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.values().next().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// Notes how a round of a loop went, and returns how long to leave it alone if it came to nothing. Only a change is worth
    /// a line.
    fn went(&self, what: &'static str, round: &Result<(), Trouble>, failures: &mut u32) -> Option<Duration> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match round {
            Ok(()) => {
                if troubles.remove(what).is_some() {
                    tracing::info!(source = self.name, "{what} goes on");
                }
                *failures = 0;
                None
            }
            Err(trouble) => {
                let why = Chain(trouble).to_string();
                if matches!(trouble, Trouble::Source(SourceError::Unmade(_))) && self.waits().is_some() {
                    troubles.remove(what);
                } else if troubles.insert(what, why.clone()).is_none() {
                    tracing::warn!(source = self.name, error = why, "{what} does not get on");
                }
                *failures += 1;
                Some(AWAY.delay(*failures, rand::random()))
            }
        }
    }

    /// Has the breaker of a destination expect nothing of a letter that was not redriven after all.
    fn withdrawn(&self, letter: &LetterId, queue: &str, name: &str) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = breakers.get_mut(&self.destinations.of(queue, name)) {
            breaker.withdrawn(letter.as_str());
        }
    }

    /// Opens the breaker of a destination where failures begin to flood in: what would be redriven would only add to them.
    fn came(&self, failures: BTreeMap<Destination, usize>) {
        let now_ms = now_ms();
        let mut floods = self.floods.lock().unwrap_or_else(PoisonError::into_inner);
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        for (destination, failures) in failures {
            let flood = floods.entry(destination.clone()).or_insert_with(|| Flood::new(now_ms));
            if flood.came(failures, now_ms) {
                let (queue, name) = &destination;
                tracing::warn!(source = self.name, queue, name, "failures flood in; none are redriven for now");
                self.figures.breaker_open.with_label_values(&[queue, name]).set(1);
                self.breaker(&mut breakers, destination).open(now_ms);
            }
        }
    }

    /// The breaker of a destination.
    fn breaker<'b>(&self, breakers: &'b mut BTreeMap<Destination, Breaker>, of: Destination) -> &'b mut Breaker {
        let tells_ends = self.source.manners(&of.0).tells_ends;
        breakers.entry(of).or_insert_with(|| if tells_ends { Breaker::default() } else { Breaker::trusting() })
    }

    /// Feeds the breaker of a destination.
    fn ended(&self, letter: &LetterId, queue: &str, name: &str, was_done: bool) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let destination = self.destinations.of(queue, name);
        let (queue, name) = (&*destination.0, &*destination.1);
        let breaker = self.breaker(&mut breakers, destination.clone());
        let now_ms = now_ms();
        if breaker.ended(letter.as_str(), was_done, now_ms) {
            tracing::warn!(
                source = self.name,
                queue,
                name,
                "redriven jobs go on failing; no more are redriven for now"
            );
        }
        let is_open = breaker.state() != BreakerState::Closed;
        self.figures.breaker_open.with_label_values(&[queue, name]).set(is_open.into());
    }
}

/// Seconds from one time to another, in milliseconds since the epoch; none where clocks differ.
#[expect(clippy::cast_precision_loss, reason = "ages stay far below 2^53")]
fn passed_secs(from_ms: i64, until_ms: i64) -> f64 {
    until_ms.saturating_sub(from_ms).max(0) as f64 / 1000.0
}

/// A length in milliseconds, as far as there is a number for it.
pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
