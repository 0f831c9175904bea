//! Providers of Gatus as channels of ours.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::channels::{Channel, Channels, Mail, Part, Recipe};
use super::super::keys::Keys;
use super::super::request::Text;
use super::super::secrets::{Secrets, has_variable, is_secret_name};

/// Everything under `alerting:`.
pub(super) struct Alerting<'a> {
    pub(super) channels: Channels<'a>,
    /// The channel of a provider, and of its overrides by group.
    names: BTreeMap<(String, Option<String>), String>,
    defaults: BTreeMap<String, Map<String, Value>>,
    /// True if a message names the group, which then must be a label.
    pub(super) names_group: bool,
}

impl<'a> Alerting<'a> {
    /// Reads it.
    pub(super) fn read(
        section: &Value,
        secrets: &'a Secrets<'a>,
        left_out: &mut Vec<String>,
        changed: &mut Vec<String>,
    ) -> Self {
        let mut alerting = Self {
            channels: Channels::new(secrets),
            names: BTreeMap::new(),
            defaults: BTreeMap::new(),
            names_group: false,
        };
        for (provider, config) in section.as_object().into_iter().flatten() {
            let mut keys = Keys::new(format!("alerting: {provider}"), config);
            let default = keys.take("default-alert").and_then(|default| default.as_object().cloned());
            alerting.defaults.insert(provider.clone(), default.unwrap_or_default());
            let overrides = keys.list("overrides");
            alerting.names_group |= config.to_string().contains("[ENDPOINT_GROUP]");
            alerting.add(provider, None, keys, left_out, changed);
            for own in &overrides {
                // What an override does not say is as in the provider.
                let mut whole = config.as_object().cloned().unwrap_or_default();
                whole.retain(|key, _| key != "overrides" && key != "default-alert");
                whole.extend(own.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
                let group = whole.remove("group").and_then(|group| group.as_str().map(str::to_owned));
                let keys = Keys::new(
                    format!("alerting: {provider}: group {}", group.as_deref().unwrap_or("?")),
                    &whole.into(),
                );
                alerting.add(provider, group, keys, left_out, changed);
            }
        }
        alerting
    }

    fn add(
        &mut self,
        provider: &str,
        group: Option<String>,
        mut keys: Keys,
        left_out: &mut Vec<String>,
        changed: &mut Vec<String>,
    ) {
        let name = group.as_ref().map_or_else(|| provider.to_owned(), |group| format!("{provider}-{group}"));
        let mut channel = self.channels.begin(&name);
        match convert(provider, &mut keys, &mut channel, left_out, changed) {
            Ok(kind) => {
                keys.end(left_out);
                let name = self.channels.keep(channel, kind);
                self.names.insert((provider.to_owned(), group), name);
            }
            Err(why) => left_out.push(format!("{}: {why}", keys.who)),
        }
    }

    /// Returns the channel that tells a group.
    pub(super) fn channel(&self, provider: &str, group: Option<&str>) -> Option<&String> {
        let own = self.names.get(&(provider.to_owned(), group.map(str::to_owned)));
        own.or_else(|| self.names.get(&(provider.to_owned(), None)))
    }

    /// Returns an alert with what its provider says where it says nothing.
    pub(super) fn alert(&self, alert: &Value) -> Map<String, Value> {
        let own = alert.as_object().cloned().unwrap_or_default();
        let provider = own.get("type").and_then(Value::as_str).unwrap_or_default();
        let mut whole = self.defaults.get(provider).cloned().unwrap_or_default();
        whole.extend(own);
        whole
    }
}

/// Providers that say what they need in keys alone.
const RECIPES: &[Recipe] = &[
    Recipe::kind("slack", "slack", &[(Part::Secret, "url", "webhook-url")]),
    Recipe::kind("discord", "discord", &[(Part::Secret, "url", "webhook-url")]),
    Recipe::kind("teams", "teams", &[(Part::Secret, "url", "webhook-url")]),
    Recipe::kind("teams-workflows", "teams", &[(Part::Secret, "url", "webhook-url")]),
    Recipe::kind(
        "telegram",
        "telegram",
        &[
            (Part::Secret, "bot_token", "token"),
            (Part::Setting, "chat_id", "id"),
            (Part::OptionalSetting, "base_url", "api-url"),
        ],
    ),
    Recipe::kind("pagerduty", "pagerduty", &[(Part::Secret, "routing_key", "integration-key")]),
    Recipe::kind("opsgenie", "opsgenie", &[(Part::Secret, "api_key", "api-key")]),
    Recipe::kind(
        "ntfy",
        "ntfy",
        &[
            (Part::Secret, "topic", "topic"),
            (Part::OptionalSetting, "base_url", "url"),
            (Part::OptionalSecret, "token", "token"),
        ],
    ),
    Recipe::preset(
        "pushover",
        "pushover",
        &[(Part::PresetSecret, "token", "application-token"), (Part::PresetSecret, "user", "user-key")],
    ),
    Recipe::preset("gotify", "gotify", &[(Part::Setting, "url", "server-url"), (Part::PresetSecret, "token", "token")]),
    Recipe::preset(
        "matrix",
        "matrix",
        &[
            (Part::Setting, "url", "server-url"),
            (Part::PresetValue, "room", "internal-room-id"),
            (Part::PresetSecret, "token", "access-token"),
        ],
    ),
    Recipe::preset("mattermost", "mattermost", &[(Part::Secret, "url", "webhook-url")]),
    Recipe::preset("googlechat", "google_chat", &[(Part::Secret, "url", "webhook-url")]),
    Recipe::preset("rocketchat", "rocket_chat", &[(Part::Secret, "url", "webhook-url")]),
    Recipe::preset(
        "twilio",
        "twilio",
        &[
            (Part::PresetValue, "account", "sid"),
            (Part::PresetValue, "from", "from"),
            (Part::PresetValue, "to", "to"),
            (Part::PresetSecret, "token", "token"),
        ],
    ),
];

/// Fills a channel in, and returns its kind.
fn convert(
    provider: &str,
    keys: &mut Keys,
    channel: &mut Channel<'_>,
    left_out: &mut Vec<String>,
    changed: &mut Vec<String>,
) -> Result<&'static str, String> {
    match provider {
        "email" => email(keys, channel, changed).map(|()| "email"),
        "custom" => custom(keys, channel, left_out, changed).map(|()| "webhook"),
        _ => channel.follow(Recipe::find(RECIPES, provider)?, keys),
    }
}

