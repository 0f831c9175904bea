//! Several workloads that are one service together: how it stands by them. Pure.

use std::cmp::Reverse;
use std::sync::Arc;

use super::announcement::Announcement;
use super::board::Board;
use super::entry::{CheckEntry, ServiceEntry};
use super::verdict::{Runtime, Verdict};

/// The replicas of a service, as configured. Each is a service of its own on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// Their names.
    pub names: Vec<Arc<str>>,
    /// How many must work, or the service does not.
    pub quorum: usize,
    /// Whether critical checks ask each of them by itself.
    pub are_checked: bool,
}

/// The service that a replica is one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaOf {
    /// Its name.
    pub whole: Arc<str>,
    /// Where no replica is asked by itself: the checks of the whole whose passes end a start.
    pub asked_with: Option<Vec<Arc<str>>>,
}

/// How one replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing<'a> {
    pub(super) name: &'a str,
    pub(super) verdict: Verdict,
    pub(super) why: &'a str,
}

impl Board {
    /// Returns every service as people know them, in file order: without the replicas that some of them are.
    pub fn wholes(&self) -> impl Iterator<Item = &ServiceEntry> {
        self.services().iter().filter(|service| !service.is_replica())
    }

    /// Returns the names of a service's replicas; none if it runs once.
    pub fn replicas_of(&self, service: &str) -> Vec<Arc<str>> {
        let replicas = self.service(service).and_then(|service| service.spec.replicas.as_ref());
        replicas.map(|replicas| replicas.names.clone()).unwrap_or_default()
    }

    /// Returns the replicas of a service.
    pub fn replicas<'a>(&'a self, service: &'a ServiceEntry) -> impl Iterator<Item = &'a ServiceEntry> {
        let names = service.spec.replicas.iter().flat_map(|replicas| &replicas.names);
        names.filter_map(|name| self.service(name))
    }

    /// Returns how many replicas of a service work; of one that nothing asks by itself, that it runs.
    pub fn working_replicas(&self, service: &ServiceEntry) -> usize {
        self.replicas(service).filter(|replica| replica.as_replica().works()).count()
    }

    /// Returns the replica of a service that is worst off, if one is not as it should be.
    pub fn worst_replica<'a>(&'a self, service: &'a ServiceEntry) -> Option<&'a ServiceEntry> {
        let is_unwell = |replica: &&ServiceEntry| {
            let verdict = replica.as_replica().verdict;
            !is_fine(verdict) && !verdict.is_done()
        };
        // Of several that are as bad the first.
        self.replicas(service).filter(is_unwell).min_by_key(|replica| Reverse(badness(replica.verdict)))
    }

    /// Returns the checks that decide whether a service works: its own critical ones, or else those of its replicas.
    pub fn deciding<'a>(&'a self, service: &'a ServiceEntry) -> Vec<&'a CheckEntry> {
        let own: Vec<&CheckEntry> = service.critical().collect();
        if own.is_empty() { self.replicas(service).flat_map(ServiceEntry::critical).collect() } else { own }
    }

    /// What is announced of a service holds for replicas that come later.
    pub(super) fn announce_to_joiners(&mut self) {
        let wholes: Vec<(Vec<Arc<str>>, Announcement)> = self
            .wholes()
            .filter_map(|whole| Some((whole.spec.replicas.as_ref()?.names.clone(), whole.announced.clone()?)))
            .collect();
        for (names, announced) in wholes {
            for name in names {
                if let Some(replica) = self.service_mut(&name) {
                    let is_older = |known: &Announcement| known.at < announced.at;
                    if replica.announced.as_ref().is_none_or(is_older) {
                        replica.announced = Some(announced.clone());
                    }
                }
            }
        }
    }

    /// Returns how the replicas of a service stand together; none if it has none.
    pub(super) fn together(&self, name: &str) -> Option<Runtime> {
        let whole = self.service(name)?;
        let replicas = whole.spec.replicas.as_ref()?;
        let standings: Vec<Standing<'_>> = self.replicas(whole).map(ServiceEntry::as_replica).collect();
        Some(together(&standings, replicas.quorum))
    }
}

