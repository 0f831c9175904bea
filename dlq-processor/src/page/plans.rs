//! `GET /plans`: what is or was done with many letters.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kit::page::{Html, Tone};

use super::Pages;
use super::bars::progress;
use super::frame::{Head, Kind};
use super::made::{Made, Trouble, answer};
use super::moment::{Moment, Reader, When};
use super::spoken::{count, number, of_plan};
use crate::ledger::{Ledger, LedgerError, Plan, Progress};

/// Plans that are shown, and those of the overview.
const MOST: i64 = 50;
const MOST_UNDER_WAY: usize = 5;

#[derive(Template)]
#[template(path = "plans.html")]
struct Plans {
    rows: Vec<PlanRow>,
}

/// A plan in a list.
pub(super) struct PlanRow {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) tone: Tone,
    /// What is done with how many letters.
    pub(super) what: String,
    pub(super) who: String,
    pub(super) why: String,
    pub(super) made: When,
    /// How far it has come, drawn and in words; none if nothing was done.
    pub(super) far: Option<(Html, String)>,
}

pub(super) async fn show(State(pages): State<Pages>, Reader(moment): Reader) -> Response {
    answer(make(&pages, &moment).await, &moment)
}

async fn make(pages: &Pages, moment: &Moment) -> Result<Made, Trouble> {
    let ledger = pages.api.opened().ok_or(Trouble::NotOpen)?;
    let mut rows = Vec::new();
    for plan in ledger.plans(MOST).await? {
        rows.push(row(ledger, plan, moment).await?);
    }
    let head =
        Head { status: StatusCode::OK, path: "/plans", title: "plans".to_owned(), tone: Tone::Off, kind: Kind::Live };
    Ok(Made { head, main: Plans { rows }.render() })
}

/// Returns the plans that are being carried out or were held up.
pub(super) async fn under_way(ledger: &Ledger, moment: &Moment) -> Result<Vec<PlanRow>, LedgerError> {
    let is_under_way = |plan: &Plan| matches!(&*plan.state, "running" | "paused" | "stopped");
    let mut rows = Vec::new();
    for plan in ledger.plans(MOST).await?.into_iter().filter(is_under_way).take(MOST_UNDER_WAY) {
        rows.push(row(ledger, plan, moment).await?);
    }
    Ok(rows)
}

async fn row(ledger: &Ledger, plan: Plan, moment: &Moment) -> Result<PlanRow, LedgerError> {
    let far = match &*plan.state {
        "dry" => None,
        _ => Some(far(&ledger.progress(plan.number).await?, plan.total)),
    };
    Ok(PlanRow {
        tone: of_plan(&plan.state),
        what: what(&plan),
        made: moment.when(plan.at_ms),
        far,
        id: plan.id,
        state: plan.state,
        who: plan.who,
        why: plan.why,
    })
}

/// What a plan does with how many letters.
pub(super) fn what(plan: &Plan) -> String {
    let act = match &*plan.act {
        "redrive" => "Redrives",
        "park" => "Parks",
        "discard" => "Discards",
        other => other,
    };
    let into = plan.to_queue.as_ref().map(|to| format!(" into {to}")).unwrap_or_default();
    format!("{act} {}{into}", count(plan.total, "letter"))
}

/// Draws how far a plan has come, and says it.
pub(super) fn far(came: &Progress, total: i64) -> (Html, String) {
    let of = |states: &[&str]| -> i64 {
        came.states.iter().filter(|(state, _)| states.contains(&state.as_str())).map(|(_, letters)| letters).sum()
    };
    let (failed, busy) = (of(&["recurred"]), of(&["scheduled", "intended", "redriven"]));
    let good = (came.done - failed - busy).max(0);
    let mut said = vec![format!("{} of {} done", number(good), number(total))];
    for (letters, how) in [(busy, "under way"), (failed, "failed again"), (came.skipped, "left alone")] {
        if letters > 0 {
            said.push(format!("{} {how}", number(letters)));
        }
    }
    let said = said.join(", ");
    let pieces = [(Tone::Good, good), (Tone::Busy, busy), (Tone::Bad, failed), (Tone::Off, came.skipped)];
    (progress(&pieces, total, &said), said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_plan_has_come_is_said_in_letters() {
        let states = [("resolved", 7), ("recurred", 2), ("redriven", 1)].map(|(state, it)| (state.to_owned(), it));
        let came = Progress { waits: 1_989, done: 10, skipped: 1, states: states.to_vec() };
        assert_eq!(far(&came, 2_000).1, "7 of 2,000 done, 1 under way, 2 failed again, 1 left alone");
        assert_eq!(far(&Progress::default(), 3).1, "0 of 3 done");
    }
}
