//! A person's template of a body (MiniJinja), checked when the configuration is read.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::config::Cursor;
use minijinja::{Environment, UndefinedBehavior};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::words;
use crate::alert::message::Message;

/// Longest template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 64 * 1024;
/// Work a template may do, in MiniJinja's instructions: a message of a hundred alerts takes some ten thousand.
const MAX_FUEL: u64 = 1_000_000;
/// Longest `headline`, in characters.
const MAX_HEADLINE_CHARS: usize = 250;
/// Longest `text`, in characters: any chat takes it whole or is cut by its own template.
const MAX_TEXT_CHARS: usize = 16_000;
const NAME: &str = "template";

/// A compiled template. In it: every field of [`Message`], `headline` (one line) and `text` (many) for people, `values`
/// and `secrets` of the settings, and the filters of MiniJinja, `tojson` and `urlencode` above all, and `b64encode`.
pub(super) struct Template {
    environment: Environment<'static>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template")
    }
}

/// What settings hand to a template beside the message. Never shown: it holds secrets.
#[derive(Default)]
pub(super) struct Parameters {
    pub(super) values: BTreeMap<String, serde_json::Value>,
    pub(super) secrets: BTreeMap<String, SecretString>,
}

/// What a template sees.
#[derive(Serialize)]
struct Scope<'a> {
    #[serde(flatten)]
    message: &'a Message,
    headline: String,
    text: String,
    values: &'a BTreeMap<String, serde_json::Value>,
    secrets: BTreeMap<&'a str, &'a str>,
}

impl Template {
    /// Compiles a template written in the configuration.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let text = cursor.text()?;
        match Self::of(text) {
            Ok(template) => Some(template),
            Err(message) => {
                cursor.mistake(message);
                None
            }
        }
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it.
    pub(super) fn of(text: String) -> Result<Self, String> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("the template has {} bytes, more than {MAX_TEMPLATE_BYTES}", text.len()));
        }
        let mut environment = Environment::new();
        // A misspelt field must not send an empty message.
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(MAX_FUEL));
        environment.add_filter("b64encode", |text: &str| STANDARD.encode(text));
        environment.add_template_owned(NAME, text).map_err(|error| format!("the template is wrong: {error}"))?;
        Ok(Self { environment })
    }

    /// Fills the template in.
    ///
    /// # Errors
    /// A field that is not there, or too much work. The text names the place in the template and shows no value.
    pub(super) fn render(&self, message: &Message, parameters: &Parameters) -> Result<String, minijinja::Error> {
        let secrets = parameters.secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret()));
        let scope = Scope {
            message,
            headline: words::headline(message, MAX_HEADLINE_CHARS),
            text: words::plain(message, MAX_TEXT_CHARS),
            values: &parameters.values,
            secrets: secrets.collect(),
        };
        self.environment.get_template(NAME)?.render(minijinja::value::Serde(scope))
    }
}
