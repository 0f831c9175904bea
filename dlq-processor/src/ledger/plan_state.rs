//! How far a plan can come, and the steps between.

/// How far a plan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanState {
    /// It is known what would be done.
    Dry,
    /// It is carried out.
    Running,
    /// It goes on when somebody says so.
    Paused,
    /// Too many of its letters failed again.
    Stopped,
    /// Somebody has ended it.
    Cancelled,
    /// All of it is done.
    Done,
}

impl PlanState {
    /// Its name in the ledger and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dry => "dry",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

/// What is done with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It begins.
    Apply,
    /// It waits; what was not yet redriven is taken back.
    Pause,
    /// It goes on.
    Resume,
    /// It ends; what was not yet redriven is taken back.
    Cancel,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Apply, Self::Pause, Self::Resume, Self::Cancel];

    /// Its name in paths, in the audit and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    pub(super) fn from(self) -> &'static [&'static str] {
        match self {
            Self::Apply => &["dry"],
            Self::Pause => &["running"],
            Self::Resume => &["paused", "stopped"],
            Self::Cancel => &["dry", "running", "paused", "stopped"],
        }
    }

    pub(super) fn to(self) -> PlanState {
        match self {
            Self::Apply | Self::Resume => PlanState::Running,
            Self::Pause => PlanState::Paused,
            Self::Cancel => PlanState::Cancelled,
        }
    }
}
