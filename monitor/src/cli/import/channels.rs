//! Channels of ours, made of those of other tools, with their secrets in files.

use serde_json::{Map, Value, json};

use super::keys::Keys;
use super::names::Names;
use super::secrets::Secrets;

/// Channels so far.
pub(super) struct Channels<'a> {
    secrets: &'a Secrets<'a>,
    names: Names,
    pub(super) made: Map<String, Value>,
}

/// A channel's settings in the making.
pub(super) struct Channel<'a> {
    /// Its name.
    pub(super) name: String,
    secrets: &'a Secrets<'a>,
    settings: Map<String, Value>,
}

/// What a channel is made of.
pub(super) struct Recipe {
    /// What the other tool calls it.
    name: &'static str,
    kind: &'static str,
    /// Of `webhook`.
    preset: Option<&'static str>,
    /// Our key, and theirs.
    parts: &'static [(Part, &'static str, &'static str)],
}

/// Where a value of theirs goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Setting,
    OptionalSetting,
    /// A setting that leaves for a file.
    Secret,
    OptionalSecret,
    PresetValue,
    PresetSecret,
}

impl Part {
    fn is_optional(self) -> bool {
        matches!(self, Self::OptionalSetting | Self::OptionalSecret)
    }
}

impl Recipe {
    /// A channel of this kind.
    pub(super) const fn kind(
        name: &'static str,
        kind: &'static str,
        parts: &'static [(Part, &'static str, &'static str)],
    ) -> Self {
        Self { name, kind, preset: None, parts }
    }

    /// A webhook of this preset.
    pub(super) const fn preset(
        name: &'static str,
        preset: &'static str,
        parts: &'static [(Part, &'static str, &'static str)],
    ) -> Self {
        Self { name, kind: "webhook", preset: Some(preset), parts }
    }

    /// Finds one by the other tool's name.
    ///
    /// # Errors
    /// What does instead.
    pub(super) fn find(recipes: &'static [Self], name: &str) -> Result<&'static Self, String> {
        let found = recipes.iter().find(|recipe| recipe.name == name);
        found.ok_or_else(|| "there is no such channel; use webhook with a template, or exec".to_owned())
    }
}

impl<'a> Channels<'a> {
    pub(super) fn new(secrets: &'a Secrets<'a>) -> Self {
        Self { secrets, names: Names::default(), made: Map::new() }
    }

    /// Begins one.
    pub(super) fn begin(&mut self, name: &str) -> Channel<'a> {
        Channel { name: self.names.take(&[name]), secrets: self.secrets, settings: Map::new() }
    }

    /// Keeps one, of this kind.
    pub(super) fn keep(&mut self, channel: Channel<'a>, kind: &str) -> String {
        self.made.insert(channel.name.clone(), json!({ kind: channel.settings }));
        channel.name
    }

    /// Every name.
    pub(super) fn all(&self) -> Vec<String> {
        self.made.keys().cloned().collect()
    }
}

impl Channel<'_> {
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.insert(key.to_owned(), value.into());
    }

    /// Moves a secret into a file.
    pub(super) fn secret(&mut self, key: &str, secret: &str) -> Result<(), String> {
        self.secrets.put(&mut self.settings, key, &format!("{}-{key}", self.name), secret)
    }

    /// Fills it in from another tool's keys; returns its kind.
    ///
    /// # Errors
    /// A key is missing, or a secret cannot be kept.
    pub(super) fn follow(&mut self, recipe: &Recipe, keys: &mut Keys) -> Result<&'static str, String> {
        let (mut values, mut secrets) = (Map::new(), Map::new());
        for (part, ours, theirs) in recipe.parts {
            let Some(text) = keys.text(theirs) else {
                if part.is_optional() {
                    continue;
                }
                return Err(missing_key(theirs));
            };
            match part {
                Part::Setting | Part::OptionalSetting => self.set(ours, text),
                Part::Secret | Part::OptionalSecret => self.secret(ours, &text)?,
                Part::PresetValue => _ = values.insert((*ours).to_owned(), text.into()),
                Part::PresetSecret => {
                    let place = self.secrets.place(&format!("{}-{ours}", self.name), &text)?;
                    secrets.insert((*ours).to_owned(), place.into());
                }
            }
        }
        if let Some(preset) = recipe.preset {
            self.set("preset", preset);
        }
        for (key, map) in [("values", values), ("secrets", secrets)] {
            if !map.is_empty() {
                self.set(key, map);
            }
        }
        Ok(recipe.kind)
    }

    /// Sends mail; `security` is a word of ours.
    pub(super) fn mail(&mut self, mail: Mail) -> Result<(), String> {
        let to = mail.to.unwrap_or_default();
        let to: Vec<&str> = to.split([',', ';']).map(str::trim).filter(|to| !to.is_empty()).collect();
        if to.is_empty() {
            return Err(missing_key("to"));
        }
        self.set("to", json!(to));
        self.settings.extend(mail.from.map(|from| ("from".to_owned(), from.into())));
        let host = mail.host.ok_or_else(|| missing_key("host"))?;
        let mut smtp = Map::from_iter([("host".to_owned(), json!(host)), ("tls".to_owned(), json!(mail.security))]);
        smtp.extend(mail.port.map(|port| ("port".to_owned(), port.into())));
        if let (Some(user), Some(password)) = (mail.user, mail.password) {
            smtp.insert("user".to_owned(), user.into());
            self.secrets.put(&mut smtp, "password", &format!("{}-password", self.name), &password)?;
        }
        self.set("smtp", smtp);
        Ok(())
    }
}

/// What a mail server is told.
pub(super) struct Mail {
    pub(super) to: Option<String>,
    pub(super) from: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u64>,
    pub(super) security: &'static str,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

fn missing_key(key: &str) -> String {
    format!("it has no {key}")
}
