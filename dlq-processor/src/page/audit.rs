//! `GET /audit`: who did what, and why: for operators.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kit::page::Tone;
use kit::page::words::clip;

use super::Pages;
use super::frame::{Head, Kind};
use super::made::{Made, Trouble, answer};
use super::moment::{Moment, Operator, When};
use crate::ledger::Entry;

/// Rows that are shown.
const SHOWN: usize = 200;
/// How long a letter's id is (see `LetterId`), and a plan's (UUID, RFC 9562).
const ID_CHARS: (usize, usize) = (32, 36);
/// Longest name of anything else, in characters.
const OTHER_CHARS: usize = 60;

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    rows: Vec<Row>,
    shown: usize,
}

struct Row {
    when: When,
    who: String,
    what: String,
    of: String,
    /// As it is read.
    short: String,
    /// Where that is shown.
    path: Option<String>,
    why: String,
}

pub(super) async fn show(State(pages): State<Pages>, Operator(moment): Operator) -> Response {
    answer(make(&pages, &moment).await, &moment)
}

async fn make(pages: &Pages, moment: &Moment) -> Result<Made, Trouble> {
    let ledger = pages.api.opened().ok_or(Trouble::NotOpen)?;
    let rows = ledger.audit(None, SHOWN).await?.into_iter().map(|entry| row(entry, moment)).collect();
    let head =
        Head { status: StatusCode::OK, path: "/audit", title: "audit".to_owned(), tone: Tone::Off, kind: Kind::Still };
    Ok(Made { head, main: Audit { rows, shown: SHOWN }.render() })
}

fn row(Entry { at_ms, who, what, letter, why, .. }: Entry, moment: &Moment) -> Row {
    let of = letter.unwrap_or_default();
    let is_id = |chars: usize| of.len() == chars && of.chars().all(|char| char.is_ascii_hexdigit() || char == '-');
    let (path, short) = match () {
        () if is_id(ID_CHARS.0) => (Some(format!("/letters/{of}")), format!("letter {}…", part(&of, ..8))),
        // A plan's id begins with its time.
        () if is_id(ID_CHARS.1) => (Some(format!("/plans/{of}")), format!("plan …{}", part(&of, 28..))),
        () => (None, clip(&of, OTHER_CHARS)),
    };
    Row { when: moment.when(at_ms), who, what: what.replace('.', " "), of, short, path, why }
}

fn part<I: std::slice::SliceIndex<str, Output = str>>(text: &str, range: I) -> &str {
    text.get(range).unwrap_or_default()
}
