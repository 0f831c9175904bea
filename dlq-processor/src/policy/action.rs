//! What is done with a letter, and why.

use std::time::Duration;

use super::class::Class;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is redriven after this long, as soon as rate, budget and breaker allow.
    Redrive(Duration),
    /// It waits for a person, or for what stopped it to be over.
    Park,
    /// It waits for a person who says so by name, and is let out alone.
    Quarantine,
    /// It waits for a person, who is told at once.
    Escalate,
}

impl Action {
    /// Its name in metrics, answers and the audit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Redrive(_) => "redrive",
            Self::Park => "park",
            Self::Quarantine => "quarantine",
            Self::Escalate => "escalate",
        }
    }
}

/// Whom a decision wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Nobody.
    None,
    /// Once for all failures that are alike.
    Ticket,
    /// At once.
    Page,
}

impl Alarm {
    /// Its name in the ledger and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

/// Why it is not redriven, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its class says so.
    Class,
    /// It may have been done, and nobody said that doing it twice does no harm.
    MayBeDone,
    /// It failed too long before it was seen for the first time.
    Old,
    /// It was redriven as often as it may be.
    TriesSpent,
    /// Its first failure is too long ago.
    TimeSpent,
    /// It is part of a flow, and is put back only while its parent waits for it.
    Flow,
}

impl Reason {
    /// Its name in metrics, answers and the audit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::MayBeDone => "may_be_done",
            Self::Old => "old",
            Self::TriesSpent => "tries_spent",
            Self::TimeSpent => "time_spent",
            Self::Flow => "flow",
        }
    }
}

/// A decision, with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rule that knew the failure; none if no rule did.
    pub rule: Option<String>,
    /// What the failure is.
    pub class: Class,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Whom it wakes.
    pub alarm: Alarm,
}
