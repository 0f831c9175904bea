//! Drills: a marked incident that goes the whole way to people, so that the way is known to work. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::condition::Condition;
use super::incident::{Incident, ToldState};
use super::message::Severity;

/// A drill that is not through by then has failed.
pub const DRILL_PATIENCE: Duration = Duration::from_secs(300);

/// What a channel's result says if it took the message.
const ACCEPTED: &str = "accepted";

/// What is remembered of drills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// When the last one began.
    pub began: Option<Timestamp>,
    /// When one was last accepted by every channel it went to.
    pub succeeded: Option<Timestamp>,
    /// What the last one came to, by channel: `accepted`, also if it took something since, or `not accepted`.
    pub results: BTreeMap<String, String>,
}

impl DrillRecord {
    /// Learns that a channel has taken a message.
    pub(super) fn accepted(&mut self, channel: &str) {
        if let Some(result) = self.results.get_mut(channel) {
            ACCEPTED.clone_into(result);
        }
    }

    /// Returns the channels that the last drill did not get through, of those that are there.
    pub(super) fn failed(&self, is_there: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
        let failed = self.results.iter().filter(|(_, result)| *result != ACCEPTED);
        failed.map(|(channel, _)| channel.as_str()).filter(move |channel| is_there(channel))
    }
}

/// How a drill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrillState {
    Running,
    Succeeded,
    Failed,
}

/// Makes a drill's incident.
pub(super) fn incident(id: Uuid, by: &str, now: Timestamp) -> Incident {
    let title = format!("drill by {by}: nothing is wrong");
    let mut condition = Condition::new(format!("{}{id}", Incident::TRIAL), "Drill", Severity::Page, title);
    condition.description =
        "This message proves that alerts reach you. Nothing is wrong, nothing is to be done.".to_owned();
    condition.reminded = false;
    condition.labels.insert("drill".to_owned(), "true".to_owned());
    condition.incident(id, now)
}

/// Returns how a drill stands.
pub(super) fn state(incident: &Incident, now: Timestamp) -> DrillState {
    let age = elapsed(incident.opened, now);
    let is_through = incident.told.values().all(|told| matches!(told.state, ToldState::Delivered | ToldState::Dead));
    let has_worked = !incident.told.is_empty() && incident.told.values().all(|told| told.accepted);
    match (is_through, has_worked) {
        (true, true) => DrillState::Succeeded,
        (true, false) => DrillState::Failed,
        (false, _) if age >= DRILL_PATIENCE => DrillState::Failed,
        (false, _) => DrillState::Running,
    }
}

/// Returns what came of it by channel.
pub(super) fn results(incident: &Incident) -> BTreeMap<String, String> {
    let word = |accepted: bool| if accepted { ACCEPTED } else { "not accepted" };
    incident.told.iter().map(|(channel, told)| (channel.clone(), word(told.accepted).to_owned())).collect()
}

/// Returns the channels that routes lead to, escalations included.
pub(super) fn channels(routes: &super::route::Routes) -> BTreeSet<String> {
    let steps =
        |route: &super::route::Route| route.escalate.iter().flat_map(|step| step.to.clone()).collect::<Vec<_>>();
    let all = routes.0.iter().flat_map(super::route::Route::all);
    all.flat_map(|route| route.to.iter().cloned().chain(steps(route))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_did_not_take_the_last_drill_is_named_while_it_is_there() {
        let results = [("mail", ACCEPTED), ("ops", "not accepted"), ("pager", "not accepted")];
        let results = results.map(|(channel, result)| (channel.to_owned(), result.to_owned())).into();
        let record = DrillRecord { results, ..DrillRecord::default() };
        assert_eq!(record.failed(|channel| channel != "ops").collect::<Vec<_>>(), ["pager"]);
        assert_eq!(DrillRecord::default().failed(|_| true).next(), None);
    }
}
