//! Every service that may be healed, with its record: looks at the board and says whom to restart. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp, elapsed};
use uuid::Uuid;

use super::circumstances::{announced, broken_need, works_elsewhere};
use super::decide::{Decision, Host, MINUTE, Situation, decide};
use super::elsewhere::{Elsewhere, Inquiry, Stop};
use super::hold::Hold;
use super::record::{Heal, HealAction, HealRecord, HealResult, Pause};
use super::settings::{HealSettings, HostHealSettings};
use super::stateful::what_keeps_data;
use super::trouble::{Diagnosis, diagnose};
use crate::judge::{Board, ServiceEntry};
use crate::probe::Observation;
use crate::supervise::Command;

/// A heal that is decided comes within this time, by chance: what broke together is not restarted together.
const JITTER: Duration = Duration::from_secs(3);

/// A heal that an earlier monitor wrote down may never have been ordered: it is waited for so long, which is more than most
/// programs take to stop, and then taken back. Whoever is still being stopped is not restarted anyway.
const INHERITED_PATIENCE: Duration = Duration::from_secs(20);

/// Answers that are waited for at once, which bounds the probes and sockets that asking takes. A host has a few heals a
/// minute: whoever comes later is not healed later for it.
const MAX_INQUIRIES: usize = 32;

/// What the configuration says of a service.
#[derive(Debug, Clone)]
pub struct PatientCard {
    /// The service.
    pub service: Arc<str>,
    /// What it asks of healing; none: nothing.
    pub settings: Option<HealSettings>,
    /// Its command or unit, by which it is known whether it keeps data.
    pub runs: Vec<String>,
    /// Where its checks connect to.
    pub stops: Vec<Stop>,
}

/// One service.
#[derive(Debug, Clone, Default)]
pub struct Patient {
    /// What it asks of healing.
    pub settings: Option<HealSettings>,
    /// What was done.
    pub record: HealRecord,
    /// Why it is left alone though something is wrong.
    pub hold: Option<Hold>,
    runs: Vec<String>,
    /// What was heard of it by another way.
    elsewhere: Elsewhere,
    due: Option<Moment>,
    /// The record is not on the disk as it is here.
    is_unwritten: bool,
}

/// What follows from a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// Whom to order what, once it is on the disk.
    pub orders: Vec<(Arc<str>, HealAction)>,
    /// Whom to ask by another way; what was found goes to [`Ward::answered`].
    pub inquiries: Vec<Inquiry>,
    /// Whose record has changed.
    pub changed: Vec<Arc<str>>,
    /// What became clear of earlier heals.
    pub results: Vec<(Arc<str>, HealResult)>,
    /// Who is given up or not any more, with the words for it.
    pub given_up: Vec<(Arc<str>, Option<String>)>,
}

/// All services.
#[derive(Debug, Default)]
pub struct Ward {
    host: HostHealSettings,
    /// Set while a person wants nothing healed.
    paused: Option<Pause>,
    /// What an earlier monitor left of that is known.
    is_restored: bool,
    /// The first look: what was written down before is an earlier monitor's.
    began: Option<Stamp>,
    /// Needs before what needs them.
    order: Vec<Arc<str>>,
    patients: HashMap<Arc<str>, Patient>,
    totals: BTreeMap<HealResult, u64>,
}

impl Ward {
    /// Takes a configuration, its services ordered so that each comes after what it needs. Records stay; of a service
    /// that is new here, `known` gives what an earlier monitor left.
    pub fn configure(&mut self, cards: Vec<PatientCard>, host: HostHealSettings, known: impl Fn(&str) -> HealRecord) {
        self.host = host;
        self.order = cards.iter().map(|card| card.service.clone()).collect();
        let mut before = std::mem::take(&mut self.patients);
        for card in cards {
            let left = || Patient { record: known(&card.service), ..Patient::default() };
            let patient = before.remove(&card.service).unwrap_or_else(left);
            let mut patient = Patient { settings: card.settings, runs: card.runs, ..patient };
            patient.elsewhere.configure(card.stops);
            self.patients.insert(card.service, patient);
        }
    }

