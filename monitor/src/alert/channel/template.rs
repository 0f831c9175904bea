//! A person's template of a body (MiniJinja), checked when the configuration is read.

use std::fmt;

use kit::config::Cursor;
use minijinja::{Environment, UndefinedBehavior};

use crate::alert::message::Message;

/// Longest template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 64 * 1024;
/// Work a template may do, in MiniJinja's instructions: a message of a hundred alerts takes some ten thousand.
const MAX_FUEL: u64 = 1_000_000;
const NAME: &str = "template";

/// A compiled template. In it: every field of [`Message`], and the filters of MiniJinja, `tojson` above all.
pub(super) struct Template {
    environment: Environment<'static>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template")
    }
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
        environment.add_template_owned(NAME, text).map_err(|error| format!("the template is wrong: {error}"))?;
        Ok(Self { environment })
    }

    /// Fills the template in.
    ///
    /// # Errors
    /// A field that is not there, or too much work.
    pub(super) fn render(&self, message: &Message) -> Result<String, minijinja::Error> {
        self.environment.get_template(NAME)?.render(minijinja::value::Serde(message))
    }
}
