//! Exits that are not the service's own fault: the whole host ended, or something it cannot do without was down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::board::{Board, Effects};
use super::entry::ServiceSpec;
use super::workload::Phase;
use crate::supervise::host_event::{HOST_EVENT_WINDOW, HostEnd, runs_ended_by_host};
use crate::supervise::{Excuse, Ledger, Who};

/// A program that loses what it needs may try for so long before it ends.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(120);

impl Board {
    /// Takes exits off the budget if half of the host's workloads ended with them, or half of those of one runtime.
    pub(super) fn excuse_by_host(&mut self, now: Stamp, effects: &mut Effects) {
        let runtimes: BTreeSet<Option<Arc<str>>> =
            self.services().iter().map(|service| service.spec.runtime.clone()).collect();
        let each = runtimes.iter().map(|runtime| self.ended_by_host(now, |spec| spec.runtime == *runtime));
        let ends: Vec<(Arc<str>, HostEnd)> = each.flatten().chain(self.ended_by_host(now, |_| true)).collect();
        for (service, end) in ends {
            self.excuse(&service, |at, _| at == end.at, Excuse::HostEvent, effects);
        }
    }

    /// Returns the ends among some services that were one event. Those that we brought about are none.
    fn ended_by_host(&self, now: Stamp, which: impl Fn(&ServiceSpec) -> bool) -> Vec<(Arc<str>, HostEnd)> {
        // Replicas that die of one thing are one service's trouble.
        let (mut ends, mut workloads) = (Vec::new(), BTreeSet::new());
        for service in self.services().iter().filter(|service| which(&service.spec)) {
            let Some(workload) = &service.workload else { continue };
            let last = workload.ledger.runs().rev().find_map(|run| Some((run.id, run.end.as_ref()?)));
            let ended = last.filter(|(_, end)| !end.planned && now.at.since(end.at.at) <= 2 * HOST_EVENT_WINDOW);
            if ended.is_some() || matches!(workload.phase, Phase::Running { .. }) {
                workloads.insert(service.whole().clone());
            }
            if let Some((run, end)) = ended.filter(|(run, end)| end.by != Who::Us && is_sudden(&workload.ledger, *run))
            {
                ends.push((
                    service.spec.name.clone(),
                    HostEnd { service: service.whole().to_string(), run, at: end.at.at },
                ));
            }
        }
        let all: Vec<HostEnd> = ends.iter().map(|(_, end)| end.clone()).collect();
        let of_host = runs_ended_by_host(&all, workloads.len());
        ends.retain(|(_, end)| of_host.contains(&end.run));
        ends
    }

    /// Takes exits off the budget of services that need `name`, since that began to fail.
    pub(super) fn excuse_dependants(&mut self, name: &str, now: Stamp, effects: &mut Effects) {
        let Some(need) = self.service(name).filter(|need| need.verdict.is_bad()) else { return };
        let failing_since = self.deciding(need).into_iter().filter_map(|check| check.failing_since).min();
        let since = failing_since.unwrap_or(need.since.at);
        let since = since.min(need.since.at);
        for dependant in self.dependants(name) {
            let is_since = |at: Moment, _: Moment| at >= since && now.at.since(at) <= GIVES_UP_WITHIN;
            self.excuse(&dependant, is_since, Excuse::DependencyDown, effects);
        }
    }

    /// Takes the newest exit of a service off the budget if something it needs is down.
    pub(super) fn excuse_by_need(&mut self, name: &str, now: Stamp, effects: &mut Effects) {
        if self.blocker(name).is_some() {
            let is_new = |at: Moment, newest: Moment| at == newest && now.at.since(at) <= GIVES_UP_WITHIN;
            self.excuse(name, is_new, Excuse::DependencyDown, effects);
        }
    }

    /// Returns every service that needs this one, direct and through others.
    fn dependants(&self, name: &str) -> Vec<Arc<str>> {
        let mut found: Vec<Arc<str>> = Vec::new();
        let mut at: Vec<Arc<str>> = vec![name.into()];
        while let Some(need) = at.pop() {
            for service in self.services().iter().filter(|service| service.spec.hard_needs.contains(&need)) {
                let dependant = &service.spec.name;
                if &**dependant != name && !found.contains(dependant) {
                    found.push(dependant.clone());
                    at.push(dependant.clone());
                }
            }
        }
        found
    }

    /// Excuses exits whose time fits; `which` is given that and the time of the newest exit.
    fn excuse(&mut self, service: &str, which: impl Fn(Moment, Moment) -> bool, why: Excuse, effects: &mut Effects) {
        let Some(service) = self.service_mut(service) else { return };
        let Some(workload) = &mut service.workload else { return };
        let ends = workload.ledger.runs().filter_map(|run| Some((run.id, run.end.as_ref()?)));
        let spent: Vec<_> = ends.filter(|(_, end)| end.spends_budget()).map(|(id, end)| (id, end.at.at)).collect();
        let Some((_, newest)) = spent.last().copied() else { return };
        for (run, _) in spent.into_iter().filter(|(_, at)| which(*at, newest)) {
            workload.ledger.excuse(run, why);
            effects.excused.push((service.spec.name.clone(), run, why));
            if !effects.changed_ledgers.contains(&service.spec.name) {
                effects.changed_ledgers.push(service.spec.name.clone());
            }
        }
    }
}

/// Returns whether the end of a run came out of the blue: what dies as soon as it is born, or died a few minutes before
/// too, has a trouble of its own, however many others have theirs at the same time.
fn is_sudden(ledger: &Ledger, id: Uuid) -> bool {
    let mut runs = ledger.runs().rev().skip_while(|run| run.id != id);
    let Some((run, end)) = runs.next().and_then(|run| Some((run, run.end.as_ref()?))) else { return false };
    let before = runs.filter_map(|run| run.end.as_ref()).find(|end| !end.planned);
    let died_before = before.is_some_and(|before| end.at.at.since(before.at.at) <= ledger.policy().loop_window);
    end.at.at.since(run.started.at) >= HOST_EVENT_WINDOW && !died_before
}

#[cfg(test)]
#[path = "excuses_tests.rs"]
mod tests;