    /// Begins with the pause of all healing that an earlier monitor left; later calls change nothing.
    pub fn restore_pause(&mut self, pause: Option<Pause>) {
        if !std::mem::replace(&mut self.is_restored, true) {
            self.paused = pause;
        }
    }

    /// Gives what is kept of a service to another name.
    pub fn rename(&mut self, old: &str, new: &Arc<str>) {
        if let Some(mut patient) = self.patients.remove(old) {
            patient.elsewhere.forget();
            self.patients.insert(new.clone(), patient);
        }
    }

    /// Gives what was done to a workload to the service that it is now. A pause stays with the service that it was said of,
    /// and holds for its replicas.
    pub fn hand_over(&mut self, old: &str, new: &Arc<str>) {
        let heals = self.patients.get_mut(old).map(|patient| std::mem::take(&mut patient.record.heals));
        if let Some(heals) = heals {
            let patient = self.patients.entry(new.clone()).or_default();
            patient.record.heals = heals;
        }
    }

    /// Finds a service.
    pub fn patient(&self, service: &str) -> Option<&Patient> {
        self.patients.get(service)
    }

    /// Returns every service that asks to be healed.
    pub fn patients(&self) -> impl Iterator<Item = (&Arc<str>, &Patient)> {
        let asks = |service| self.patients.get_key_value(service).filter(|(_, patient)| patient.settings.is_some());
        self.order.iter().filter_map(asks)
    }

    /// Returns the pause of all healing that holds at a time.
    pub fn pause(&self, now: Timestamp) -> Option<&Pause> {
        self.paused.as_ref().filter(|pause| pause.holds(now))
    }

    /// Returns the pause of a service that its replicas share, or that of all healing.
    pub fn pause_of(&self, whole: &str, now: Timestamp) -> Option<&Pause> {
        let shared = self.patients.get(whole).and_then(|patient| patient.record.pause(now));
        shared.or_else(|| self.pause(now))
    }

    /// Returns how many heals ended in each way since this monitor started.
    pub fn totals(&self) -> impl Iterator<Item = (HealResult, u64)> {
        HealResult::ALL.into_iter().map(|result| (result, self.totals.get(&result).copied().unwrap_or(0)))
    }

    /// Pauses, or resumes, the healing of one service or of all; what was tried in vain is forgotten with a resumption.
    pub fn set_pause(&mut self, service: Option<&str>, pause: Option<Pause>) {
        let Some(service) = service else {
            self.paused = pause;
            return;
        };
        let Some(patient) = self.patients.get_mut(service) else { return };
        let is_resumed = pause.is_none();
        patient.record.paused = pause;
        if is_resumed {
            patient.record.forgive();
            patient.is_unwritten = true;
        }
    }

    /// Returns whether what was written down is decided anew, now that a moment has passed; if not, it is taken back.
    pub fn is_still_due(
        &mut self,
        board: &Board,
        service: &str,
        action: HealAction,
        maintenance: impl Fn(&str) -> Option<String>,
        now: Stamp,
    ) -> bool {
        let heal = self.patients.get_mut(service).and_then(|patient| patient.record.withdraw(action));
        let decision = self.decide(board, service, maintenance, self.recent(board, now.wall), now);
        let (Some(heal), Some(patient)) = (heal, self.patients.get_mut(service)) else { return false };
        let is_due = matches!(decision, Decision::Act(again, ..) if again == action)
            && board.service(service).is_some_and(|entry| patient.elsewhere.clears(entry, &decision, now.at));
        if is_due {
            patient.record.add(heal);
        } else {
            patient.is_unwritten = true;
        }
        is_due
    }

    /// Notes that whoever runs a service did not do what was ordered, and why.
    pub fn refused(&mut self, service: &str, command: Command, why: &str, now: Timestamp) -> bool {
        let refused = self.patients.get_mut(service).and_then(|patient| patient.record.refused(command, why, now));
        if let Some(result) = refused {
            *self.totals.entry(result).or_default() += 1;
        }
        refused.is_some()
    }

