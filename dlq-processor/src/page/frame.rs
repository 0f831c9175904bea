//! The frame of every page: its navigation, and how it stays fresh.

use axum::http::StatusCode;
use kit::http::ApiError;
use kit::page::{Html, Link, Page, Tone};

use super::moment::Moment;
use crate::app::{SERVICE, VERSION};

/// How a page stays fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is as it was made.
    Still,
    /// It is loaded anew on news, and without a script every half minute.
    Live,
    /// As [`Self::Live`], but never without a script: somebody may be writing.
    Written,
}

/// What the frame must know of its page.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) path: &'static str,
    pub(super) title: String,
    pub(super) tone: Tone,
    pub(super) kind: Kind,
}

/// Puts a view into the frame of every page.
pub(super) fn frame(head: Head, main: Result<String, askama::Error>, moment: &Moment) -> Result<Page, ApiError> {
    let main = Html::of_escaped(main.map_err(|error| ApiError::internal(&error))?);
    let link = |name, path| Link { name, path, is_here: path == head.path, count: None };
    let mut links = vec![link("Overview", "/")];
    if moment.sees_details() {
        links.extend([link("Letters", "/letters"), link("Plans", "/plans"), link("JSON", "/api/v1/letters")]);
    }
    links.push(link("Metrics", "/metrics"));
    if moment.is_operator() {
        links.push(link("Audit", "/audit"));
    }
    Ok(Page {
        status: head.status,
        program: SERVICE,
        version: VERSION,
        title: format!("{} – {SERVICE}", head.title),
        tone: head.tone,
        links,
        visitor: moment.visitor(),
        events: (head.kind != Kind::Still).then_some("/api/v1/events"),
        is_written_on: head.kind == Kind::Written,
        main,
        made: moment.now,
        zone: moment.zone.clone(),
    })
}