impl Standing<'_> {
    pub(super) fn works(&self) -> bool {
        matches!(self.verdict, Verdict::Up | Verdict::Degraded)
    }
}

/// Returns how a service stands by its replicas: as the worst of the best `quorum` ones does. Those that somebody stopped,
/// or that ran to their end, do not count.
pub(super) fn together(all: &[Standing<'_>], quorum: usize) -> Runtime {
    let mut counted: Vec<&Standing<'_>> = all.iter().filter(|one| !one.verdict.is_done()).collect();
    if counted.is_empty() {
        let was_stopped = all.iter().any(|one| one.verdict == Verdict::Stopped);
        return if was_stopped { Runtime::Stopped } else { Runtime::Completed };
    }
    counted.sort_by_key(|one| badness(one.verdict));
    // Of several that are as bad the first is named.
    let worst = counted.iter().min_by_key(|one| Reverse(badness(one.verdict)));
    let decisive = counted.get(quorum.clamp(1, counted.len()) - 1);
    let (Some(decisive), Some(worst)) = (decisive, worst) else { return Runtime::Completed };
    let cause = said(&counted, all, quorum, worst);
    let stopped = all.iter().filter(|one| one.verdict == Verdict::Stopped).count();
    let is_whole = all.len() - stopped >= quorum && counted.iter().all(|one| is_fine(one.verdict));
    match decisive.verdict {
        Verdict::Up | Verdict::Degraded if is_whole => Runtime::Running,
        Verdict::Up | Verdict::Degraded => Runtime::Impaired { cause },
        Verdict::Starting => Runtime::Starting,
        Verdict::Unknown | Verdict::Stale => Runtime::Unknown { cause },
        Verdict::CrashLooping => Runtime::CrashLooping { cause },
        Verdict::GaveUp => Runtime::GaveUp { cause },
        Verdict::Gone if counted.iter().all(|one| one.verdict == Verdict::Gone) => Runtime::Gone { why: Some(cause) },
        _ => Runtime::Broken { cause },
    }
}

/// Returns the words: how many, what is wrong with the worst, and how many somebody stopped.
fn said(counted: &[&Standing<'_>], all: &[Standing<'_>], quorum: usize, worst: &Standing<'_>) -> String {
    let why = if worst.why.is_empty() { String::new() } else { format!(": {}", worst.why) };
    let worst =
        if is_fine(worst.verdict) { String::new() } else { format!("; {} {}{why}", worst.name, worst.verdict.said()) };
    let stopped = match all.iter().filter(|one| one.verdict == Verdict::Stopped).count() {
        0 => String::new(),
        1 => "; 1 is stopped".to_owned(),
        more => format!("; {more} are stopped"),
    };
    let (count, work) = (all.len(), counted.iter().filter(|one| one.works()).count());
    if work < quorum {
        let verb = if work == 1 { "works" } else { "work" };
        return format!("{work} of {count} replicas {verb}, {quorum} must{worst}{stopped}");
    }
    let unwell = counted.iter().filter(|one| !is_fine(one.verdict)).count();
    let verb = if unwell == 1 { "is" } else { "are" };
    format!("{unwell} of {count} replicas {verb} not well{worst}{stopped}")
}

/// One that starts takes nothing away as long as enough others work.
fn is_fine(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Up | Verdict::Starting)
}

/// Orders verdicts by what is left of a replica; that of a service puts a start before what only is slow.
fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Stopped | Verdict::Completed | Verdict::Up => 0,
        Verdict::Degraded => 1,
        Verdict::Starting => 2,
        Verdict::Unknown | Verdict::Stale => 3,
        Verdict::Gone => 4,
        Verdict::Down => 5,
        Verdict::CrashLooping => 6,
        Verdict::GaveUp => 7,
    }
}

#[cfg(test)]
#[path = "replicas_tests.rs"]
mod on_the_board;

