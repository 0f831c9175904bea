//! Whether to restart a service now: a trouble that a restart can cure, and not one veto.

use std::time::Duration;

use kit::clock::Stamp;

use super::hold::Hold;
use super::record::{HealAction, HealRecord, HealResult};
use super::settings::{HealSettings, HostHealSettings};
use super::trouble::{Diagnosis, Trouble, diagnose, has_time};
use crate::judge::ServiceEntry;

/// Heals are counted over this long.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// All that bears on one service.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// How it stands.
    pub service: &'a ServiceEntry,
    /// What it asks of healing.
    pub settings: HealSettings,
    /// What was done before.
    pub record: &'a HealRecord,
    /// Why it is believed to keep data.
    pub keeps_data: Option<&'a str>,
    /// A hard need, direct or through others, that does not work or is not known to.
    pub need: Option<&'a str>,
    /// Why it is believed to work, seen from somewhere else.
    pub works_elsewhere: Option<&'a str>,
    /// The maintenance window that covers it.
    pub maintenance: Option<&'a str>,
    /// Another replica of the same service that is being restarted.
    pub sibling: Option<&'a str>,
}

/// The host that it runs on.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// Its limits.
    pub settings: HostHealSettings,
    /// Heals of the last minute.
    pub recent: usize,
    /// Who paused all healing.
    pub paused_by: Option<&'a str>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is nothing to do.
    Nothing,
    /// Something is wrong, and we leave it alone.
    Hold(Hold),
    /// Do this, against this trouble; with the words of whoever found it.
    Act(HealAction, &'static str, String),
}

/// Decides about one service.
pub fn decide(situation: &Situation<'_>, host: &Host<'_>, now: Stamp) -> Decision {
    if let Some(why) = quarantine(situation, now) {
        return match paused(situation, host, now) {
            Some(hold) => Decision::Hold(hold),
            None => Decision::Act(HealAction::Quarantine, "loop", why),
        };
    }
    let (trouble, why) = match diagnose(situation.service, now.at) {
        Diagnosis::Well => return Decision::Nothing,
        Diagnosis::Hold(hold) => return Decision::Hold(hold),
        Diagnosis::Trouble(trouble, why) => (trouble, why),
    };
    match veto(situation, host, trouble, now) {
        Some(hold) => Decision::Hold(hold),
        None => {
            let ended = matches!(trouble, Trouble::Exit(_));
            let action = if ended { HealAction::Start } else { HealAction::Restart };
            Decision::Act(action, trouble.name(), why)
        }
    }
}

/// The vetoes, in the order in which a person would want to hear of them.
fn veto(situation: &Situation<'_>, host: &Host<'_>, trouble: Trouble, now: Stamp) -> Option<Hold> {
    if let Some(hold) = paused(situation, host, now) {
        return Some(hold);
    }
    if let Some(need) = situation.need {
        return Some(Hold::Need(need.to_owned()));
    }
    if let Some(why) = situation.keeps_data.filter(|_| !situation.settings.stateful) {
        return Some(Hold::Stateful(why.to_owned()));
    }
    if let Some(why) = situation.works_elsewhere.filter(|_| !matches!(trouble, Trouble::Exit(_))) {
        return Some(Hold::OnlyWeCannotReach(why.to_owned()));
    }
    if situation.record.heals.back().is_some_and(|heal| heal.result == HealResult::Pending) {
        return Some(Hold::Pending);
    }
    if let Some(sibling) = situation.sibling.filter(|_| !matches!(trouble, Trouble::Exit(_))) {
        return Some(Hold::OneAtATime(sibling.to_owned()));
    }
    if let Some((why, next_try)) = situation.record.refusal(now.wall) {
        return Some(Hold::Refused { why: why.to_owned(), next_try });
    }
    too_soon(situation, trouble, now).or_else(|| (host.recent >= host.settings.per_minute).then_some(Hold::HostLimit))
}

fn paused(situation: &Situation<'_>, host: &Host<'_>, now: Stamp) -> Option<Hold> {
    let own = situation.record.pause(now.wall).map(|pause| pause.by.as_str());
    let by_person = own.or(host.paused_by).map(|by| Hold::Paused { by: by.to_owned() });
    by_person.or_else(|| situation.maintenance.map(|window| Hold::Maintenance(window.to_owned())))
}

fn too_soon(situation: &Situation<'_>, trouble: Trouble, now: Stamp) -> Option<Hold> {
    let workload = situation.service.workload.as_ref()?;
    let level = workload.assessment(now.at).level;
    let (wait, gave_up) = situation.record.wait(trouble.name(), level, workload.ledger.policy(), now.wall);
    match (wait.is_zero(), gave_up) {
        (true, _) => None,
        (false, true) => Some(Hold::GaveUp { heals: situation.record.in_vain(trouble.name()), next_try: wait }),
        (false, false) => Some(Hold::TooSoon(wait)),
    }
}

/// Returns why it should be stopped and held: it has died so often that it would be given up. Whom a person let go has
/// its start grace, and loops anew only by new exits; whoever refuses to stop it is asked again after a while.
fn quarantine(situation: &Situation<'_>, now: Stamp) -> Option<String> {
    let service = situation.service;
    let workload = service.workload.as_ref().filter(|_| situation.settings.quarantine)?;
    let last = situation.record.heals.back();
    let is_ordered = last.is_some_and(|heal| heal.result == HealResult::Pending);
    let is_refused = situation.record.refusal(now.wall).is_some();
    let held = situation.record.done().find(|heal| heal.action == HealAction::Quarantine);
    let ends = workload.ledger.runs().filter_map(|run| run.end.as_ref()).filter(|end| end.spends_budget());
    let since = ends.filter(|end| held.is_none_or(|heal| end.at.wall > heal.at)).count();
    let loops = workload.unseen.is_none()
        && workload.assessment(now.at).gave_up
        && since >= workload.ledger.policy().loop_exits;
    let is_due = workload.phase.goes_on()
        && loops
        && !is_ordered
        && !is_refused
        && !service.is_ready()
        && !has_time(service, now.at);
    is_due.then(|| workload.last_told.clone().unwrap_or_default())
}
