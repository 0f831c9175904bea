//! What an earlier monitor left: streaks, verdicts, ledgers, pushes. Reading it back makes a restart nobody's news.

use std::collections::HashMap;

use jiff::Timestamp;
use kit::clock::Stamp;
use serde::{Deserialize, Serialize};

use crate::judge::{Board, CheckState, Flap, Health, Policy, Verdict};
use crate::probe::{CheckId, Pushed};
use crate::record::{StateBatch, StateStore};
use crate::supervise::{Ledger, Run};

/// Document kinds in the state store.
const CHECK: &str = "check";
const VERDICT: &str = "verdict";
const LEDGER: &str = "ledger";
const PUSH: &str = "push";

#[derive(Debug, Serialize, Deserialize)]
struct CheckDocument {
    established: Option<Health>,
    fails: u32,
    passes: u32,
    recent: u64,
    flap: Flap,
    known_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct VerdictDocument {
    verdict: String,
    why: String,
    since: Timestamp,
}

/// Everything that was read back.
#[derive(Debug, Default)]
pub(super) struct Memory {
    checks: HashMap<String, String>,
    verdicts: HashMap<String, String>,
    ledgers: HashMap<String, String>,
    pushes: HashMap<String, String>,
}

impl Memory {
    /// Reads the store. What cannot be read is missing, and said so.
    pub(super) async fn read(store: &dyn StateStore) -> Self {
        let mut memory = Self::default();
        let kinds = [
            (CHECK, &mut memory.checks),
            (VERDICT, &mut memory.verdicts),
            (LEDGER, &mut memory.ledgers),
            (PUSH, &mut memory.pushes),
        ];
        for (kind, documents) in kinds {
            match store.documents(kind).await {
                Ok(found) => *documents = found,
                Err(error) => tracing::error!(%error, kind, "earlier state cannot be read; going on without it"),
            }
        }
        memory
    }

    /// Returns a check's state, if it was known. News so old that it would be stale does not keep an unfired streak.
    pub(super) fn check(&self, id: &CheckId, policy: &Policy, now: Stamp) -> Option<CheckState> {
        let document: CheckDocument = serde_json::from_str(self.checks.get(&id.to_string())?).ok()?;
        let known_at = document.known_at.map(|wall| now.moment_of(wall));
        let state = CheckState {
            established: document.established,
            fails: document.fails,
            passes: document.passes,
            recent: document.recent,
            flap: document.flap,
            known_at,
            heard_at: known_at,
        };
        let is_old = known_at.is_none_or(|at| now.at.since(at) > policy.stale_after());
        Some(if is_old {
            state.after_gap(now.at)
        } else {
            CheckState { known_at: Some(now.at), heard_at: Some(now.at), ..state }
        })
    }

    /// Gives every service its last verdict back.
    pub(super) fn restore_verdicts(&self, board: &mut Board, now: Stamp) {
        for (service, text) in &self.verdicts {
            let Ok(document) = serde_json::from_str::<VerdictDocument>(text) else { continue };
            let Some(verdict) = Verdict::parse(&document.verdict) else { continue };
            let since = Stamp { at: now.moment_of(document.since), wall: document.since };
            board.restore_verdict(service, verdict, document.why, since);
        }
    }

    /// Returns a service's ledger.
    pub(super) fn ledger(&self, service: &str, now: &Stamp) -> Ledger {
        let rows = self.ledgers.get(service).and_then(|text| serde_json::from_str::<Vec<Run<Timestamp>>>(text).ok());
        Ledger::restore(crate::supervise::bucket::Policy::default(), &rows.unwrap_or_default(), now)
    }

    /// Returns what a job pushed last.
    pub(super) fn pushed(&self, id: &CheckId) -> Option<Pushed> {
        serde_json::from_str(self.pushes.get(&id.to_string())?).ok()
    }
}

/// Adds a check's state to what is to be written.
pub(super) fn keep_check(batch: &mut StateBatch, id: &CheckId, state: &CheckState, now: Stamp) {
    let document = CheckDocument {
        established: state.established,
        fails: state.fails,
        passes: state.passes,
        recent: state.recent,
        flap: state.flap,
        known_at: state.known_at.map(|at| now.wall_of(at)),
    };
    put(batch, CHECK, &id.to_string(), &document);
}

/// Adds a service's verdict.
pub(super) fn keep_verdict(batch: &mut StateBatch, service: &str, verdict: Verdict, why: &str, since: Timestamp) {
    let document = VerdictDocument { verdict: verdict.as_str().to_owned(), why: why.to_owned(), since };
    put(batch, VERDICT, service, &document);
}

/// Adds a service's ledger.
pub(super) fn keep_ledger(batch: &mut StateBatch, service: &str, ledger: &Ledger) {
    put(batch, LEDGER, service, &ledger.rows());
}

/// Adds what a job pushed.
pub(super) fn keep_push(batch: &mut StateBatch, id: &CheckId, pushed: &Pushed) {
    put(batch, PUSH, &id.to_string(), pushed);
}

/// Forgets a check that is not configured any more.
pub(super) fn forget_check(batch: &mut StateBatch, id: &CheckId) {
    batch.documents.insert((CHECK, id.to_string()), None);
}

fn put(batch: &mut StateBatch, kind: &'static str, key: &str, document: &impl Serialize) {
    match serde_json::to_string(document) {
        Ok(text) => {
            batch.documents.insert((kind, key.to_owned()), Some(text));
        }
        Err(error) => tracing::error!(%error, kind, key, "state cannot be written as JSON"),
    }
}