    /// Takes what was found by another way. Returns where a service was found to work, if it was.
    pub fn answered(&mut self, inquiry: &Inquiry, found: &[Observation], now: Moment) -> Option<String> {
        self.patients.get_mut(&inquiry.service)?.elsewhere.answered(inquiry, found, now)
    }

    /// Looks at everybody. `maintenance` tells of the window that covers a service, `random` gives numbers in 0..1.
    pub fn look(
        &mut self,
        board: &Board,
        maintenance: impl Fn(&str) -> Option<String>,
        now: Stamp,
        mut random: impl FnMut() -> f64,
    ) -> Rounds {
        let mut rounds = Rounds::default();
        self.verify(board, now, &mut rounds);
        let mut recent = self.recent(board, now.wall);
        let mut waiting = self.let_lapse(now.at);
        for name in self.order.clone() {
            let Some(service) = board.service(&name) else { continue };
            let decision = self.decide(board, &name, &maintenance, recent, now);
            let Some(patient) = self.patients.get_mut(&name) else { continue };
            let known = service.workload.as_ref().and_then(|workload| workload.given_up.as_ref());
            let gave_up = match &decision {
                Decision::Hold(hold @ Hold::GaveUp { .. }) => Some(hold.to_string()),
                _ => None,
            };
            // A try that runs or is about to is no recovery.
            let is_trying = !matches!(decision, Decision::Nothing | Decision::Hold(Hold::GaveUp { .. }));
            if known.is_some() != gave_up.is_some() && !(known.is_some() && is_trying) {
                rounds.given_up.push((name.clone(), gave_up));
            }
            if waiting < MAX_INQUIRIES
                && let Some(inquiry) = patient.elsewhere.inquire(service, &decision, now.at)
            {
                waiting += 1;
                rounds.inquiries.push(inquiry);
            }
            let is_cleared = patient.elsewhere.clears(service, &decision, now.at);
            patient.hold = None;
            match decision {
                Decision::Nothing => patient.due = None,
                Decision::Hold(hold) => (patient.hold, patient.due) = (Some(hold), None),
                Decision::Act(action, trouble, why) => {
                    let due = *patient.due.get_or_insert_with(|| now.at + JITTER.mul_f64(random().clamp(0.0, 1.0)));
                    if now.at < due || !is_cleared {
                        continue;
                    }
                    patient.due = None;
                    patient.record.add(heal(action, trouble, why, now.wall));
                    recent += usize::from(action != HealAction::Quarantine);
                    rounds.changed.push(name.clone());
                    rounds.orders.push((name, action));
                }
            }
        }
        rounds
    }

    /// Decides about one service. `recent` counts the restarts that this host had in the last minute.
    fn decide(
        &self,
        board: &Board,
        name: &str,
        maintenance: impl Fn(&str) -> Option<String>,
        recent: usize,
        now: Stamp,
    ) -> Decision {
        let (Some(service), Some(patient)) = (board.service(name), self.patients.get(name)) else {
            return Decision::Nothing;
        };
        let Some(settings) = patient.settings else { return Decision::Nothing };
        let need = broken_need(board, service);
        let described = service.workload.as_ref().map(|workload| &workload.described);
        let keeps_data = described.and_then(|described| what_keeps_data(&patient.runs, described));
        let elsewhere = works_elsewhere(service, now).or_else(|| patient.elsewhere.works(service, now.at));
        let window = announced(service, now).or_else(|| maintenance(service.whole()));
        let situation = Situation {
            service,
            settings,
            record: &patient.record,
            keeps_data: keeps_data.as_deref(),
            need: need.as_deref(),
            works_elsewhere: elsewhere.as_deref(),
            maintenance: window.as_deref(),
            sibling: self.sibling_in_work(board, service),
        };
        let paused_by = self.pause_of(service.whole(), now.wall).map(|pause| pause.by.as_str());
        decide(&situation, &Host { settings: self.host, recent, paused_by }, now)
    }

