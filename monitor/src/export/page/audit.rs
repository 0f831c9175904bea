//! `GET /audit`: who did what, for operators.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kit::http::ApiError;
use kit::page::Tone;

use super::{Head, Moment, When, frame};
use crate::export::shared::Shared;
use crate::record::AuditRow;

/// Rows that are shown.
const SHOWN: u32 = 200;

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    rows: Vec<Row>,
    shown: u32,
}

struct Row {
    when: When,
    row: AuditRow,
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, moment: Moment) -> Result<Response, ApiError> {
    let rows = shared.stores.state.store().audit(SHOWN).await.map_err(|error| ApiError::internal(&error))?;
    let rows = rows.into_iter().map(|row| Row { when: moment.when(row.at), row }).collect();
    let head = Head { status: StatusCode::OK, path: "/audit", title: "audit".to_owned(), tone: Tone::Off };
    let mut page = frame(head, Audit { rows, shown: SHOWN }.render(), &moment)?;
    page.events = None;
    Ok(page.into_response())
}
