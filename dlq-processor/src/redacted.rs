//! What a job held, without what nobody should see.

use kit::secrets::{SHOWN, is_secret_field};
use serde_json::{Value, json};

/// What is hidden besides fields that have names of secrets: places in data, as JSON pointers (RFC 6901) in which `*` is every
/// field or element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Redaction(Vec<Vec<String>>);

impl Redaction {
    /// Adds a place; returns whether it is one.
    pub(crate) fn add(&mut self, pointer: &str) -> bool {
        let place = parts(pointer);
        self.0.extend(place.clone());
        place.is_some()
    }

    /// Hides what a patch (RFC 6902) puts into data where it would be hidden there.
    pub(crate) fn hide_in_patch(&self, patch: &mut Value) {
        for operation in patch.as_array_mut().into_iter().flatten() {
            let place = operation.get("path").and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
            let Some(value) = operation.get_mut("value") else { continue };
            let wrap = |inner, part: &String| json!({ part: inner });
            let mut whole = parts(&place).unwrap_or_default().iter().rev().fold(value.take(), wrap);
            self.hide(&mut whole);
            // What is hidden with all around it is nowhere any more.
            *value = whole.pointer(&place).cloned().unwrap_or_else(|| Value::from(SHOWN));
        }
    }

    /// Hides all of it.
    pub(crate) fn hide(&self, value: &mut Value) {
        hide_secrets(value);
        for place in &self.0 {
            hide_at(value, place);
        }
    }
}

/// The parts of a pointer that leads somewhere.
fn parts(pointer: &str) -> Option<Vec<String>> {
    let parts = pointer.strip_prefix('/')?.split('/');
    Some(parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match is_secret_field(name) && !field.is_null() {
                    true => *field = Value::from(SHOWN),
                    false => hide_secrets(field),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn hide_at(value: &mut Value, place: &[String]) {
    let Some((first, rest)) = place.split_first() else {
        if !value.is_null() {
            *value = Value::from(SHOWN);
        }
        return;
    };
    match value {
        Value::Object(fields) if first == "*" => fields.values_mut().for_each(|field| hide_at(field, rest)),
        Value::Array(values) if first == "*" => values.iter_mut().for_each(|value| hide_at(value, rest)),
        Value::Object(fields) => fields.get_mut(first).into_iter().for_each(|field| hide_at(field, rest)),
        Value::Array(values) => {
            let value = first.parse().ok().and_then(|at: usize| values.get_mut(at));
            value.into_iter().for_each(|value| hide_at(value, rest));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_and_places_that_somebody_named_are_hidden_and_nothing_else() {
        let mut redaction = Redaction::default();
        for place in ["/users/*/iban", "/card", "/a~1b/1", "/none/of/these", "/text/0", "/nothing"] {
            assert!(redaction.add(place));
        }
        assert!(!redaction.add("card") && !redaction.add(""));
        let mut held = json!({
            "users": [{ "iban": "DE1", "name": "a" }, { "iban": null }], "card": { "number": 1 }, "a/b": [1, 2, 3],
            "text": "abc", "nothing": null, "login": { "password": "p", "user": "u" },
        });
        redaction.hide(&mut held);
        let expected = json!({
            "users": [{ "iban": SHOWN, "name": "a" }, { "iban": null }], "card": SHOWN, "a/b": [1, SHOWN, 3],
            "text": "abc", "nothing": null, "login": { "password": SHOWN, "user": "u" },
        });
        assert_eq!(held, expected);
        let mut patch = json!([
            { "op": "replace", "path": "/login/password", "value": "q" }, { "op": "add", "path": "/users/-/iban", "value": "DE2" },
            { "op": "add", "path": "/users/-", "value": { "iban": "DE3", "name": "c" } }, { "op": "remove", "path": "/card" },
            { "op": "add", "path": "/card/number", "value": 7 }, { "op": "replace", "path": "", "value": { "card": 1, "a": 2 } },
        ]);
        redaction.hide_in_patch(&mut patch);
        let expected = json!([
            { "op": "replace", "path": "/login/password", "value": SHOWN }, { "op": "add", "path": "/users/-/iban", "value": SHOWN },
            { "op": "add", "path": "/users/-", "value": { "iban": SHOWN, "name": "c" } }, { "op": "remove", "path": "/card" },
            { "op": "add", "path": "/card/number", "value": SHOWN }, { "op": "replace", "path": "", "value": { "card": SHOWN, "a": 2 } },
        ]);
        assert_eq!(patch, expected);
    }
}
