//! What clients send, checked: each mistake names its field and says what to write.

use std::fmt::Display;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kit::http::ApiError;
use serde_json::{Map, Value};

/// Longest name of anything, in characters. Ours.
pub(super) const MAX_NAME_CHARS: usize = 200;
/// What is shown of a wrong value, in characters.
const SHOWN_CHARS: usize = 40;

/// Refuses a field: `what` goes on where its name ended.
pub(super) fn wrong(field: &str, what: impl Display) -> ApiError {
    ApiError::bad_request(format!("{field} {what}")).code("bad_request").with("field", field)
}

/// Returns a value so that it can be shown.
pub(super) fn shown(value: &str) -> String {
    format!("{:?}", value.chars().take(SHOWN_CHARS).collect::<String>())
}

/// Goes on with a text that is neither empty nor endless. PostgreSQL keeps no zero bytes (manual, section 8.3).
pub(super) fn text(field: &str, text: String, most_chars: usize) -> Result<String, ApiError> {
    let length = text.chars().count();
    if length == 0 {
        return Err(wrong(field, format_args!("is empty; write 1 to {most_chars} characters")));
    }
    if length > most_chars {
        return Err(wrong(field, format_args!("has {length} characters; write at most {most_chars}")));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong(field, "has control characters; leave them out"));
    }
    Ok(text)
}

/// As [`text`], if there is one.
pub(super) fn text_or_none(field: &str, given: Option<String>, most_chars: usize) -> Result<Option<String>, ApiError> {
    given.map(|given| text(field, given, most_chars)).transpose()
}

/// Goes on with an id: a text, or the number that earlier accounts had.
pub(super) fn id(field: &str, given: Option<Value>) -> Result<Option<String>, ApiError> {
    match given {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => text(field, id, MAX_NAME_CHARS).map(Some),
        Some(Value::Number(id)) if id.is_i64() || id.is_u64() => Ok(Some(id.to_string())),
        Some(_) => Err(wrong(field, "is no id; write text or a whole number")),
    }
}

/// Goes on with an object, as JSON.
pub(super) fn object(field: &str, given: &Map<String, Value>, most_bytes: usize) -> Result<String, ApiError> {
    let json = serde_json::to_string(given).map_err(|error| ApiError::internal(&error))?;
    if json.len() > most_bytes {
        return Err(wrong(field, format_args!("has {} bytes; write at most {most_bytes}", json.len())));
    }
    Ok(json)
}

/// Goes on with a number in these bounds.
pub(super) fn within(
    field: &str,
    given: Option<i64>,
    default: i64,
    bounds: RangeInclusive<i64>,
) -> Result<i64, ApiError> {
    let number = given.unwrap_or(default);
    if bounds.contains(&number) {
        return Ok(number);
    }
    Err(wrong(field, format_args!("is {number}; write a number from {} to {}", bounds.start(), bounds.end())))
}

/// Goes on with an amount of something; none is 0.
pub(super) fn amount(field: &str, given: Option<&Value>) -> Result<f64, ApiError> {
    let number = match given {
        None | Some(Value::Null) => return Ok(0.0),
        Some(value) => value.as_f64().filter(|number| *number >= 0.0),
    };
    number.ok_or_else(|| wrong(field, "is no amount; write a number of 0 or more"))
}

/// Goes on with a time: RFC 3339, or without a zone, which is UTC then, or a day, which begins then.
pub(super) fn time(field: &str, given: &str) -> Result<Timestamp, ApiError> {
    let in_utc = || given.parse::<DateTime>()?.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    given.parse().or_else(|_has_no_zone| in_utc()).map_err(|_| {
        let wanted = "write a time like 2026-01-31T12:00:00Z, or a day like 2026-01-31";
        wrong(field, format_args!("is {}; {wanted}", shown(given)))
    })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use kit::http::ErrorMessage;
    use serde_json::json;

    use super::*;

    /// Returns what a client is told.
    fn told<T: std::fmt::Debug>(found: Result<T, ApiError>) -> String {
        let answer = found.unwrap_err().into_response();
        assert_eq!(answer.status(), 400);
        answer.extensions().get::<ErrorMessage>().unwrap().0.clone()
    }

    #[test]
    fn a_mistake_names_its_field_and_says_what_to_write() {
        assert_eq!(told(text("x", String::new(), 3)), "x is empty; write 1 to 3 characters");
        assert_eq!(told(text("x", "äöüß".to_owned(), 3)), "x has 4 characters; write at most 3");
        assert_eq!(told(text("x", "a\0".to_owned(), 3)), "x has control characters; leave them out");
        assert_eq!(told(id("x", Some(json!(1.5)))), "x is no id; write text or a whole number");
        assert_eq!(
            told(object("x", &Map::from_iter([("a".to_owned(), json!(1))]), 6)),
            "x has 7 bytes; write at most 6"
        );
        assert_eq!(told(within("x", Some(0), 5, 1..=9)), "x is 0; write a number from 1 to 9");
        for value in [json!(-1), json!("1"), json!([])] {
            assert_eq!(told(amount("x", Some(&value))), "x is no amount; write a number of 0 or more");
        }
        let wanted = "x is \"soon\"; write a time like 2026-01-31T12:00:00Z, or a day like 2026-01-31";
        assert_eq!(told(time("x", "soon")), wanted);
    }

    #[test]
    fn what_is_right_goes_on() {
        assert_eq!(text("x", "äöü".to_owned(), 3).unwrap(), "äöü");
        assert_eq!(id("x", Some(json!(7))).unwrap().as_deref(), Some("7"));
        assert_eq!(id("x", Some(Value::Null)).unwrap(), None);
        assert_eq!((within("x", None, 5, 1..=9).unwrap(), within("x", Some(9), 5, 1..=9).unwrap()), (5, 9));
        assert_eq!(amount("x", None).unwrap() + amount("x", Some(&json!(0.5))).unwrap(), 0.5);
        for (given, utc) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
            ("2026-01-31T12:00:00.5", "2026-01-31T12:00:00.5Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
        ] {
            assert_eq!(time("x", given).unwrap().to_string(), utc);
        }
    }
}
