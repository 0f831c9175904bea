//! What a job held, without what nobody should see: fields with names of secrets, what looks like one in any text, and places that
//! somebody named.

use kit::secrets::{SHOWN, is_secret_field, redact_line};
use serde_json::{Value, json};

/// What is hidden besides what is known for a secret: places in data, as JSON pointers (RFC 6901) in which `*` is every
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
            operation.get_mut("value").into_iter().for_each(|value| self.hide_put(&place, value));
        }
    }

    /// Hides what is at a place of data where it would be hidden there.
    pub(crate) fn hide_put(&self, pointer: &str, value: &mut Value) {
        let wrap = |inner, part: &String| json!({ part: inner });
        let mut whole = parts(pointer).unwrap_or_default().iter().rev().fold(value.take(), wrap);
        self.hide(&mut whole);
        // What is hidden with all around it is nowhere any more.
        *value = whole.pointer(pointer).cloned().unwrap_or_else(|| Value::from(SHOWN));
    }

    /// Reads which letters a plan chose, without a value in their data that would be hidden there.
    pub(crate) fn of_filter(&self, filter: &str) -> Value {
        let mut filter: Value = serde_json::from_str(filter).unwrap_or_default();
        let pointer = filter.pointer("/data/pointer").and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
        filter.pointer_mut("/data/value").into_iter().for_each(|value| self.hide_put(&pointer, value));
        filter
    }

    /// Whether somebody named places: what is in them cannot be known without reading data whole.
    pub(crate) fn names_places(&self) -> bool {
        !self.0.is_empty()
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
        Value::String(text) => *text = redact_line(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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
        // What a patch puts behind the last element (RFC 6902, section 4.1) may become any.
        Value::Object(fields) if !fields.contains_key(first) && first.parse::<usize>().is_ok() => {
            fields.get_mut("-").into_iter().for_each(|field| hide_at(field, rest));
        }
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
        for place in ["/users/*/iban", "/card", "/a~1b/1", "/none/of/these", "/text/0", "/nothing", "/list/0/iban"] {
            assert!(redaction.add(place));
        }
        assert!(!redaction.add("card") && !redaction.add(""));
        let mut held = json!({
            "users": [{ "iban": "DE1", "name": "a" }, { "iban": null }], "card": { "number": 1 }, "a/b": [1, 2, 3],
            "text": "abc", "nothing": null, "login": { "password": "p", "user": "u", "accessToken": "t" },
            "url": "https://ada:lovelace@example.com/", "list": [{ "iban": "DE9" }],
        });
        redaction.hide(&mut held);
        let expected = json!({
            "users": [{ "iban": SHOWN, "name": "a" }, { "iban": null }], "card": SHOWN, "a/b": [1, SHOWN, 3],
            "text": "abc", "nothing": null, "login": { "password": SHOWN, "user": "u", "accessToken": SHOWN },
            "url": "https://ada:[redacted]@example.com/", "list": [{ "iban": SHOWN }],
        });
        assert_eq!(held, expected);
        let mut patch = json!([
            { "op": "replace", "path": "/login/password", "value": "q" }, { "op": "add", "path": "/users/-/iban", "value": "DE2" },
            { "op": "add", "path": "/users/-", "value": { "iban": "DE3", "name": "c" } }, { "op": "remove", "path": "/card" },
            { "op": "add", "path": "/card/number", "value": 7 }, { "op": "add", "path": "/list/-", "value": { "iban": "DE8" } }, { "op": "replace", "path": "", "value": { "card": 1, "a": 2 } },
        ]);
        redaction.hide_in_patch(&mut patch);
        let expected = json!([
            { "op": "replace", "path": "/login/password", "value": SHOWN }, { "op": "add", "path": "/users/-/iban", "value": SHOWN },
            { "op": "add", "path": "/users/-", "value": { "iban": SHOWN, "name": "c" } }, { "op": "remove", "path": "/card" },
            { "op": "add", "path": "/card/number", "value": SHOWN }, { "op": "add", "path": "/list/-", "value": { "iban": SHOWN } }, { "op": "replace", "path": "", "value": { "card": SHOWN, "a": 2 } },
        ]);
        assert_eq!(patch, expected);
        let filter = redaction.of_filter(r#"{"queue":"q","data":{"pointer":"/card/number","value":7}}"#);
        assert_eq!(filter, json!({ "queue": "q", "data": { "pointer": "/card/number", "value": SHOWN } }));
        assert_eq!(redaction.of_filter(r#"{"queue":"q"}"#), json!({ "queue": "q" }));
    }
}
