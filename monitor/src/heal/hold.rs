//! Why a broken service is not restarted by us.

use std::fmt;
use std::time::Duration;

use kit::config::show_duration;

/// A veto.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// A person paused healing.
    Paused {
        /// Who.
        by: String,
    },
    /// People work on it.
    Maintenance(String),
    /// Whoever runs it did not do what was asked.
    Refused {
        /// Why not, with what to do about it.
        why: String,
        /// From now until it is asked again.
        next_try: Duration,
    },
    /// Its start may take its time.
    Starting,
    /// Whoever runs it is about to start it again.
    RestartsByItself,
    /// It ended again and again of late, whoever started it: one restart more would be one more of them.
    Looping,
    /// Somebody wants it so.
    StoppedByHand,
    /// We stopped it because it looped.
    Quarantined,
    /// Its runtime gave it up, and starts it no more.
    RuntimeGaveUp,
    /// It ended, and something still serves in its place.
    StillServes,
    /// Its newest probe does not fail.
    Unsure,
    /// Whoever runs it cannot be asked.
    Unseen,
    /// Something it cannot do without does not work.
    Need(String),
    /// No restart cures this.
    Incurable(String),
    /// It would only write more.
    DiskFull,
    /// It keeps data, and nobody said that it may be restarted.
    Stateful(String),
    /// From somewhere else it works.
    OnlyWeCannotReach(String),
    /// The last restart has not shown yet whether it helped.
    Pending,
    /// Another replica of the same service is being restarted.
    OneAtATime(String),
    /// It was restarted a short time ago.
    TooSoon(Duration),
    /// Restarts of like cause did not help: only slow tries are left, the next after this long.
    GaveUp {
        /// How many restarts did not help.
        heals: usize,
        /// From now until the next try.
        next_try: Duration,
    },
    /// This host has had as many heals in the last minute as it may.
    HostLimit,
}

impl Hold {
    /// Returns the name used in metrics and JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Paused { .. } => "paused",
            Self::Maintenance(_) => "maintenance",
            Self::Refused { .. } => "refused",
            Self::Starting => "starting",
            Self::RestartsByItself => "restarts_by_itself",
            Self::Looping => "looping",
            Self::StoppedByHand => "stopped_by_hand",
            Self::Quarantined => "quarantined",
            Self::RuntimeGaveUp => "runtime_gave_up",
            Self::StillServes => "still_serves",
            Self::Unsure => "unsure",
            Self::Unseen => "unseen",
            Self::Need(_) => "need_down",
            Self::Incurable(_) => "incurable",
            Self::DiskFull => "disk_full",
            Self::Stateful(_) => "stateful",
            Self::OnlyWeCannotReach(_) => "only_we_cannot_reach",
            Self::Pending => "pending",
            Self::OneAtATime(_) => "one_at_a_time",
            Self::TooSoon(_) => "too_soon",
            Self::GaveUp { .. } => "gave_up",
            Self::HostLimit => "host_limit",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused { by } => write!(formatter, "{by} paused healing"),
            Self::Maintenance(window) => formatter.write_str(window),
            Self::Refused { why, next_try } => {
                write!(formatter, "a restart was refused: {why}; asked again in {}", show_duration(*next_try))
            }
            Self::Starting => formatter.write_str("it is still starting"),
            Self::RestartsByItself => formatter.write_str("whoever runs it starts it again by itself"),
            Self::Looping => formatter.write_str("it ends again and again; it is restarted only once that is over"),
            Self::StoppedByHand => formatter.write_str("somebody stopped it"),
            Self::Quarantined => formatter.write_str("it is held in quarantine until healing is resumed"),
            Self::RuntimeGaveUp => formatter.write_str("whoever runs it gave it up"),
            Self::StillServes => formatter.write_str("it ended, and its checks still pass"),
            Self::Unsure => formatter.write_str("its newest probe does not fail"),
            Self::Unseen => formatter.write_str("whoever runs it cannot be asked"),
            Self::Need(need) => write!(formatter, "it needs {need}, which does not work"),
            Self::Incurable(why) => write!(formatter, "no restart cures this: {why}"),
            Self::DiskFull => formatter.write_str("the disk is full, which no restart cures"),
            Self::Stateful(why) => {
                write!(formatter, "{why}; write \"heal: {{ stateful: true }}\" if it may be restarted")
            }
            Self::OnlyWeCannotReach(why) => write!(formatter, "only we cannot reach it: {why}"),
            Self::Pending => formatter.write_str("the last restart has not shown yet whether it helped"),
            Self::OneAtATime(other) => write!(formatter, "{other} is being restarted, and replicas are one at a time"),
            Self::TooSoon(wait) => write!(formatter, "restarted a short time ago; again in {}", show_duration(*wait)),
            Self::GaveUp { heals, next_try } => {
                write!(formatter, "{heals} restarts did not help; next try in {}", show_duration(*next_try))
            }
            Self::HostLimit => formatter.write_str("this host has had its heals for this minute; it comes next"),
        }
    }
}
