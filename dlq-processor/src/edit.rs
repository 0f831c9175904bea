//! Edits of what a job held: a JSON Patch (RFC 6902) applied to a copy of it. What it held stays as it is.

use json_patch::{PatchOperation, patch};
use serde_json::Value;

/// Operations of one patch, at most.
const OPERATIONS: usize = 100;
/// Largest result, in bytes: operations copy, so that a short patch could make it any size.
const LARGEST_BYTES: usize = 4 << 20;
/// Largest whole number that a JSON number holds exactly for programs that read it as one of JavaScript's (2^53 - 1).
const EXACT: f64 = 9_007_199_254_740_991.0;

/// Why a payload cannot be edited so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    /// The patch is none.
    #[error("{0}")]
    Patch(String),
    /// The payload is none that can be patched, or not by this.
    #[error("{0}")]
    Payload(String),
}

/// Returns what a job would hold.
///
/// # Errors
/// [`EditError`], which names the operation.
pub fn apply(data: &[u8], edit: &Value) -> Result<Vec<u8>, EditError> {
    let operations = read(edit)?;
    let mut edited: Value = serde_json::from_slice(data).map_err(|_| {
        EditError::Payload("what the job held is not JSON, and can only be redriven as it is".to_owned())
    })?;
    if !is_exact(&edited) {
        let why = "what the job held has numbers that would not stay as they are, and can only be redriven as it is";
        return Err(EditError::Payload(why.to_owned()));
    }
    for (number, operation) in operations.iter().enumerate() {
        let named = |why: String| EditError::Payload(format!("{}: {why}", name(number, edit)));
        patch(&mut edited, std::slice::from_ref(operation)).map_err(|error| named(error.kind.to_string()))?;
        if matches!(operation, PatchOperation::Copy(_)) && written(&edited).len() > LARGEST_BYTES {
            return Err(named(format!("the result is larger than {} MiB", LARGEST_BYTES >> 20)));
        }
    }
    let edited = written(&edited);
    if edited.len() > LARGEST_BYTES.max(data.len()) {
        return Err(EditError::Payload(format!("the result is larger than {} MiB", LARGEST_BYTES >> 20)));
    }
    Ok(edited)
}

fn read(edit: &Value) -> Result<Vec<PatchOperation>, EditError> {
    let wrong = |why: &str| {
        EditError::Patch(format!(
            "patch {why}; write it like [{{\"op\": \"replace\", \"path\": \"/to\", \"value\": \"a@b.c\"}}]"
        ))
    };
    let operations = edit.as_array().ok_or_else(|| wrong("is not a list of operations (RFC 6902)"))?;
    if !(1..=OPERATIONS).contains(&operations.len()) {
        return Err(wrong(&format!("has {} operations, not 1 to {OPERATIONS}", operations.len())));
    }
    let read = |(number, operation): (usize, &Value)| {
        let operation = serde_json::from_value(operation.clone());
        operation.map_err(|error| EditError::Patch(format!("{}: {error}", name(number, edit))))
    };
    operations.iter().enumerate().map(read).collect()
}

/// Names an operation as a person counts them.
fn name(number: usize, edit: &Value) -> String {
    let text = |key| edit.get(number).and_then(|operation| operation.get(key)).and_then(Value::as_str).unwrap_or("?");
    format!("operation {} ({} {:?})", number + 1, text("op"), text("path"))
}

fn written(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Whether all numbers are written again as they were read.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() != 0.0 || number.abs() <= EXACT)
        }
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HELD: &str = r#"{"to":"a@b","list":[1,2.5],"text":"\u0000😀"}"#;

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let check = |edit: Value, expected: Value| {
            let edited = apply(HELD.as_bytes(), &edit).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), expected, "{edit}");
        };
        let with = |to: Value, list: Value| json!({"to": to, "list": list, "text": "\u{0}😀"});
        check(json!([{"op": "replace", "path": "/to", "value": "c@d"}]), with(json!("c@d"), json!([1, 2.5])));
        let test = json!({"op": "test", "path": "/to", "value": "a@b"});
        check(json!([test, {"op": "add", "path": "/list/-", "value": 3}]), with(json!("a@b"), json!([1, 2.5, 3])));
        check(json!([{"op": "remove", "path": "/list/0"}]), with(json!("a@b"), json!([2.5])));
        check(json!([{"op": "replace", "path": "", "value": 7}]), json!(7));
        let third = r#"{"a":0.30000000000000004,"b":1}"#;
        let edited = apply(third.as_bytes(), &json!([{"op": "remove", "path": "/b"}])).unwrap();
        assert_eq!(str::from_utf8(&edited).unwrap(), r#"{"a":0.30000000000000004}"#);
    }

    #[test]
    fn what_cannot_be_is_told_with_the_operation_that_it_is_about() {
        let fine = json!({"op": "remove", "path": "/to"});
        for (edit, expected) in [
            (json!({}), "patch is not a list of operations (RFC 6902); write it like [{\"op\""),
            (json!([]), "patch has 0 operations, not 1 to 100"),
            (json!([{"op": "sing", "path": "/to"}]), "operation 1 (sing \"/to\"): unknown variant `sing`"),
            (json!([fine, {"op": "add", "path": "to", "value": 1}]), "operation 2 (add \"to\"): "),
            (json!([{"op": "add", "path": "/to"}]), "operation 1 (add \"/to\"): missing field `value`"),
            (json!([fine, fine]), "operation 2 (remove \"/to\"): path is invalid"),
            (json!([{"op": "replace", "path": "/list/9", "value": 1}]), "operation 1 (replace \"/list/9\"): path is"),
            (json!([{"op": "test", "path": "/to", "value": "x"}]), "operation 1 (test \"/to\"): value did not match"),
            (
                json!([{"op": "move", "from": "/x", "path": "/to"}]),
                "operation 1 (move \"/to\"): \"from\" path is invalid",
            ),
            (json!([{"op": "remove", "path": ""}]), "operation 1 (remove \"\"): "),
        ] {
            let why = apply(HELD.as_bytes(), &edit).unwrap_err().to_string();
            assert!(why.starts_with(expected), "{edit}: {why}");
        }
        for (held, expected) in [
            (&b"hunter2"[..], "what the job held is not JSON"),
            (b"\xff", "what the job held is not JSON"),
            (br#""\ud800""#, "what the job held is not JSON"),
            (b"[123456789012345678901]", "what the job held has numbers that would not stay as they are"),
        ] {
            let edit = json!([{"op": "replace", "path": "", "value": 1}]);
            let why = apply(held, &edit).unwrap_err().to_string();
            assert!(why.starts_with(expected) && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_short_patch_makes_nothing_of_any_size() {
        let held = json!({"a": ["x".repeat(1000)]}).to_string();
        let double = json!([{"op": "copy", "from": "", "path": "/a/-"}]);
        let edit = Value::from(vec![double[0].clone(); 40]);
        let why = apply(held.as_bytes(), &edit).unwrap_err().to_string();
        assert!(why.ends_with("(copy \"/a/-\"): the result is larger than 4 MiB"), "{why}");
    }
}