#[cfg(test)]
mod tests {
    use super::*;

    /// The letters are replicas that are up, degraded, starting, unknown, gone, down, looping, given up, or were stopped
    /// (X) or completed (C).
    fn stands(letters: &str, quorum: usize) -> (&'static str, String) {
        let verdict = |letter| match letter {
            'u' => Verdict::Up,
            's' => Verdict::Degraded,
            't' => Verdict::Starting,
            '?' => Verdict::Unknown,
            'g' => Verdict::Gone,
            'd' => Verdict::Down,
            'l' => Verdict::CrashLooping,
            'G' => Verdict::GaveUp,
            'X' => Verdict::Stopped,
            _ => Verdict::Completed,
        };
        let names = ["web.1", "web.2", "web.3"];
        let standings: Vec<Standing<'_>> = letters
            .chars()
            .zip(names)
            .map(|(letter, name)| Standing {
                name,
                verdict: verdict(letter),
                why: if letter == 'd' { "exit 1" } else { "" },
            })
            .collect();
        match together(&standings, quorum) {
            Runtime::Running => ("running", String::new()),
            Runtime::Starting => ("starting", String::new()),
            Runtime::Stopped => ("stopped", String::new()),
            Runtime::Completed => ("completed", String::new()),
            Runtime::Impaired { cause } => ("impaired", cause),
            Runtime::Unknown { cause } => ("unknown", cause),
            Runtime::Broken { cause } => ("broken", cause),
            Runtime::CrashLooping { cause } => ("looping", cause),
            Runtime::GaveUp { cause } => ("gave up", cause),
            Runtime::Gone { why } => ("gone", why.unwrap_or_default()),
            Runtime::None => ("none", String::new()),
        }
    }

    #[test]
    fn a_service_stands_as_the_worst_of_the_best_that_must_work() {
        for (letters, quorum, standing, words) in [
            ("uuu", 1, "running", ""),
            ("uut", 1, "running", ""),
            ("udu", 1, "impaired", "1 of 3 replicas is not well; web.2 is down: exit 1"),
            ("ldu", 1, "impaired", "2 of 3 replicas are not well; web.1 is crash looping"),
            ("ldu", 2, "broken", "1 of 3 replicas works, 2 must; web.1 is crash looping"),
            ("ddu", 2, "broken", "1 of 3 replicas works, 2 must; web.1 is down: exit 1"),
            ("lll", 1, "looping", "0 of 3 replicas work, 1 must; web.1 is crash looping"),
            ("Glu", 3, "gave up", "1 of 3 replicas works, 3 must; web.1 is given up"),
            ("ttd", 1, "starting", ""),
            ("suu", 3, "impaired", "1 of 3 replicas is not well; web.1 is degraded"),
            ("???", 2, "unknown", "0 of 3 replicas work, 2 must; web.1 is unknown"),
            ("?uu", 2, "impaired", "1 of 3 replicas is not well; web.1 is unknown"),
            ("gdd", 2, "broken", "0 of 3 replicas work, 2 must; web.2 is down: exit 1"),
            ("ggg", 2, "gone", "0 of 3 replicas work, 2 must; web.1 is gone"),
        ] {
            assert_eq!(stands(letters, quorum), (standing, words.to_owned()), "{letters}, {quorum} must");
        }
    }

    #[test]
    fn what_somebody_stopped_does_not_count() {
        for (letters, quorum, standing) in [
            ("XXX", 2, "stopped"),
            ("CCC", 2, "completed"),
            ("CXC", 2, "stopped"),
            ("XXu", 1, "running"),
            ("XuX", 2, "impaired"),
            ("XdX", 1, "broken"),
        ] {
            assert_eq!(stands(letters, quorum).0, standing, "{letters}");
        }
        let fewer = "1 of 3 replicas works, 2 must; 2 are stopped";
        assert_eq!(stands("XuX", 2).1, fewer, "what is left works, and is less than must");
    }
}
