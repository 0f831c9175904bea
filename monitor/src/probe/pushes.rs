//! What watched jobs pushed last, by check. The one place where a probe's answer comes to us instead of being fetched.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::observation::CheckId;

/// What a job said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// It began.
    Start,
    /// It ended well.
    Success,
    /// It ended badly, with its exit code if it gave one.
    Fail(Option<i32>),
}

/// The last signals of one job, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// When we first knew of the check: the first deadline counts from here.
    pub known_since: Timestamp,
    /// The last start that no end followed.
    pub started: Option<Timestamp>,
    /// The last end and how it was.
    pub ended: Option<(Timestamp, Signal)>,
    /// The first line the job sent with it, at most 200 characters.
    pub message: Option<String>,
}

impl Pushed {
    /// A job that has said nothing yet.
    pub fn new(known_since: Timestamp) -> Self {
        Self { known_since, started: None, ended: None, message: None }
    }
}

/// All pushed jobs. The record keeps it on disk; probes only read.
#[derive(Debug, Default)]
pub struct Pushes {
    jobs: Mutex<HashMap<CheckId, Pushed>>,
}

impl Pushes {
    /// Makes a check known, with what is stored of it if anything.
    pub fn know(&self, check: &CheckId, pushed: Pushed) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).entry(check.clone()).or_insert(pushed);
    }

    /// Forgets a check that is not configured any more.
    pub fn forget(&self, check: &CheckId) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(check);
    }

    /// Returns what a check last heard.
    pub fn of(&self, check: &CheckId) -> Option<Pushed> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(check).cloned()
    }

    /// Takes a signal and returns the new state, or `None` for an unknown check.
    pub fn push(&self, check: &CheckId, signal: Signal, message: Option<String>, now: Timestamp) -> Option<Pushed> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let pushed = jobs.get_mut(check)?;
        match signal {
            Signal::Start => pushed.started = Some(now),
            end => {
                pushed.started = None;
                pushed.ended = Some((now, end));
            }
        }
        pushed.message = message;
        Some(pushed.clone())
    }
}
