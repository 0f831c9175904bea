//! A service's heals as its page shows them: what was tried, what came of it, and what keeps us from trying.

use std::cmp::Reverse;

use kit::page::Tone;

use super::{Moment, When};
use crate::export::shared::Shared;
use crate::heal::{Heal, HealAction, HealResult, Pause};
use crate::judge::ServiceEntry;

/// Heals that are listed, newest first.
const LISTED: usize = 10;

/// What the template shows.
pub(super) struct HealingView {
    /// One line that says how it stands.
    pub(super) stands: String,
    /// Paused, or held in quarantine: somebody may resume it.
    pub(super) can_resume: bool,
    pub(super) heals: Vec<HealView>,
}

/// One heal in the table.
pub(super) struct HealView {
    pub(super) at: When,
    pub(super) what: &'static str,
    pub(super) why: String,
    pub(super) tone: Tone,
    pub(super) result: &'static str,
}

/// Makes it; none if neither the service nor its replicas ask to be healed.
pub(super) fn view(shared: &Shared, entry: &ServiceEntry, moment: &Moment) -> Option<HealingView> {
    let ward = shared.ward();
    let now = moment.now.wall;
    let patient = ward.patient(&entry.spec.name)?;
    let pause = patient.record.pause(now).or_else(|| ward.pause_of(entry.whole(), now));
    if let Some(replicas) = &entry.spec.replicas {
        let patients = || replicas.names.iter().filter_map(|name| ward.patient(name));
        patients().find(|patient| patient.settings.is_some())?;
        let mut heals: Vec<&Heal> = patients().flat_map(|patient| &patient.record.heals).collect();
        heals.sort_by_key(|heal| Reverse(heal.at));
        return Some(HealingView {
            stands: pause.map_or_else(
                || "each replica by itself, and restarts one at a time".to_owned(),
                |pause| paused(pause, moment),
            ),
            can_resume: patient.record.pause(now).is_some(),
            heals: heals.into_iter().take(LISTED).map(|heal| heal_view(heal, moment)).collect(),
        });
    }
    patient.settings?;
    let stands = match (pause, &patient.hold) {
        (Some(pause), _) => paused(pause, moment),
        (None, Some(hold)) => format!("left alone: {hold}"),
        (None, None) => "restarted if it hangs, refuses connections or ends, and a restart can help".to_owned(),
    };
    let is_held = patient.hold.as_ref().is_some_and(|hold| matches!(hold.name(), "quarantined" | "gave_up"));
    Some(HealingView {
        stands,
        can_resume: patient.record.pause(now).is_some() || is_held,
        heals: patient.record.heals.iter().rev().take(LISTED).map(|heal| heal_view(heal, moment)).collect(),
    })
}

fn paused(pause: &Pause, moment: &Moment) -> String {
    let until = pause
        .until
        .map_or_else(|| "until somebody resumes it".to_owned(), |until| format!("until {}", moment.when(until).full));
    let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
    format!("paused by {} {until}{why}", pause.by)
}

fn heal_view(heal: &Heal, moment: &Moment) -> HealView {
    let (tone, result) = match heal.result {
        HealResult::Pending => (Tone::Busy, "not known yet"),
        HealResult::Worked => (Tone::Good, "it helped"),
        HealResult::Failed => (Tone::Bad, "it did not help"),
        HealResult::Relapsed => (Tone::Warn, "it helped for less than 10 min"),
        HealResult::Refused => (Tone::Bad, "refused by whoever runs it"),
    };
    let what = match heal.action {
        _ if heal.result == HealResult::Refused => heal.action.as_str(),
        HealAction::Restart => "restarted",
        HealAction::Start => "started",
        HealAction::Quarantine => "stopped and held",
    };
    let refusal = heal.refusal.as_ref().map(|refusal| format!(" (refused: {refusal})")).unwrap_or_default();
    HealView { at: moment.when(heal.at), what, why: heal.why.clone() + &refusal, tone, result }
}
