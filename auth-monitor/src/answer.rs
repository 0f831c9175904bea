//! What an answer must be, in words that show no secret of it.

use monitor::probe::{Answer, Outcome, ReasonCode};
use serde_json::Value as Json;

/// Keys of an answer that are shown, at most.
const MAX_SHOWN_KEYS: usize = 8;
/// Characters of a server's own words that are shown, at most.
const MAX_SHOWN_CHARS: usize = 120;
/// Keys that hold what signs somebody in.
const TOKENS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

/// Returns the JSON of an answer with one of these statuses.
pub(crate) fn good<'a>(answer: &'a Answer, statuses: &[u16]) -> Result<&'a Json, Outcome> {
    if !statuses.contains(&answer.status) {
        return Err(wrong_status(answer, statuses));
    }
    let no_json =
        || Outcome::fail(ReasonCode::Json, format!("status {}, but no JSON: {}", answer.status, looks(answer)));
    answer.json.as_ref().ok_or_else(no_json)
}

/// Checks that an answer refuses, and that what it says is an error for programs and gives nothing away.
pub(crate) fn refused(answer: &Answer, status: u16) -> Result<(), Outcome> {
    let json = good(answer, &[status])?;
    if said(json).is_none() {
        let text = format!("status {status}, but the JSON has no error, detail or message: {}", looks(answer));
        return Err(Outcome::fail(ReasonCode::Json, text));
    }
    match find_key(json, &|key| TOKENS.contains(&key)) {
        Some(key) => Err(Outcome::fail(ReasonCode::Json, format!("status {status}, but the answer holds {key:?}"))),
        None => Ok(()),
    }
}

/// Checks that nothing of a password stands in an answer.
pub(crate) fn keeps_passwords(json: &Json) -> Result<(), Outcome> {
    let tells = |key: &str| key.contains("password") || key == "hash" || key.ends_with("_hash") || key == "salt";
    match find_key(json, &tells) {
        Some(key) => Err(Outcome::fail(ReasonCode::Json, format!("the answer holds {key:?}"))),
        None => Ok(()),
    }
}

/// Returns a text of an answer's JSON.
pub(crate) fn text<'a>(json: &'a Json, key: &str) -> Result<&'a str, Outcome> {
    let found = json.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| Outcome::fail(ReasonCode::Json, format!("json {key} is missing{}", keys(json))))
}

/// Says which status came instead of the expected ones.
pub(crate) fn wrong_status(answer: &Answer, expected: &[u16]) -> Outcome {
    let expected: Vec<String> = expected.iter().map(u16::to_string).collect();
    let text = format!("status {}, expected {}: {}", answer.status, expected.join(" or "), looks(answer));
    Outcome::fail(ReasonCode::Status, text)
}

/// What an answer is, for people: an error in its server's words, otherwise its form alone; what it gives may be a token.
fn looks(answer: &Answer) -> String {
    let words = answer.json.as_ref().filter(|_| answer.status >= 400).and_then(said);
    match (&answer.json, words) {
        (_, Some(words)) => words.chars().take(MAX_SHOWN_CHARS).collect(),
        (Some(json), None) => format!("it is JSON{}", keys(json)),
        (None, None) => {
            let kind = answer.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
            format!("it is {}", kind.unwrap_or("of no content type"))
        }
    }
}

/// A server's own words for an error, under the names that clients read.
fn said(json: &Json) -> Option<&str> {
    ["error", "detail", "message"].iter().find_map(|key| json.get(key)?.as_str())
}

fn keys(json: &Json) -> String {
    let Some(map) = json.as_object().filter(|map| !map.is_empty()) else { return String::new() };
    let keys: Vec<&str> = map.keys().map(String::as_str).take(MAX_SHOWN_KEYS).collect();
    format!("; there are {}", keys.join(", "))
}

/// Finds a key anywhere in a document.
fn find_key<'a>(json: &'a Json, is_it: &impl Fn(&str) -> bool) -> Option<&'a str> {
    match json {
        Json::Object(map) => map.iter().find_map(|(key, value)| {
            if is_it(&key.to_ascii_lowercase()) { Some(key.as_str()) } else { find_key(value, is_it) }
        }),
        Json::Array(items) => items.iter().find_map(|item| find_key(item, is_it)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Answer {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Answer {
            status,
            headers,
            json: serde_json::from_str(body).ok(),
            excerpt: body.to_owned(),
            body: body.to_owned().into(),
        }
    }

    fn reason(outcome: Result<(), Outcome>) -> String {
        match outcome {
            Ok(()) => "fine".to_owned(),
            Err(Outcome::Fail(reason) | Outcome::Unknown(reason)) => reason.text,
            Err(Outcome::Pass) => "a pass".to_owned(),
        }
    }

    #[test]
    fn only_the_right_status_with_an_error_in_json_is_a_refusal() {
        for (status, kind, body, said) in [
            (401, "application/json", r#"{"error":"no"}"#, "fine"),
            (401, "application/json", r#"{"detail":"no"}"#, "fine"),
            (200, "text/html", "<html>", "status 200, expected 401: it is text/html"),
            (401, "text/html", "<html>", "status 401, but no JSON: it is text/html"),
            (401, "application/json", "{}", "status 401, but the JSON has no error, detail or message: it is JSON"),
            (403, "application/json", r#"{"error":"not you"}"#, "status 403, expected 401: not you"),
            (
                401,
                "application/json",
                r#"{"error":"no","a":[{"Access_Token":"t"}]}"#,
                "status 401, but the answer holds \"Access_Token\"",
            ),
        ] {
            assert_eq!(reason(refused(&answer(status, kind, body), 401)), said, "{body}");
        }
    }

    #[test]
    fn what_an_answer_gives_is_told_by_its_keys_alone() {
        let given = answer(202, "application/json", r#"{"access_token":"secret"}"#);
        assert_eq!(reason(refused(&given, 401)), "status 202, expected 401: it is JSON; there are access_token");
        let user: Json = serde_json::from_str(r#"{"user":{"password_hash":"$argon2id$"}}"#).unwrap();
        assert_eq!(reason(keeps_passwords(&user)), "the answer holds \"password_hash\"");
    }
}
