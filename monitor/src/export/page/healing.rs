//! A service's heals as its page shows them: what was tried, what came of it, and what keeps us from trying.

use kit::page::Tone;

use super::{Moment, When};
use crate::export::shared::Shared;
use crate::heal::{Heal, HealAction, HealResult};

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

/// Makes it; none if the service does not ask to be healed.
pub(super) fn view(shared: &Shared, service: &str, moment: &Moment) -> Option<HealingView> {
    let ward = shared.ward();
    let patient = ward.patient(service).filter(|patient| patient.settings.is_some())?;
    let now = moment.now.wall;
    let pause = patient.record.pause(now).or(ward.pause(now));
    let stands = match (pause, &patient.hold) {
        (Some(pause), _) => {
            let until = pause.until.map_or_else(
                || "until somebody resumes it".to_owned(),
                |until| format!("until {}", moment.when(until).full),
            );
            let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
            format!("paused by {} {until}{why}", pause.by)
        }
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

fn heal_view(heal: &Heal, moment: &Moment) -> HealView {
    let (tone, result) = match heal.result {
        HealResult::Pending => (Tone::Busy, "not known yet"),
        HealResult::Worked => (Tone::Good, "it helped"),
        HealResult::Failed => (Tone::Bad, "it did not help"),
        HealResult::Relapsed => (Tone::Warn, "it helped for less than 10 min"),
        HealResult::Refused => (Tone::Bad, "refused by whoever runs it"),
    };
    let what = match heal.action {
        HealAction::Restart => "restarted",
        HealAction::Start => "started",
        HealAction::Quarantine => "stopped and held",
    };
    HealView { at: moment.when(heal.at), what, why: heal.why.clone(), tone, result }
}
