//! What a queue's load says: why nothing would be put back into it now.

use super::{Finding, Mark};
use crate::storm::{Limits, Load, Pressure};

/// Says why nothing would be put back into a queue, if so.
pub(super) fn say_load(source: &str, queue: &str, load: Load, limits: &Limits) -> Option<Finding> {
    let (mark, sentence) = match load.pressure(limits)? {
        Pressure::Memory => {
            let percent = load.memory_ratio.unwrap_or_default() * 100.0;
            (
                Mark::Wrong,
                format!("its server uses {percent:.0} % of its memory; make room, or give it more (maxmemory)"),
            )
        }
        Pressure::Paused => (Mark::Note, "it is paused; resume it for something to be redriven".to_owned()),
        Pressure::NoWorkers => (Mark::Note, "no worker is there; start one for something to be redriven".to_owned()),
        // What has a load is there.
        Pressure::Absent => return None,
        Pressure::Backlog => {
            let waiting = load.waiting;
            (Mark::Note, format!("{waiting} jobs wait in it already; have more workers, or raise max_waiting"))
        }
    };
    Some(Finding::new(mark, source, Some(queue), &sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_that_runs_out_is_wrong_and_what_people_do_is_a_note() {
        let limits = Limits { waiting: 10, without_workers: false, share: None };
        let fine = Load { workers: Some(1), ..Load::default() };
        assert_eq!(say_load("jobs", "mails", fine, &limits), None);
        for (load, mark, expected) in [
            (Load { memory_ratio: Some(0.9), ..fine }, Mark::Wrong, "its server uses 90 % of its memory"),
            (Load { is_paused: true, ..fine }, Mark::Note, "it is paused"),
            (Load { workers: Some(0), ..fine }, Mark::Note, "no worker is there"),
            (Load { waiting: 11, ..fine }, Mark::Note, "11 jobs wait in it already"),
        ] {
            let found = say_load("jobs", "mails", load, &limits).unwrap();
            assert_eq!((found.mark, found.finding.as_str()), (mark, expected));
        }
    }
}
