//! How far a letter has come.

/// The state of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LetterState {
    /// What would be done is known; nothing is done, since nobody opted into it.
    Observed,
    /// It is redriven when it is due.
    Scheduled,
    /// It waits for a person, or for what stopped it to be over.
    Parked,
    /// It waits for a person who says so by name.
    Quarantined,
    /// It waits for a person, who was told at once.
    Escalated,
    /// It is about to be redriven, or was: nobody has said yet.
    Intended,
    /// It is back in its queue.
    Redriven,
    /// It was done after all.
    Resolved,
    /// It failed again, which is another letter.
    Recurred,
    /// Somebody else put it back or removed it.
    Withdrawn,
    /// Whether it was redriven cannot be known any more.
    Uncertain,
    /// A person has given it up; what it held is kept for a while.
    Discarded,
    /// Nobody dealt with it for a long time; what it held is here or in a file.
    Expired,
}

impl LetterState {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Observed,
        Self::Scheduled,
        Self::Parked,
        Self::Quarantined,
        Self::Escalated,
        Self::Intended,
        Self::Redriven,
        Self::Resolved,
        Self::Recurred,
        Self::Withdrawn,
        Self::Uncertain,
        Self::Discarded,
        Self::Expired,
    ];

    /// Its name in the ledger, in metrics and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Scheduled => "scheduled",
            Self::Parked => "parked",
            Self::Quarantined => "quarantined",
            Self::Escalated => "escalated",
            Self::Intended => "intended",
            Self::Redriven => "redriven",
            Self::Resolved => "resolved",
            Self::Recurred => "recurred",
            Self::Withdrawn => "withdrawn",
            Self::Uncertain => "uncertain",
            Self::Discarded => "discarded",
            Self::Expired => "expired",
        }
    }
}
