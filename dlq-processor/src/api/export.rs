//! `GET /api/v1/export`: letters with what they hold, a line of JSON for each, as the ledger is read part by part.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use futures_util::stream;
use jiff::Timestamp;
use kit::chain::Chain;
use kit::http::{ApiError, Identity, Role};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::wanted::Wanted;
use super::{Api, problem, reason_of};
use crate::ledger::{Actor, Filter, Ledger, Reading};
use crate::letter_line::{end, raw, redacted};
use crate::settings::Settings;

/// What an answer of lines is.
pub(super) const LINES: &str = "application/x-ndjson";
/// What is noted of a filter, in bytes: PostgreSQL's indexes take rows of 2,704.
const NOTED_BYTES: usize = 1000;

/// In which form, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    #[serde(default)]
    raw: bool,
    reason: String,
}

/// An export that is under way.
struct Export {
    ledger: Ledger,
    settings: Arc<Settings>,
    reading: Reading,
    is_raw: bool,
    letters: u64,
    is_ended: bool,
}

pub(super) async fn export(
    State(api): State<Api>,
    wanted: Wanted<Form>,
    Extension(identity): Extension<Identity>,
) -> Result<Response, ApiError> {
    let Wanted { filter, also: Form { raw, reason } } = wanted;
    if raw && !identity.role.may(Role::Admin) {
        let Identity { name, role, .. } = identity;
        return Err(ApiError::forbidden(format!("raw needs the role {}; {name} is {role}", Role::Admin)));
    }
    let why = reason_of(&reason)?;
    let ledger = api.ledger()?.clone();
    // Before the first of it is read.
    let (what, of) = (if raw { "export.raw" } else { "export" }, noted(&filter));
    let actor = Actor { who: &identity.name, why, key: &Uuid::now_v7().to_string() };
    ledger.note(what, &of, actor, Timestamp::now().as_millisecond()).await.map_err(problem)?;
    let reading = ledger.begin_reading(filter).await.map_err(problem)?;
    let export = Export { ledger, settings: api.settings.clone(), reading, is_raw: raw, letters: 0, is_ended: false };
    let lines = stream::try_unfold(export, Export::next);
    Ok(([(header::CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response())
}

/// What the audit says of a filter: all of one that people write, and of a long one its beginning and its digest, since it stands
/// in an index there.
fn noted(filter: &Filter) -> String {
    let said = serde_json::to_string(filter).unwrap_or_default();
    if said.len() <= NOTED_BYTES {
        return said;
    }
    let digest = HEXLOWER.encode(Sha256::digest(&said).get(..8).unwrap_or_default());
    let begins = said.get(..said.floor_char_boundary(NOTED_BYTES)).unwrap_or_default();
    format!("{begins}… (sha256 {digest}…)")
}

impl Export {
    /// Returns the next lines; an empty one where none is wanted for a while, so that whoever waits knows that it goes on. Without
    /// the last one whoever reads them knows that they are not all.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.is_ended {
            return Ok(None);
        }
        let letters = self.ledger.read_on(&mut self.reading).await.map_err(|error| {
            tracing::warn!(error = %Chain(&error), letters = self.letters, "an export is cut off");
            io::Error::other(error)
        })?;
        let Some(letters) = letters else {
            self.is_ended = true;
            return Ok(Some((Bytes::from(end(self.letters)), self)));
        };
        if letters.is_empty() {
            return Ok(Some((Bytes::from_static(b"\n"), self)));
        }
        self.letters += letters.len() as u64;
        let (settings, is_raw) = (self.settings.clone(), self.is_raw);
        // To look for secrets in a long text takes a while.
        let written = tokio::task::spawn_blocking(move || {
            let line = |letter| if is_raw { raw(&letter) } else { redacted(letter, &settings.redaction) };
            letters.into_iter().map(line).collect::<String>()
        });
        Ok(Some((Bytes::from(written.await.map_err(io::Error::other)?), self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_names_a_filter_whole_unless_it_is_too_long_for_an_index() {
        let of = |message: String| Filter { message: Some(message), ..Filter::default() };
        assert_eq!(noted(&of("boom".to_owned())), r#"{"message":"boom"}"#);
        let [one, other] = ["a", "b"].map(|last| noted(&of("é".repeat(999) + last)));
        assert!(one.starts_with(r#"{"message":"éé"#) && one.len() < 1100, "{one}");
        assert_ne!(one, other, "they differ behind what is noted");
    }
}
