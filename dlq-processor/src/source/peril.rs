//! What makes a queue unsafe for its dead letters.

/// What is wrong with a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peril {
    /// The queue.
    pub queue: String,
    /// What kind of peril.
    pub kind: PerilKind,
    /// One sentence for a person: what is so, and what to do.
    pub why: String,
}

/// Kinds of perils.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PerilKind {
    /// Failures are thrown away before they are read.
    Retention,
    /// Somebody else takes what is dead.
    Workers,
    /// Its layout is not known.
    Version,
}

impl PerilKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Retention, Self::Workers, Self::Version];

    /// Its name in configuration, metrics and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Workers => "workers",
            Self::Version => "version",
        }
    }
}
