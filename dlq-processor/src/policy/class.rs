//! What a failure is, as far as redriving goes.

/// The class of a failure: what another try would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// It was surely not done, and another try may work: a refused connection.
    Transient,
    /// It may have been done: a timeout after the request had gone.
    TransientAmbiguous,
    /// Too much was asked at once.
    Throttled,
    /// Whoever was asked did not believe who asks.
    Auth,
    /// The job itself is wrong.
    Malformed,
    /// It takes its worker down.
    Poison,
    /// No rule knows it.
    Unknown,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Transient,
        Self::TransientAmbiguous,
        Self::Throttled,
        Self::Auth,
        Self::Malformed,
        Self::Poison,
        Self::Unknown,
    ];

    /// Returns the one of a name; none if there is no such one.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.word() == word)
    }

    /// Its name in configuration, metrics and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::TransientAmbiguous => "transient_ambiguous",
            Self::Throttled => "throttled",
            Self::Auth => "auth",
            Self::Malformed => "malformed",
            Self::Poison => "poison",
            Self::Unknown => "unknown",
        }
    }
}
