//! `GET /letters/{id}`: one letter, why it stands where it stands, and what a person can do about it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kit::page::Tone;
use kit::page::words::clip;

use super::Pages;
use super::command::{self, Doing};
use super::facts::{Fact, Happened, facts, timeline};
use super::frame::{Head, Kind};
use super::letters::LetterRow;
use super::made::{Made, Trouble, answer};
use super::moment::{Moment, Reader, When};
use super::payload::{Shown, payload, stack};
use super::spoken::{letter_state, line, of_letter};
use super::why::sentences;
use crate::ledger::{Ledger, Listed, is_removed};
use crate::texts::Id;

/// Other failures of the job, and changes by people, that are shown.
const MOST_OTHERS: i64 = 20;
const MOST_ENTRIES: usize = 100;
/// Longest title, in characters, of the window.
const TITLE_CHARS: usize = 60;

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    letter: Listed,
    tone: Tone,
    message: String,
    said: &'static str,
    failed: When,
    changed: When,
    why: Vec<String>,
    doings: Vec<Doing>,
    facts: Vec<Fact>,
    plan: Option<String>,
    events: Vec<Happened>,
    others: Vec<LetterRow>,
    stack: Option<Shown>,
    holds: Holds,
    edited: Option<Shown>,
}

/// What the job held.
enum Holds {
    /// It is not for whoever looks.
    Hidden,
    /// It is not in the ledger any more.
    Away,
    /// It was removed for good.
    Removed,
    Shown(Shown),
}

pub(super) async fn show(State(pages): State<Pages>, Path(id): Path<Id>, Reader(moment): Reader) -> Response {
    answer(make(&pages, &id, &moment).await, &moment)
}

async fn make(pages: &Pages, id: &str, moment: &Moment) -> Result<Made, Trouble> {
    let ledger = pages.api.opened().ok_or(Trouble::NotOpen)?;
    let letter = ledger.letter(id).await?.ok_or(Trouble::Nothing("letter"))?;
    let details = ledger.details(id).await?.ok_or(Trouble::Nothing("letter"))?;
    let others = ledger.others_of_job(&letter, MOST_OTHERS).await?;
    let audit = if moment.is_operator() { ledger.audit(Some(id), MOST_ENTRIES).await? } else { Vec::new() };
    let acts = pages.api.settings.acts_in(letter.queues());
    let source = pages.api.settings.sources.iter().find(|source| source.name == letter.source);
    let makes_others = source.is_some_and(|of| of.source.manners(&letter.queue).makes_others);
    let message = line(&letter.message);
    let tone = of_letter(&letter.state);
    let title = format!("{}: {}", letter.state, clip(&message, TITLE_CHARS));
    let view = LetterPage {
        tone,
        said: letter_state(&letter.state),
        failed: moment.when(letter.failed_at_ms),
        changed: moment.when(letter.changed_at_ms),
        why: sentences(&letter, acts),
        doings: command::of_letter(&letter, acts, makes_others),
        facts: facts(&letter, &details, moment),
        plan: details.plan,
        events: timeline(&letter, &audit, moment),
        others: others.into_iter().map(|other| LetterRow::of(other, moment)).collect(),
        stack: details.stack.as_deref().filter(|it| !it.trim().is_empty()).map(stack),
        holds: holds(pages, ledger, &letter, moment).await?,
        edited: edited(pages, ledger, &letter, moment).await?,
        message,
        letter,
    };
    let head = Head { status: StatusCode::OK, path: "", title, tone, kind: Kind::Live };
    Ok(Made { head, main: view.render() })
}

/// What it is to hold instead, for whoever may see what it held.
async fn edited(pages: &Pages, ledger: &Ledger, letter: &Listed, moment: &Moment) -> Result<Option<Shown>, Trouble> {
    if !moment.is_operator() || letter.edited_at_ms.is_none() {
        return Ok(None);
    }
    let Some(edit) = ledger.edit_of(&letter.id).await? else { return Ok(None) };
    let settings = pages.api.settings.clone();
    Ok(tokio::task::spawn_blocking(move || payload(&edit.data, &settings.redaction)).await.ok())
}

async fn holds(pages: &Pages, ledger: &Ledger, letter: &Listed, moment: &Moment) -> Result<Holds, Trouble> {
    if is_removed(&letter.state, &letter.reason) {
        return Ok(Holds::Removed);
    }
    if !moment.is_operator() {
        return Ok(Holds::Hidden);
    }
    if letter.cold.is_some() {
        return Ok(Holds::Away);
    }
    let data = ledger.payload(&letter.id).await?;
    // To look for secrets in a long text takes a while.
    let settings = pages.api.settings.clone();
    let shown = tokio::task::spawn_blocking(move || payload(&data, &settings.redaction)).await;
    Ok(Holds::Shown(shown.unwrap_or_default()))
}