    /// Returns another replica of the same service of which it is not known yet whether a restart helped.
    fn sibling_in_work<'a>(&self, board: &'a Board, service: &'a ServiceEntry) -> Option<&'a str> {
        let whole = board.service(&service.spec.replica_of.as_ref()?.whole)?;
        let in_work = |name: &&str| {
            let last = self.patients.get(*name).and_then(|patient| patient.record.heals.back());
            **name != *service.spec.name && last.is_some_and(|heal| heal.result == HealResult::Pending)
        };
        board.replicas(whole).map(|replica| &*replica.spec.name).find(in_work)
    }

    fn verify(&mut self, board: &Board, now: Stamp, rounds: &mut Rounds) {
        let began = *self.began.get_or_insert(now);
        for (name, patient) in &mut self.patients {
            let Some(service) = board.service(name) else { continue };
            if patient.record.heals.is_empty() && !patient.is_unwritten {
                continue;
            }
            let before = patient.record.clone();
            patient.let_go_of_inherited(service, began, now);
            if let Some(result) = patient.record.verify(service, now) {
                *self.totals.entry(result).or_default() += 1;
                rounds.results.push((name.clone(), result));
            }
            if std::mem::take(&mut patient.is_unwritten) || patient.record != before {
                rounds.changed.push(name.clone());
            }
        }
    }

    /// Waits no more for what should have been heard; returns for how many answers we still wait.
    fn let_lapse(&mut self, now: Moment) -> usize {
        self.patients.values_mut().for_each(|patient| patient.elsewhere.lapse(now));
        self.patients.values().filter(|patient| patient.elsewhere.is_waiting()).count()
    }

    /// Returns how many restarts this host had in the last minute. What was refused is none, unless something ended or
    /// began nevertheless.
    fn recent(&self, board: &Board, now: Timestamp) -> usize {
        let heals = |(name, patient): (&Arc<str>, &Patient)| {
            let last = board.service(name).and_then(|service| service.workload.as_ref()?.ledger.last());
            let ended = last.and_then(|run| run.end.as_ref()).map(|end| end.at.wall);
            let changed = ended.into_iter().chain(last.map(|run| run.started.wall)).max();
            let counts = |heal: &&Heal| {
                let is_undone = heal.result == HealResult::Refused && changed.is_none_or(|changed| changed < heal.at);
                heal.action != HealAction::Quarantine && !is_undone && elapsed(heal.at, now) < MINUTE
            };
            patient.record.heals.iter().rev().take(2).filter(counts).count()
        };
        self.patients.iter().map(heals).sum()
    }
}

impl Patient {
    /// Takes back what an earlier monitor wrote down, if nothing came of it; ours began then.
    fn let_go_of_inherited(&mut self, service: &ServiceEntry, began: Stamp, now: Stamp) {
        let is_inherited = |heal: &&Heal| heal.result == HealResult::Pending && heal.at < began.wall;
        let Some(heal) = self.record.heals.back().filter(is_inherited) else { return };
        let last = service.workload.as_ref().and_then(|workload| workload.ledger.last());
        let is_as_before = last.is_none_or(|run| run.started.wall < heal.at);
        let is_broken = matches!(diagnose(service, now.at), Diagnosis::Trouble(..));
        if is_as_before && is_broken && now.at.since(began.at) >= INHERITED_PATIENCE {
            self.record.withdraw(heal.action);
        }
    }
}

fn heal(action: HealAction, trouble: &str, why: String, at: Timestamp) -> Heal {
    Heal {
        id: Uuid::now_v7(),
        at,
        action,
        trouble: trouble.to_owned(),
        why,
        result: HealResult::Pending,
        settled: None,
        refusal: None,
        forgiven: false,
    }
}

#[cfg(test)]
#[path = "ward_tests.rs"]
mod tests;
