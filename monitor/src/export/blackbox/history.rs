//! The last results, and beside them the last failures, which the many successes after them do not push out.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use crate::probe::blackbox::{Module, Probed, without_userinfo};

/// One result that can be looked at. Its text is made when somebody looks.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) module: Arc<Module>,
    pub(super) target: String,
    pub(super) at: Timestamp,
    pub(super) probed: Probed,
}

impl Kept {
    /// The target without user and password.
    pub(super) fn shown_target(&self) -> String {
        kit::secrets::redact(&without_userinfo(&self.target)).into_owned()
    }
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct History {
    next: u64,
    last: VecDeque<Arc<Kept>>,
    /// Failures that were pushed out of `last`.
    failed: VecDeque<Arc<Kept>>,
}

impl History {
    /// Returns the number of the next result; they count up from 0.
    pub(super) fn number(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    /// Keeps one, and `most` in all of each kind.
    pub(super) fn keep(&mut self, kept: Arc<Kept>, most: usize) {
        self.last.push_back(kept);
        while self.last.len() > most {
            let oldest = self.last.pop_front();
            self.failed.extend(oldest.filter(|oldest| !oldest.probed.success));
        }
        while self.failed.len() > most {
            self.failed.pop_front();
        }
    }

    /// Finds a result by its number.
    pub(super) fn find(&self, id: u64) -> Option<Arc<Kept>> {
        self.last.iter().chain(&self.failed).find(|kept| kept.id == id).cloned()
    }

    /// Finds the newest of a target, of this module or of any.
    pub(super) fn find_target(&self, target: &str, module: Option<&str>) -> Option<Arc<Kept>> {
        let is_wanted =
            |kept: &&Arc<Kept>| kept.target == target && module.is_none_or(|module| kept.module.name == module);
        self.last.iter().rev().chain(self.failed.iter().rev()).find(is_wanted).cloned()
    }

    /// Returns everything, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Kept>> {
        self.last.iter().rev().chain(self.failed.iter().rev()).cloned().collect()
    }
}
