//! Why a page cannot be shown, as a page: nobody who follows a link is to read JSON.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kit::chain::Chain;
use kit::http::{ApiError, Role};
use kit::page::{Html, Tone};

use super::frame::{Head, frame};
use super::moment::Moment;
use crate::ledger::LedgerError;

/// What a page shows, framed.
pub(super) struct Made {
    pub(super) head: Head,
    pub(super) main: Result<String, askama::Error>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The ledger is not open yet.
    #[error("the ledger is not open yet")]
    NotOpen,
    /// The ledger does not answer.
    #[error("the ledger does not answer")]
    Ledger(#[from] LedgerError),
    /// There is nothing of this name: `letter` or `plan`.
    #[error("there is no such {0}")]
    Nothing(&'static str),
    /// What is wanted cannot be read.
    #[error("{0}")]
    Unread(String),
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    mark: Html,
    heading: &'static str,
    said: String,
    /// What else there is to say or to do.
    more: &'static str,
    /// Where to go on, and how that is called.
    back: (&'static str, &'static str),
}

/// Returns the page, or says why there is none.
pub(super) fn answer(made: Result<Made, Trouble>, moment: &Moment) -> Response {
    match made {
        Ok(Made { head, main }) => frame(head, main, moment).into_response(),
        Err(trouble) => explain(&trouble, moment),
    }
}

fn explain(trouble: &Trouble, moment: &Moment) -> Response {
    if let Trouble::Ledger(error) = trouble {
        tracing::warn!(error = %Chain(error), "the ledger");
    }
    let (status, title) = match trouble {
        Trouble::NotOpen => (StatusCode::SERVICE_UNAVAILABLE, "not open yet"),
        Trouble::Ledger(_) => (StatusCode::SERVICE_UNAVAILABLE, "no answer"),
        Trouble::Nothing(_) => (StatusCode::NOT_FOUND, "not there"),
        Trouble::Unread(_) => (StatusCode::BAD_REQUEST, "not read"),
    };
    show(status, title, message(trouble), moment)
}

fn message(trouble: &Trouble) -> Message {
    let (heading, more, back) = match trouble {
        Trouble::NotOpen => (
            "The ledger is not open yet",
            "What fails meanwhile stays in its queue, and is taken in as soon as it is.",
            ("/health", "Why it is not"),
        ),
        Trouble::Ledger(_) => (
            "The ledger does not answer",
            "Nothing is lost by that, and nothing is redriven until it does.",
            ("/health", "Why it does not"),
        ),
        Trouble::Nothing("plan") => ("There is no such plan", "", ("/plans", "All plans")),
        Trouble::Nothing(_) => (
            "There is no such letter",
            "It may have ended so long ago that it is not kept any more.",
            ("/letters", "All letters"),
        ),
        Trouble::Unread(_) => ("That cannot be looked for", "", ("/letters", "All letters")),
    };
    let said = match trouble {
        Trouble::Unread(what) => what.clone(),
        Trouble::NotOpen | Trouble::Ledger(_) | Trouble::Nothing(_) => String::new(),
    };
    Message { mark: Tone::Blind.mark(), heading, said, more, back }
}

/// Says who may see a page, and how.
pub(super) fn refused(status: StatusCode, said: String, role: Role, moment: &Moment) -> Response {
    let more = match role {
        Role::Viewer => {
            "With one, dlq-processor ls and show say the same; access: { public: details } in the configuration shows \
            letters to everybody."
        }
        _ => "With one, dlq-processor audit says the same.",
    };
    let view =
        Message { mark: Tone::Blind.mark(), heading: "This is not for everybody", said, more, back: ("/", "Overview") };
    show(status, "not for everybody", view, moment)
}

fn show(status: StatusCode, title: &str, view: Message, moment: &Moment) -> Response {
    let head = Head { status, path: "", title: title.to_owned(), tone: Tone::Blind, kind: super::frame::Kind::Still };
    match frame(head, view.render(), moment) {
        Ok(page) => page.into_response(),
        Err(error) => ApiError::into_response(error),
    }
}
