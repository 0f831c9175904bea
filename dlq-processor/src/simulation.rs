//! What another policy would have done with letters that there are. Pure: it reads nothing, and changes nothing.
//!
//! A letter is decided on as it was taken in, as far as people may see it: of an earlier failure of its job only what is among the
//! same letters is known, and of a job in a flow only that the daemon's own policy came upon that.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ledger::Listed;
use crate::policy::{ErrorFacts, Letter, Past, Policy};

/// Letters that are looked at, at most.
pub(crate) const MOST: usize = 50_000;
/// How far back is looked unless somebody says otherwise.
pub(crate) const SINCE: &str = "7d";
/// Examples of each change.
const EXAMPLES: usize = 3;

/// What of a letter, as the API gives it, counts here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Taken {
    pub(crate) id: String,
    source: String,
    pub(crate) queue: String,
    job: String,
    pub(crate) name: String,
    failed_at_ms: i64,
    seen_at_ms: i64,
    pub(crate) message: String,
    stack: Option<String>,
    stalls: i64,
    pub(crate) class: String,
    action: String,
    reason: String,
    redrives: i64,
}

/// What was done, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    pub(crate) was: String,
    pub(crate) would_be: &'static str,
}

/// Letters with the same change.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) letters: i64,
    pub(crate) examples: Vec<Taken>,
}

/// What becomes of letters.
#[derive(Debug, Default)]
pub(crate) struct Simulation {
    /// When each job failed first.
    firsts: HashMap<[String; 3], i64>,
    pub(crate) changes: BTreeMap<Change, Changed>,
    /// Letters that are left out since a person has said what is done with them.
    pub(crate) by_people: i64,
}

impl From<Listed> for Taken {
    fn from(listed: Listed) -> Self {
        let Listed { id, source, queue, job, name, failed_at_ms, seen_at_ms, message, stack, .. } = listed;
        let Listed { stalls, class, action, reason, redrives, .. } = listed;
        Self {
            id,
            source,
            queue,
            job,
            name,
            failed_at_ms,
            seen_at_ms,
            message,
            stack,
            stalls,
            class,
            action,
            reason,
            redrives,
        }
    }
}

impl Taken {
    fn job_key(&self) -> [String; 3] {
        [self.source.clone(), self.queue.clone(), self.job.clone()]
    }

    /// How much it takes to hold, in bytes, but for what is short in each.
    pub(crate) fn bytes(&self) -> usize {
        self.message.len() + self.stack.as_ref().map_or(0, String::len)
    }
}

impl Simulation {
    /// One that has decided on nothing of these letters yet.
    pub(crate) fn of(letters: &[Taken]) -> Self {
        let mut simulation = Self::default();
        for letter in letters {
            let first = simulation.firsts.entry(letter.job_key()).or_insert(letter.failed_at_ms);
            *first = letter.failed_at_ms.min(*first);
        }
        simulation
    }

    /// Decides on one of them.
    pub(crate) fn decide(&mut self, letter: Taken, policy: &Policy) {
        if letter.reason == "asked" && matches!(letter.action.as_str(), "quarantine" | "redrive") {
            self.by_people += 1;
            return;
        }
        let first = self.firsts.get(&letter.job_key()).copied().unwrap_or(letter.failed_at_ms);
        let would_be = action(&letter, first, policy);
        let changed = self.changes.entry(Change { was: letter.action.clone(), would_be }).or_default();
        changed.letters += 1;
        if changed.examples.len() < EXAMPLES && letter.action != would_be {
            changed.examples.push(letter);
        }
    }

    /// Returns it as the API and the command line give it; `is_all` says whether no letter was left out for being one too many.
    pub(crate) fn to_json(&self, is_all: bool) -> Value {
        let change = |(change, changed): (&Change, &Changed)| {
            let examples: Vec<&str> = changed.examples.iter().map(|letter| letter.id.as_str()).collect();
            json!({ "was": change.was, "would_be": change.would_be, "letters": changed.letters, "examples": examples })
        };
        let actions: Vec<Value> = self.changes.iter().map(change).collect();
        json!({ "actions": actions, "said_by_people": self.by_people, "is_all": is_all })
    }
}

fn action(taken: &Taken, first_failed_at_ms: i64, policy: &Policy) -> &'static str {
    let at = |ms| Timestamp::from_millisecond(ms).unwrap_or_default();
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let letter = Letter {
        queue: taken.queue.clone(),
        name: taken.name.clone(),
        error: ErrorFacts::read(Some(&taken.message), taken.stack.as_deref()),
        stalls: count(taken.stalls),
        is_in_flow: taken.reason == "flow",
        failed_at: at(taken.failed_at_ms),
        seen_at: at(taken.seen_at_ms),
    };
    let past = Past { redrives: count(taken.redrives), first_failed_at: at(first_failed_at_ms) };
    // How long it would wait does not matter here.
    policy.decide(&letter, past, letter.seen_at, 1.0).action.word()
}
