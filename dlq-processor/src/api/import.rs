//! `POST /api/v1/import`: lines of an export, or of a file that letters were put away into, become letters again. Wrong lines are
//! told, and the others of their batch are none the worse.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use kit::http::{ApiError, Identity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{Api, SOON, actor, conflict, problem, unavailable};
use crate::engine::complete;
use crate::ledger::{Bringing, Fate, Whole};
use crate::letter_line::{LONGEST_BYTES, read, read_end};
use crate::policy::Policy;
use crate::settings::Settings;

/// Lines of a body, at most.
const LINES: usize = 1000;
/// How long a body may wait until others are taken in.
const TURN_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    dry: bool,
    reason: String,
}

/// A line that nothing is made of.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Refused {
    /// Its number, from 1.
    line: usize,
    why: String,
}

/// Lines that were read: letters with their numbers, and what is none.
#[derive(Debug, Default)]
struct Lines {
    letters: Vec<(usize, Whole)>,
    refused: Vec<Refused>,
}

pub(super) async fn import(
    State(api): State<Api>,
    Query(Wanted { dry, reason }): Query<Wanted>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let actor = actor(&identity, &headers, &reason)?;
    let turn = timeout(TURN_WITHIN, api.imports.clone().acquire_owned()).await;
    let turn = turn.map_err(|_elapsed| unavailable("other lines are being imported").retry_after(SOON))?;
    let body = Bytes::from_request(request, &()).await.map_err(unread)?;
    if body.is_empty() {
        return Err(ApiError::bad_request(
            "there are no lines; send those of an export (raw=true), or of a file of cold_dir",
        ));
    }
    let ledger = api.ledger()?;
    if !dry && ledger.bytes().await.map_err(problem)? >= api.settings.max_ledger {
        let why = "the ledger is as large as it may be; raise max_ledger, or let go of letters (retention)";
        return Err(conflict(why.to_owned()));
    }
    let now = Timestamp::now();
    let (settings, policy) = (api.settings.clone(), api.policy());
    // A large body takes a while, and is let go of before the ledger is asked. The turn is over when nothing of it is left.
    let reading = move || {
        let digest = Sha256::digest(&body);
        read_lines(&settings, &policy, &body, now).map(|lines| (lines, digest, turn))
    };
    let read = tokio::task::spawn_blocking(reading).await.map_err(|error| ApiError::internal(&error))?;
    let (Lines { letters, mut refused }, digest, _turn) = read?;
    let of = format!("lines {}", HEXLOWER.encode(digest.get(..8).unwrap_or_default()));
    let sources = api.settings.sources.iter();
    let listed: BTreeSet<&str> = sources.filter(|of| of.source.lists().is_some()).map(|of| of.name.as_str()).collect();
    let bringing = Bringing { actor, of: &of, is_dry: dry, listed: &listed, now_ms: now.as_millisecond() };
    let (numbers, letters): (Vec<usize>, Vec<Whole>) = letters.into_iter().unzip();
    let fates = ledger.bring(letters, bringing).await.map_err(problem)?;
    let fates = fates.ok_or_else(|| conflict("this Idempotency-Key was used for something else".to_owned()))?;
    let count = |fate: Fate| fates.iter().filter(|it| **it == fate).count();
    let empty = numbers.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Empty);
    refused.extend(empty.map(|(line, _)| Refused {
        line: *line,
        why: "it says not what its job held; import the line of the file that it was put away into".to_owned(),
    }));
    refused.sort_by_key(|refused| refused.line);
    Ok(Json(json!({
        "new": count(Fate::New), "back": count(Fate::Back), "here": count(Fate::Here), "refused": refused, "is_dry": dry,
    })))
}

fn unread(refused: BytesRejection) -> ApiError {
    if refused.status() != StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(refused.status(), "the body broke off");
    }
    let most = LONGEST_BYTES >> 20;
    let message = format!("a body may have {most} MiB, as a line may; send lines in several batches");
    ApiError::new(refused.status(), message)
}

/// Reads lines, and decides of each letter what it does not say. Empty lines, and the last one of an export, are passed over.
fn read_lines(settings: &Settings, policy: &Policy, body: &[u8], now: Timestamp) -> Result<Lines, ApiError> {
    let names: Vec<&str> = settings.sources.iter().map(|source| source.name.as_str()).collect();
    let mut lines = Lines::default();
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate().map(|(at, line)| (at + 1, line)) {
        if line.trim_ascii().is_empty() || read_end(line).is_some() {
            continue;
        }
        if lines.letters.len() + lines.refused.len() == LINES {
            return Err(ApiError::bad_request(format!("there are over {LINES} lines; send them in several batches")));
        }
        match read(line, &names) {
            Ok(mut letter) => {
                complete(settings, policy, &mut letter, now);
                lines.letters.push((number, letter));
            }
            Err(why) => lines.refused.push(Refused { line: number, why }),
        }
    }
    Ok(lines)
}
