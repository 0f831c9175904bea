//! Finds the host's own events: many workloads ending at once is a reboot or an engine upgrade, not many crashes.

use std::collections::BTreeSet;
use std::time::Duration;

use kit::clock::Moment;
use uuid::Uuid;

/// Ends this close together are one event (DESIGN 7).
pub const HOST_EVENT_WINDOW: Duration = Duration::from_secs(10);
/// Fewer services than this are never a host event: on a host of two, half is one ordinary crash.
pub const HOST_EVENT_SERVICES: usize = 3;

/// An unplanned end, seen from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEnd {
    /// The service's id.
    pub service: String,
    /// The run that ended.
    pub run: Uuid,
    /// When.
    pub at: Moment,
}

/// Returns the runs that ended in a host event, in the order of their ends.
///
/// `workloads` is how many services ran on the host. A run belongs to an event if some window of 10 s around its end
/// holds ends of at least half of them, and of no fewer than three different services.
pub fn runs_ended_by_host(ends: &[HostEnd], workloads: usize) -> Vec<Uuid> {
    let needed = workloads.div_ceil(2).max(HOST_EVENT_SERVICES);
    let mut sorted: Vec<&HostEnd> = ends.iter().collect();
    sorted.sort_by_key(|end| end.at);
    let mut found: Vec<Uuid> = Vec::new();
    for (index, first) in sorted.iter().enumerate() {
        let window: Vec<&&HostEnd> =
            sorted.iter().skip(index).take_while(|end| end.at.since(first.at) <= HOST_EVENT_WINDOW).collect();
        let services: BTreeSet<&str> = window.iter().map(|end| end.service.as_str()).collect();
        if services.len() < needed {
            continue;
        }
        for end in window {
            if !found.contains(&end.run) {
                found.push(end.run);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ends` is one `service@second` a word; returns the services whose ends were the host's.
    fn check(workloads: usize, ends: &str, expected: &str) {
        let ends: Vec<HostEnd> = ends
            .split_whitespace()
            .map(|word| {
                let (service, second) = word.split_once('@').unwrap();
                let at = Moment::from_ms(second.parse::<i64>().unwrap() * 1000);
                HostEnd { service: service.into(), run: Uuid::now_v7(), at }
            })
            .collect();
        let found = runs_ended_by_host(&ends, workloads);
        let names: Vec<&str> =
            found.iter().map(|run| ends.iter().find(|end| end.run == *run).unwrap().service.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{workloads} workloads");
    }

    #[test]
    fn half_of_the_workloads_within_ten_seconds_is_the_hosts_doing() {
        check(6, "c@9 a@0 b@10", "a c b");
        check(8, "a@0 b@1 c@2 d@10", "a b c d");
    }

    #[test]
    fn fewer_slower_or_the_same_service_again_is_not() {
        check(8, "a@0 b@1 c@2", "");
        check(6, "a@0 b@5 c@11", "");
        check(6, "a@0 a@1 a@2 b@3", "");
        check(2, "a@0", "");
        check(1, "a@0", "");
    }

    #[test]
    fn an_end_long_before_or_after_does_not_join_the_event() {
        check(6, "z@0 a@60 b@61 c@62 y@100", "a b c");
    }
}
