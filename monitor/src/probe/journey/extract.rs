//! What a step takes from its answer for the steps after it. A value that is not there is a fail, never an empty text.

use kit::config::Cursor;
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;
use url::Url;

use crate::probe::expect::{MAX_JUDGED_BYTES, MAX_REGEX_BYTES};
use crate::probe::http::Cookies;
use crate::probe::json_path::JsonPath;
use crate::probe::observation::{Facts, Reason, ReasonCode};

use super::template::RESERVED;

/// Longest extracted value, in bytes: a token, an id, a form's secret; not a page.
const MAX_VALUE_BYTES: usize = 16 * 1024;

/// Keys of an answer that are shown, at most.
const MAX_SHOWN_KEYS: usize = 12;

/// One value and where it stands.
#[derive(Debug)]
pub(super) struct Extract {
    pub(super) name: String,
    from: Source,
}

#[derive(Debug)]
enum Source {
    Json(JsonPath),
    /// The first group of the match, or all of it.
    Body(Regex),
    Header(String),
    Cookie(String),
}

impl Extract {
    /// Decodes `NAME: { json: PATH }`, or `body`, `header`, `cookie`.
    pub(super) fn decode(name: &str, cursor: &Cursor<'_>) -> Option<Self> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        let is_word = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !starts_well || !is_word || RESERVED.contains(&name) {
            let taken = RESERVED.join(", ");
            cursor.mistake(format!(
                "a name is lower-case letters, digits and underscores, a letter first, and none of {taken}; not {name:?}"
            ));
            return None;
        }
        let (source, _, inner) = cursor.tag()?;
        let text = inner.text()?;
        let from = match source {
            "json" => JsonPath::parse(&text).map(Source::Json),
            "body" => match RegexBuilder::new(&text).size_limit(MAX_REGEX_BYTES).build() {
                Ok(regex) => Ok(Source::Body(regex)),
                Err(_) => Err(format!("{text:?} is not a regular expression")),
            },
            "header" => Ok(Source::Header(text.to_ascii_lowercase())),
            "cookie" => Ok(Source::Cookie(text)),
            other => Err(format!("a value cannot be taken from {other:?}; write json, body, header or cookie")),
        };
        let from = from.map_err(|message| inner.mistake(message)).ok()?;
        Some(Self { name: name.to_owned(), from })
    }

    /// True if the body must be kept for it.
    pub(super) fn needs_body(&self) -> bool {
        matches!(self.from, Source::Json(_) | Source::Body(_))
    }

    /// Takes the value out of an answer that `url` gave.
    pub(super) fn take(&self, facts: &Facts, cookies: &Cookies, url: &Url) -> Result<String, Reason> {
        let body = facts.body.as_deref().unwrap_or_default();
        let failed = |code, why: String| Reason::new(code, format!("{} cannot be taken: {why}", self.name));
        let value = match &self.from {
            Source::Json(path) => from_json(path, body).map_err(|why| failed(ReasonCode::Json, why))?,
            Source::Body(regex) => {
                let text = String::from_utf8_lossy(body);
                let found = regex.captures(&text).and_then(|groups| groups.get(1).or_else(|| groups.get(0)));
                found.map(|found| found.as_str().to_owned()).ok_or_else(|| {
                    let why = format!("the answer of {} bytes does not match {:?}", body.len(), regex.as_str());
                    failed(ReasonCode::Body, why)
                })?
            }
            Source::Header(name) => {
                let found = facts.headers.iter().find(|(header, _)| header == name);
                let missing = || failed(ReasonCode::Header, format!("header {name} is missing"));
                found.map(|(_, value)| value.clone()).ok_or_else(missing)?
            }
            Source::Cookie(name) => {
                let missing = || failed(ReasonCode::Header, format!("there is no cookie {name}"));
                cookies.value(url, name).map(str::to_owned).ok_or_else(missing)?
            }
        };
        if value.len() > MAX_VALUE_BYTES {
            let why = format!("it has {} bytes, more than {MAX_VALUE_BYTES}", value.len());
            return Err(failed(ReasonCode::TooLarge, why));
        }
        Ok(value)
    }
}

fn from_json(path: &JsonPath, body: &[u8]) -> Result<String, String> {
    if body.len() > MAX_JUDGED_BYTES {
        return Err(format!("the body is {} bytes, more than the {MAX_JUDGED_BYTES} that are judged", body.len()));
    }
    let json: Json = serde_json::from_slice(body)
        .map_err(|error| format!("the body of {} bytes is not JSON ({error})", body.len()))?;
    // Keys are shown and values are not: among them are sessions and tokens.
    let found = path.find(&json).map_err(|_| format!("json {path} is missing{}", keys(&json)))?;
    match found {
        Json::Null => Err(format!("json {path} is null")),
        Json::String(text) => Ok(text.clone()),
        other => Ok(other.to_string()),
    }
}

/// What a mapping has at its top, for people who look for something else.
fn keys(json: &Json) -> String {
    let Some(map) = json.as_object().filter(|map| !map.is_empty()) else { return String::new() };
    let keys: Vec<&str> = map.keys().map(String::as_str).take(MAX_SHOWN_KEYS).collect();
    format!("; there are {}", keys.join(", "))
}
