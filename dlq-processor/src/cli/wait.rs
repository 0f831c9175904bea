//! Waiting for the end of a plan, with a bar on a terminal.

use std::time::Duration;

use kit::cli::{AskError, Drawing, at, complain, is_live, word};
use kit::exit;
use serde_json::Value;
use tokio::time::{Instant, interval};

use super::client::{Daemon, in_path};
use super::plan_shown::progress;
use crate::ledger::PlanState;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// How long the daemon may be away, such as while it is brought up to date.
const AWAY: Duration = Duration::from_secs(60);

/// Waits until a plan is not under way any more.
///
/// # Errors
/// [`AskError`], if the daemon does not come back.
pub(super) async fn until_ended(daemon: &Daemon, id: &str) -> Result<Value, AskError> {
    let path = format!("/api/v1/plans/{}", in_path(id)?);
    let mut drawing = (daemon.is_for_people() && is_live()).then(Drawing::default);
    let (mut rounds, mut seen_at) = (interval(EVERY), Instant::now());
    loop {
        rounds.tick().await;
        let plan = match daemon.get(&path).await {
            Ok(plan) => plan,
            Err(AskError::Unreachable(_)) if seen_at.elapsed() < AWAY => continue,
            Err(error) => return Err(error),
        };
        seen_at = Instant::now();
        let is_ended = word(at(&plan, "plan"), "state") != PlanState::Running.word();
        if let Some(drawing) = &mut drawing {
            // The end is shown by whoever waited for it.
            drawing.draw(&if is_ended { String::new() } else { progress(&plan) });
        }
        if is_ended {
            return Ok(plan);
        }
    }
}

/// Returns 0 for a plan that was carried out to its end; of another one says what to do, and returns 1.
pub(super) fn code(plan: &Value) -> u8 {
    let (id, state) = (word(at(plan, "plan"), "id"), word(at(plan, "plan"), "state"));
    if state == PlanState::Done.word() {
        return exit::YES;
    }
    let what = match state {
        "stopped" => "too much of it failed again: see why, then resume or cancel it",
        "paused" => "somebody has paused it: resume or cancel it",
        _ => "it was not carried out to its end",
    };
    complain(format_args!("plan {id} is {state}: {what}"));
    exit::NO
}
