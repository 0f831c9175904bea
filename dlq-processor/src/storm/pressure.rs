//! Whether a queue has room for what would be put back, and how much that may be beside what it does anyway.

/// Share of its server's memory that a queue may be put back into, at most.
const FULL_RATIO: f64 = 0.8;
/// Redrives a second that nobody asked for, at least: a queue that does nothing else must get on, too.
const FLOOR: f64 = 1.0;

/// How busy a queue is, as far as its server says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Jobs that wait.
    pub waiting: u64,
    /// Whether its workers take nothing for now.
    pub is_paused: bool,
    /// Workers that are connected; none if that cannot be known.
    pub workers: Option<u64>,
    /// How much of its memory the server uses, from 0 to 1; none without a limit.
    pub memory_ratio: Option<f64>,
    /// Jobs that were done in the last minute; none if that cannot be known.
    pub done: Option<u64>,
}

/// How busy it may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Jobs that wait, at most.
    pub waiting: u64,
    /// Whether it is put back into while nobody works.
    pub without_workers: bool,
    /// Redrives that nobody asked for, as a share of what is done, from 0 to 1; none for as many as there are.
    pub share: Option<f64>,
}

/// Why nothing is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Its workers take nothing.
    Paused,
    /// It has none.
    NoWorkers,
    /// Too much waits there already.
    Backlog,
    /// Its server has little memory left.
    Memory,
    /// It is not there.
    Absent,
}

impl Pressure {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Paused, Self::NoWorkers, Self::Backlog, Self::Memory, Self::Absent];

    /// Its name in metrics and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::NoWorkers => "no_workers",
            Self::Backlog => "backlog",
            Self::Memory => "memory",
            Self::Absent => "absent",
        }
    }
}

impl Load {
    /// Returns why nothing should be put back now, if so.
    pub fn pressure(&self, limits: &Limits) -> Option<Pressure> {
        let is_full = self.memory_ratio.is_some_and(|ratio| ratio > FULL_RATIO);
        let found = [
            (Pressure::Memory, is_full),
            (Pressure::Paused, self.is_paused),
            (Pressure::NoWorkers, self.workers == Some(0) && !limits.without_workers),
            (Pressure::Backlog, self.waiting >= limits.waiting),
        ];
        found.into_iter().find_map(|(pressure, is_so)| is_so.then_some(pressure))
    }

    /// Returns how many redrives a second nobody need ask for; none for as many as there are.
    pub fn budget(&self, limits: &Limits) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "jobs of one minute")]
        let per_second = self.done? as f64 / 60.0;
        Some((per_second * limits.share?).max(FLOOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { waiting: 100, without_workers: false, share: Some(0.1) };

    #[test]
    fn nothing_is_put_back_where_it_would_only_wait_or_do_harm() {
        let load = Load { waiting: 7, workers: Some(2), memory_ratio: Some(0.5), ..Load::default() };
        for (load, expected) in [
            (load, None),
            (Load::default(), None),
            (Load { waiting: 100, ..load }, Some(Pressure::Backlog)),
            (Load { is_paused: true, ..load }, Some(Pressure::Paused)),
            (Load { workers: Some(0), ..load }, Some(Pressure::NoWorkers)),
            (Load { memory_ratio: Some(0.81), is_paused: true, ..load }, Some(Pressure::Memory)),
        ] {
            assert_eq!(load.pressure(&LIMITS), expected, "{load:?}");
        }
        let nobody = Load { workers: Some(0), ..load };
        assert_eq!(nobody.pressure(&Limits { without_workers: true, ..LIMITS }), None);
    }

    #[test]
    fn redrives_are_a_share_of_what_is_done_and_at_least_one_a_second() {
        let budget = |done, share| Load { done, ..Load::default() }.budget(&Limits { share, ..LIMITS });
        assert_eq!(budget(Some(6_000), Some(0.1)), Some(10.0));
        assert_eq!(budget(Some(0), Some(0.1)), Some(1.0));
        assert_eq!(budget(None, Some(0.1)), None, "nobody knows");
        assert_eq!(budget(Some(6_000), None), None);
    }
}
