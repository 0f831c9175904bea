//! What is said of an event, each value without secrets.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use serde::Serialize;
use serde_json::Number;
use tracing::field::{Field, Visit};

use crate::secrets::{SHOWN, is_secret_field, redact_line};

/// Longest text of one value, in bytes: Loki takes lines of 256 KiB (`limits_config.max_line_size`).
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Fields of an event that comes from the crate `log` (tracing-log, `lib.rs`): they stand for its metadata.
const OF_LOG: &str = "log.";

/// The value of a field.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    /// A number.
    Number(Number),
    /// Yes or no.
    Flag(bool),
    /// A text.
    Text(String),
    /// What something says of itself (`Debug`, `Display`): it needs no quotes.
    Said(String),
}

/// What is said of an event.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    /// Where an event of the crate `log` comes from.
    pub(super) target: Option<String>,
    pub(super) all: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        let value = if is_secret_field(field.name()) { Value::Said(SHOWN.to_owned()) } else { value };
        self.all.push((field.name(), value));
    }

    fn number(&mut self, field: &Field, number: impl Into<Number>) {
        self.add(field, Value::Number(number.into()));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match Number::from_f64(value) {
            Some(number) => self.number(field, number),
            None => self.add(field, Value::Said(value.to_string())),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // The line of a source file.
        if !field.name().starts_with(OF_LOG) {
            self.number(field, value);
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(number) => self.number(field, number),
            Err(_large) => self.add(field, Value::Said(value.to_string())),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match u64::try_from(value) {
            Ok(number) => self.number(field, number),
            Err(_large) => self.add(field, Value::Said(value.to_string())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Flag(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = shown(value),
            "log.target" => self.target = Some(value.to_owned()),
            name if name.starts_with(OF_LOG) => {}
            _ => self.add(field, Value::Text(shown(value))),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, Value::Said(shown(&crate::chain::Chain(value).to_string())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let said = shown(&format!("{value:?}"));
        if field.name() == "message" {
            self.message = said;
        } else {
            self.add(field, Value::Said(said));
        }
    }
}

/// Writes `name=value` pairs for eyes, each after a space.
pub(super) struct Pairs<'a> {
    pub(super) fields: &'a Fields,
    pub(super) has_colours: bool,
}

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.fields.all {
            if self.has_colours { write!(f, " \x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m") } else { write!(f, " {name}=") }?;
            match value {
                Value::Number(number) => write!(f, "{number}"),
                Value::Flag(flag) => write!(f, "{flag}"),
                Value::Text(text) => write!(f, "{text:?}"),
                Value::Said(text) => write!(f, "{}", Plain(text)),
            }?;
        }
        Ok(())
    }
}

/// A text that cannot steer a terminal.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                // Whoever begins a new line does not begin it as the log does.
                '\n' => f.write_str("\n    ")?,
                '\t' => f.write_char(char)?,
                _ if char.is_control() => write!(f, "{}", char.escape_default())?,
                _ => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// Without secrets, and cut.
fn shown(text: &str) -> String {
    // What is looked for may begin before the end.
    let text = redact_line(text.get(..text.floor_char_boundary(2 * MAX_TEXT_BYTES)).unwrap_or_default());
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    format!("{}…", text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default())
}
