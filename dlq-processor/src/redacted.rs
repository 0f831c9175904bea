//! What a job held, without what nobody should see.

use kit::secrets::{SHOWN, is_secret_field};
use serde_json::Value;

/// Takes out what fields hold that have names of secrets.
pub(crate) fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match is_secret_field(name) && !field.is_null() {
                    true => *field = Value::from(SHOWN),
                    false => hide(field),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
