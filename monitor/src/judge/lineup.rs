//! Who is on the board: as a configuration says, with what an earlier one or an earlier monitor knew. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use kit::clock::Stamp;

use super::board::Board;
use super::check::{CheckState, Health};
use super::entry::{CheckEntry, ServiceEntry, ServiceSpec, Versions};
use super::verdict::Verdict;
use super::workload::WorkloadState;
use crate::probe::CheckId;

impl Board {
    /// Takes a new configuration: services and checks that stay keep what is known of them, unless `restored` knows more
    /// of a check that is new.
    pub fn configure(
        &mut self,
        specs: Vec<ServiceSpec>,
        now: Stamp,
        mut restored: impl FnMut(&CheckId) -> Option<CheckState>,
    ) {
        let mut known: Vec<ServiceEntry> = std::mem::take(&mut self.services);
        for spec in specs {
            let before =
                known.iter().position(|service| service.spec.name == spec.name).map(|index| known.swap_remove(index));
            let announced = before.as_ref().and_then(|entry: &ServiceEntry| entry.announced.clone());
            let (mut checks_before, workload, verdict, why, since, is_known) = match before {
                Some(entry) => (entry.checks, entry.workload, entry.verdict, entry.why, entry.since, entry.is_known),
                None => (Vec::new(), None, Verdict::Unknown, "not asked yet".to_owned(), now, false),
            };
            let checks = spec.checks.iter().map(|check| {
                let id = CheckId { service: spec.name.clone(), check: check.name.clone() };
                // Another question's answers say nothing: its state begins anew.
                let known = |entry: &CheckEntry| entry.id == id && entry.generation == check.generation;
                let kept = checks_before.iter().position(known).map(|index| checks_before.swap_remove(index));
                kept.map(|entry| CheckEntry { policy: check.policy, ..entry }).unwrap_or_else(|| {
                    let state = restored(&id).unwrap_or_default();
                    let health = state.health(&check.policy, now.at);
                    CheckEntry {
                        id,
                        policy: check.policy,
                        pushed: check.pushed,
                        generation: check.generation,
                        fresh_push: None,
                        state,
                        health,
                        since: now,
                        last: None,
                        failing_since: None,
                        blind_since: Some(now.at).filter(|_| matches!(health, Health::Unknown | Health::Stale)),
                        pass_starts: VecDeque::new(),
                        version: Versions::default(),
                    }
                })
            });
            let checks = checks.collect();
            let workload = if spec.start_grace.is_some() { Some(workload.unwrap_or_default()) } else { None };
            self.services.push(ServiceEntry {
                spec,
                checks,
                workload,
                together: None,
                verdict,
                why,
                since,
                blocked_by: None,
                announced,
                discrepancy: None,
                is_known,
            });
        }
        let names = self.services.iter().map(|service| service.spec.name.clone());
        self.places = names.zip(0..).collect();
        self.announce_to_joiners();
    }

    /// Gives what is known of a service to another name, before the configuration that names it so is taken.
    pub fn rename(&mut self, old: &str, new: &Arc<str>) {
        if self.places.contains_key(new) {
            return;
        }
        let Some(place) = self.places.remove(old) else { return };
        self.places.insert(new.clone(), place);
        if let Some(service) = self.services.get_mut(place) {
            service.spec.name = new.clone();
            for check in &mut service.checks {
                check.id.service = new.clone();
            }
        }
    }

    /// Gives a service the workload state (its ledger above all) that an earlier monitor left.
    pub fn restore_workload(&mut self, name: &str, state: WorkloadState) {
        if let Some(workload) = self.service_mut(name).and_then(|service| service.workload.as_mut()) {
            *workload = state;
        }
    }

    /// Gives a service the verdict that an earlier monitor last wrote, so that a restart is no change.
    pub fn restore_verdict(&mut self, name: &str, verdict: Verdict, why: String, since: Stamp) {
        if let Some(service) = self.service_mut(name) {
            (service.verdict, service.why, service.since, service.is_known) = (verdict, why, since, true);
        }
    }
}
