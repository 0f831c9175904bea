//! Reading JSON whose form is not ours.

use serde_json::Value;

/// Returns a field, or null if there is none.
pub(super) fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}
