//! `GET /letters`: those that a form chooses, a page at a time, newest first.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use kit::page::Tone;

use super::Pages;
use super::frame::{Head, Kind};
use super::made::{Made, Trouble, answer};
use super::moment::{Moment, Reader, When};
use super::query::{Wanted, command};
use super::spoken::{line, of_letter};
use crate::ledger::{LetterState, Listed, is_removed};
use crate::policy::Class;

/// Letters of a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "letters.html")]
struct Letters {
    sentence: String,
    wanted: Wanted,
    sources: Vec<String>,
    states: [&'static str; 13],
    classes: [&'static str; 7],
    rows: Vec<LetterRow>,
    /// The query of the next page.
    older: Option<String>,
    newest: String,
    command: Option<String>,
}

/// A letter in a list.
pub(super) struct LetterRow {
    pub(super) id: String,
    pub(super) tone: Tone,
    pub(super) state: String,
    pub(super) message: String,
    pub(super) queue: String,
    pub(super) name: String,
    pub(super) job: String,
    pub(super) class: String,
    pub(super) failed: When,
    /// Whether what it held was removed for good.
    pub(super) is_removed: bool,
}

impl LetterRow {
    pub(super) fn of(letter: Listed, moment: &Moment) -> Self {
        Self {
            tone: of_letter(&letter.state),
            message: line(&letter.message),
            failed: moment.when(letter.failed_at_ms),
            is_removed: is_removed(&letter.state, &letter.reason),
            id: letter.id,
            state: letter.state,
            queue: letter.queue,
            name: letter.name,
            job: letter.job,
            class: letter.class,
        }
    }
}

pub(super) async fn show(State(pages): State<Pages>, Reader(moment): Reader, Query(wanted): Query<Wanted>) -> Response {
    answer(make(&pages, wanted, &moment).await, &moment)
}

async fn make(pages: &Pages, wanted: Wanted, moment: &Moment) -> Result<Made, Trouble> {
    let filter = wanted.filter(&moment.zone)?;
    let ledger = pages.api.opened().ok_or(Trouble::NotOpen)?;
    let letters = ledger.letters(&filter, PAGE).await?;
    let older = letters.last().filter(|_| letters.len() == PAGE).map(|last| wanted.older(last.number));
    let title = sentence(&letters, &wanted);
    let view = Letters {
        sentence: title.clone(),
        sources: pages.api.settings.sources.iter().map(|source| source.name.clone()).collect(),
        states: LetterState::ALL.map(LetterState::word),
        classes: Class::ALL.map(Class::word),
        rows: letters.into_iter().map(|letter| LetterRow::of(letter, moment)).collect(),
        older,
        newest: wanted.newest(),
        command: command(&filter),
        wanted,
    };
    let head = Head { status: StatusCode::OK, path: "/letters", title, tone: Tone::Off, kind: Kind::Written };
    Ok(Made { head, main: view.render() })
}

fn sentence(letters: &[Listed], wanted: &Wanted) -> String {
    let is_chosen = !wanted.set().is_empty();
    match (letters.len(), wanted.is_older()) {
        (0, true) => "That was all".to_owned(),
        (0, false) if is_chosen => "No letter is like that".to_owned(),
        (0, false) => "There is no dead letter".to_owned(),
        (_, true) => "Older dead letters".to_owned(),
        (PAGE, false) => format!("The newest {PAGE} dead letters{}", if is_chosen { " like that" } else { "" }),
        (1, false) => format!("1 dead letter{}", if is_chosen { " is like that" } else { "" }),
        (count, false) => format!("{count} dead letters{}", if is_chosen { " are like that" } else { "" }),
    }
}
