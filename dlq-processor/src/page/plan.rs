//! `GET /plans/{id}`: what a plan does or would do, how far it has come, and how it is applied.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kit::page::{Html, Tone};

use super::Pages;
use super::bars::share;
use super::command::{self, Doing};
use super::frame::{Head, Kind};
use super::letters::LetterRow;
use super::made::{Made, Trouble, answer};
use super::moment::{Moment, Reader, When};
use super::plans::{far, what};
use super::spoken::{number, of_letter, of_plan, plan_state};
use crate::ledger::{Ledger, Plan, PlanCount};
use crate::settings::Settings;
use crate::texts::Id;

/// Rows of the table of queues and states.
const MOST_COUNTS: i64 = 50;

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    plan: Plan,
    tone: Tone,
    sentence: String,
    said: &'static str,
    made: When,
    far: Option<(Html, String)>,
    filter: Vec<(String, String)>,
    rate: String,
    stops: Option<String>,
    counts: Vec<CountView>,
    samples: Vec<LetterRow>,
    doings: Vec<Doing>,
    curl: Option<String>,
    /// A queue that nothing is redriven in.
    still: Option<String>,
}

/// Letters of one queue in one state.
struct CountView {
    queue: String,
    tone: Tone,
    state: String,
    letters: String,
    bar: Html,
}

pub(super) async fn show(State(pages): State<Pages>, Path(id): Path<Id>, Reader(moment): Reader) -> Response {
    answer(make(&pages, &id, &moment).await, &moment)
}

async fn make(pages: &Pages, id: &str, moment: &Moment) -> Result<Made, Trouble> {
    let ledger = pages.api.opened().ok_or(Trouble::NotOpen)?;
    let plan = ledger.plan(id).await?.ok_or(Trouble::Nothing("plan"))?;
    let counts = ledger.plan_counts(plan.number, MOST_COUNTS).await?;
    let samples = samples(ledger, &plan, moment).await?;
    let far = match &*plan.state {
        "dry" => None,
        _ => Some(far(&ledger.progress(plan.number).await?, plan.total)),
    };
    let view = view(plan, counts, &pages.api.settings, moment);
    let title = format!("{}: {}", view.plan.state, view.sentence);
    let head = Head { status: StatusCode::OK, path: "", title, tone: view.tone, kind: Kind::Live };
    Ok(Made { head, main: PlanPage { samples, far, ..view }.render() })
}

/// Shows what the plan itself says, and of its letters how many there are.
fn view(plan: Plan, counts: Vec<PlanCount>, settings: &Settings, moment: &Moment) -> PlanPage {
    let is_still = |count: &&PlanCount| plan.act == "redrive" && !settings.of_queue(&count.queue).acts;
    PlanPage {
        tone: of_plan(&plan.state),
        sentence: what(&plan),
        said: plan_state(&plan.state),
        made: moment.when(plan.at_ms),
        far: None,
        filter: chosen(&settings.redaction.of_filter(&plan.filter)),
        rate: rate(&plan),
        stops: plan.stop_percent.map(|percent| format!("{percent} % of its letters have failed again")),
        still: counts.iter().find(is_still).map(|count| count.queue.clone()),
        samples: Vec::new(),
        doings: command::of_plan(&plan.id, &plan.state),
        curl: step(&plan.state).map(|step| command::curl(settings.listen, &plan.id, step)),
        counts: counts.into_iter().map(|count| count_view(count, plan.total)).collect(),
        plan,
    }
}

/// The step that is most likely taken next.
fn step(state: &str) -> Option<&'static str> {
    match state {
        "dry" => Some("apply"),
        "running" => Some("pause"),
        "paused" | "stopped" => Some("resume"),
        _ => None,
    }
}

async fn samples(ledger: &Ledger, plan: &Plan, moment: &Moment) -> Result<Vec<LetterRow>, Trouble> {
    let mut samples = Vec::new();
    for id in ledger.samples(plan.number).await? {
        samples.extend(ledger.letter(&id).await?.map(|letter| LetterRow::of(letter, moment)));
    }
    Ok(samples)
}

/// What its letters have in common, field by field.
fn chosen(filter: &serde_json::Value) -> Vec<(String, String)> {
    let fields = filter.as_object().into_iter().flatten();
    let value = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.map(|(name, it)| (name.replace('_', " "), value(it))).collect()
}

fn rate(plan: &Plan) -> String {
    match plan.rate_milli {
        Some(milli) if milli % 1000 == 0 => format!("at most {} a second", number(milli / 1000)),
        Some(milli) => format!("at most {} in 1,000 seconds", number(milli)),
        None => "as many as their queues bear".to_owned(),
    }
}

fn count_view(PlanCount { queue, state, letters }: PlanCount, total: i64) -> CountView {
    let tone = of_letter(&state);
    CountView { queue, tone, letters: number(letters), bar: share(tone, letters, total), state }
}
