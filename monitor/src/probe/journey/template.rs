//! What steps send, where it depends on what came before: MiniJinja templates, each written in as its place needs it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::config::{Cursor, suggest};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, Output, State, UndefinedBehavior, filters};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value as Json;

/// Longest template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 64 * 1024;
/// Work a template may do, in MiniJinja's instructions; a body of a hundred lines takes some thousand.
const MAX_FUEL: u64 = 100_000;
/// What an extracted value is while the configuration is checked.
const SAMPLE: &str = "sample";
/// A word of this run's own, for names that must be new each time.
pub(super) const RANDOM: &str = "random";
/// Names with a meaning of their own; nothing else may be called so.
pub(super) const RESERVED: [&str; 3] = [RANDOM, "values", "secrets"];

/// How a value is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Percent-encoded, slashes too (RFC 3986 section 2.1).
    Url,
    /// As the inside of a JSON string (RFC 8259 section 7).
    Json,
    /// As it is.
    Plain,
}

impl Place {
    const ALL: [Self; 3] = [Self::Url, Self::Json, Self::Plain];

    /// Templates carry their place in their names, for the formatter.
    fn prefix(self) -> char {
        match self {
            Self::Url => 'u',
            Self::Json => 'j',
            Self::Plain => 'p',
        }
    }
}

/// The name of a template of [`Templates`].
#[derive(Debug)]
pub(super) struct Template(String);

/// All templates of one journey, and what they may name.
pub(super) struct Templates {
    environment: Environment<'static>,
    values: BTreeMap<String, Json>,
    secrets: BTreeMap<String, SecretString>,
    /// What the steps so far extract.
    extracted: Vec<String>,
}

/// What a template sees.
#[derive(Serialize)]
struct Names<'a> {
    #[serde(flatten)]
    extracted: &'a BTreeMap<&'a str, &'a str>,
    values: &'a BTreeMap<String, Json>,
    secrets: BTreeMap<&'a str, &'a str>,
    random: &'a str,
}

impl Templates {
    /// Begins without any template.
    pub(super) fn new(values: BTreeMap<String, Json>, secrets: BTreeMap<String, SecretString>) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(MAX_FUEL));
        environment.set_formatter(write_in);
        environment.add_filter("b64encode", |text: &str| STANDARD.encode(text));
        environment.add_filter("urlencode", |value: &Value| filters::urlencode(value).map(Value::from_safe_string));
        Self { environment, values, secrets, extracted: Vec::new() }
    }

    /// Makes a name known to the templates that are added from now on.
    pub(super) fn extract(&mut self, name: &str) {
        self.extracted.push(name.to_owned());
    }

    /// True if a text has anything to fill in.
    pub(super) fn is_template(text: &str) -> bool {
        text.contains("{{") || text.contains("{%")
    }

    /// Compiles a template and returns it with what it makes of samples.
    pub(super) fn add(&mut self, cursor: &Cursor<'_>, text: String, place: Place) -> Option<(Template, String)> {
        let name = format!("{}{}", place.prefix(), cursor.path());
        let made = self.compile(&name, text).and_then(|()| {
            let samples = self.extracted.iter().map(|name| (name.as_str(), SAMPLE)).collect();
            self.render(&name, SAMPLE, &samples)
        });
        match made {
            Ok(sample) => Some((Template(name), sample)),
            Err(message) => {
                cursor.mistake(message);
                None
            }
        }
    }

    fn compile(&mut self, name: &str, text: String) -> Result<(), String> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("the template has {} bytes, more than {MAX_TEMPLATE_BYTES}", text.len()));
        }
        let wrong = |error: Error| format!("the template is wrong: {}", said(&error));
        self.environment.add_template_owned(name.to_owned(), text).map_err(wrong)?;
        let template = self.environment.get_template(name).map_err(wrong)?;
        let mut named: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        named.sort();
        for variable in &named {
            self.check(variable)?;
        }
        Ok(())
    }

    /// Checks that a name means something here.
    fn check(&self, variable: &str) -> Result<(), String> {
        let (section, rest) =
            variable.split_once('.').map_or((variable, None), |(section, rest)| (section, Some(rest)));
        let key = rest.map(|rest| rest.split('.').next().unwrap_or(rest));
        let missing = |known: Vec<&str>, key: &str| {
            let near = suggest(key, known.iter().copied());
            Err(format!("there is no {key:?} under {section:?}{near}"))
        };
        match (section, key) {
            ("values", Some(key)) if !self.values.contains_key(key) => {
                missing(self.values.keys().map(String::as_str).collect(), key)
            }
            ("secrets", Some(key)) if !self.secrets.contains_key(key) => {
                missing(self.secrets.keys().map(String::as_str).collect(), key)
            }
            ("values" | "secrets" | RANDOM, _) => Ok(()),
            _ if self.extracted.iter().any(|known| known == section) => Ok(()),
            _ => {
                let known: Vec<&str> = RESERVED.into_iter().chain(self.extracted.iter().map(String::as_str)).collect();
                let near = suggest(section, known.iter().copied());
                Err(format!("nothing is called {section:?} here{near}; there are {}", known.join(", ")))
            }
        }
    }

    /// Fills a template in.
    ///
    /// # Errors
    /// One sentence that says what is wrong; it shows no value.
    pub(super) fn fill(
        &self,
        template: &Template,
        random: &str,
        extracted: &BTreeMap<&str, &str>,
    ) -> Result<String, String> {
        self.render(&template.0, random, extracted)
    }

    fn render(&self, name: &str, random: &str, extracted: &BTreeMap<&str, &str>) -> Result<String, String> {
        let secrets: BTreeMap<&str, &str> =
            self.secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret())).collect();
        let names = Names { extracted, values: &self.values, secrets, random };
        let template = self.environment.get_template(name).map_err(|error| said(&error))?;
        template.render(Serde(names)).map_err(|error| format!("the template cannot be filled in: {}", said(&error)))
    }
}

/// What an error says, without where: the place is the key that is blamed.
fn said(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// Writes one value into a template. What a filter made safe (`tojson`, `urlencode`) stays as it is.
fn write_in(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = value.to_string();
    let place = Place::ALL.into_iter().find(|place| state.name().starts_with(place.prefix())).unwrap_or(Place::Plain);
    let written = match place {
        _ if value.is_safe() => text,
        Place::Plain => text,
        // Jinja leaves slashes, which would lead to another path.
        Place::Url => filters::urlencode(&Value::from(text))?.replace('/', "%2F"),
        Place::Json => {
            let quoted = Json::String(text).to_string();
            quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
        }
    };
    out.write_str(&written).map_err(Error::from)
}