fn email(keys: &mut Keys, channel: &mut Channel<'_>, changed: &mut Vec<String>) -> Result<(), String> {
    let port = keys.whole("port");
    // Its library speaks TLS at once on this port only, and asks for STARTTLS where the server offers it.
    let security = if port == Some(465) { "implicit" } else { "starttls" };
    if security == "starttls" {
        changed.push(format!(
            "{}: STARTTLS is a must now; for a server on this machine without it write tls: none",
            keys.who
        ));
    }
    let from = keys.text("from");
    let password = keys.text("password");
    channel.mail(Mail {
        to: keys.text("to"),
        user: keys.text("username").or_else(|| from.clone()),
        from,
        host: keys.text("host"),
        port,
        security,
        password,
    })
}

/// A webhook with a body of its own.
fn custom(
    keys: &mut Keys,
    channel: &mut Channel<'_>,
    left_out: &mut Vec<String>,
    changed: &mut Vec<String>,
) -> Result<(), String> {
    let url = keys.text("url").ok_or("it has no url")?;
    if url.contains('[') {
        return Err("placeholders in its url; a webhook has a fixed one".to_owned());
    }
    channel.secret("url", &url)?;
    let method = keys.text("method").unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase();
    match method.as_str() {
        "POST" => {}
        "PUT" => channel.set("method", "PUT"),
        other => changed.push(format!("{}: {other} is a POST now", keys.who)),
    }
    if keys.take("placeholders").is_some() {
        return Err("placeholders with words of its own; write template: …".to_owned());
    }
    let mut headers = Map::new();
    for (name, value) in keys.keys("headers").rest() {
        let Some(text) = value.as_str() else { continue };
        match text.strip_prefix("Bearer ") {
            Some(token) if name.eq_ignore_ascii_case("authorization") => {
                channel.secret("bearer_token", token)?;
            }
            _ if is_secret_name(&name) && !has_variable(text) => {
                left_out.push(format!("{}: the header {name}, which is a secret; write ${{VARIABLE}}", keys.who));
            }
            _ => _ = headers.insert(name, value),
        }
    }
    if !headers.is_empty() {
        channel.set("headers", headers);
    }
    if let Some(body) = keys.text("body") {
        channel.set("template", template(&body));
    }
    Ok(())
}

/// Gatus' placeholders as expressions on a message.
const FIELDS: [(&str, &str); 7] = [
    ("[ALERT_DESCRIPTION]", "alerts[0].description or ''"),
    ("[ENDPOINT_NAME]", "alerts[0].service or ''"),
    ("[ENDPOINT_GROUP]", "alerts[0].labels.group or ''"),
    ("[ENDPOINT_URL]", "(alerts[0].evidence or {}).target or ''"),
    ("[RESULT_ERRORS]", "(alerts[0].evidence or {}).reason or ''"),
    ("[RESULT_CONDITIONS]", "headline"),
    ("[ALERT_TRIGGERED_OR_RESOLVED]", "'RESOLVED' if status == 'resolved' else 'TRIGGERED'"),
];

/// The body as a template of ours.
fn template(body: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = body;
    loop {
        let found = FIELDS.iter().filter_map(|field| Some((rest.find(field.0)?, field))).min_by_key(|(at, _)| *at);
        let Some((at, (placeholder, expression))) = found else { break };
        parts.push(Text::Plain(rest.get(..at).unwrap_or_default().to_owned()));
        // Placeholders stand within quotes of their own, where those of a JSON text do not belong.
        parts.push(Text::Template(format!("{{{{ (({expression})|tojson)[1:-1] }}}}")));
        rest = rest.get(at + placeholder.len()..).unwrap_or_default();
    }
    parts.push(Text::Plain(rest.to_owned()));
    parts.iter().map(Text::in_template).collect()
}
