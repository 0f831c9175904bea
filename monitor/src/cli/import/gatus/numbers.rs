//! Numbers and texts that conditions compare with, and where they are not what they look like.

use kit::config::parse_duration;
use serde_json::Value;

use super::condition::{duration_ms, whole};

/// Reads what an order is compared with, in milliseconds if it is a duration, and says if Gatus saw another number.
pub(super) fn read(text: &str) -> Option<(f64, Option<String>)> {
    if let Some(milliseconds) = duration_ms(text) {
        return Some((milliseconds, None));
    }
    if let Some(number) = whole(text) {
        #[expect(clippy::cast_precision_loss, reason = "nobody compares with more than 2^53")]
        let value = number as f64;
        let is_plain = number.to_string() == text.trim_start_matches('+');
        let note = (!is_plain).then(|| format!("{text} is the number {number}"));
        return Some((value, note));
    }
    if let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        return Some((number, None));
    }
    let length = parse_duration(text).ok()?;
    Some((length.as_secs_f64() * 1000.0, Some(format!("{text} is no duration of Gatus, which counted it as 0"))))
}

/// What an equality is compared with, as JSON has it.
pub(super) fn typed(text: &str) -> (Value, Option<String>) {
    let only = |value: Value, what: &str| {
        let note = format!("{value} is {what} here, and no longer also the text {text:?}");
        (value, Some(note))
    };
    match text {
        "true" | "false" => return only(Value::Bool(text == "true"), "a truth value"),
        _ => {}
    }
    if let Some(number) = whole(text) {
        return only(number.into(), "a number");
    }
    let is_fraction = text.contains('.') && text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    match text.parse::<f64>() {
        Ok(number) if is_fraction && number.is_finite() => only(number.into(), "a number"),
        _ => (text.into(), None),
    }
}
