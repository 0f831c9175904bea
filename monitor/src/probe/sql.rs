//! What kinds that ask a database one query have in common: its settings, its time, and values as JSON by their types.

use std::time::Duration;

use kit::config::{Cursor, Fields};
use serde_json::Value as Json;
use tokio::time::Instant;

/// The server gives a query up when this part of the time is left, so that it can still say so.
const LEFT_TO_SAY_SO: u32 = 10;

/// Decodes a text that may be left out.
pub(super) fn optional_text(fields: &Fields<'_>, key: &'static str) -> Option<Option<String>> {
    fields.get(key).map_or(Some(None), |cursor| plain_text(&cursor).map(Some))
}

/// Decodes a text as these protocols can send it: a zero byte ends one.
pub(super) fn plain_text(cursor: &Cursor<'_>) -> Option<String> {
    let text = cursor.text()?;
    if text.is_empty() || text.contains('\0') {
        cursor.mistake(format!("{} is empty or holds a zero byte", cursor.node().shown()));
        return None;
    }
    Some(text)
}

/// Returns how long the server may work on a query.
pub(super) fn time_for_query(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    (left - left / LEFT_TO_SAY_SO).max(Duration::from_millis(1))
}

/// What a value that came as text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    Truth,
    Whole,
    Fraction,
    Json,
    Text,
}

impl Cell {
    /// Returns the value as JSON; one that is not what its type says stays the text it is.
    pub(super) fn to_json(self, text: &str) -> Json {
        let as_text = || Json::String(text.to_owned());
        match self {
            Self::Truth => Json::Bool(text == "t"),
            Self::Whole => {
                let signed = text.parse::<i64>().map(Json::from);
                signed.or_else(|_| text.parse::<u64>().map(Json::from)).unwrap_or_else(|_| as_text())
            }
            // NaN and infinities are no numbers of JSON.
            Self::Fraction => {
                text.parse::<f64>().ok().filter(|number| number.is_finite()).map_or_else(as_text, Json::from)
            }
            Self::Json => serde_json::from_str(text).unwrap_or_else(|_| as_text()),
            Self::Text => as_text(),
        }
    }
}
