//! Alertmanager's receivers as channels, and where each receiver's messages go then.

use std::collections::BTreeMap;

use kit::cli::at;
use serde_json::{Map, Value, json};

use super::secrets::Secrets;

/// Integrations without a kind of ours, and what does instead.
const ELSEWHERE: [(&str, &str); 5] = [
    ("pushover_configs", "use `webhook: { preset: pushover }`"),
    ("victorops_configs", "use `webhook` with a template"),
    ("wechat_configs", "use `webhook` with a template"),
    ("sns_configs", "use `exec` with the aws command"),
    ("webex_configs", "use `webhook` with a template"),
];

/// Every receiver.
pub(super) struct Receivers {
    /// Our channels.
    pub(super) channels: Map<String, Value>,
    by_receiver: BTreeMap<String, Vec<String>>,
}

/// What one receiver's integration is made of.
struct Integration<'a> {
    config: &'a Value,
    global: &'a Value,
    /// The channel's name.
    name: &'a str,
    secrets: &'a Secrets<'a>,
}

impl Receivers {
    /// Reads `receivers:`, with `global:` where they say nothing.
    pub(super) fn read(source: &Value, secrets: &Secrets<'_>, left_out: &mut Vec<String>) -> Result<Self, String> {
        let mut all = Self { channels: Map::new(), by_receiver: BTreeMap::new() };
        for receiver in at(source, "receivers").as_array().into_iter().flatten() {
            let name = at(receiver, "name").as_str().unwrap_or_default();
            let mut channels = Vec::new();
            for (key, list) in receiver.as_object().into_iter().flatten() {
                let Some(list) = list.as_array() else { continue };
                for config in list {
                    let kind = key.trim_end_matches("_configs");
                    let channel =
                        all.free_name(name, kind, list.len() > 1 || receiver.as_object().is_some_and(|r| r.len() > 2));
                    let integration = Integration { config, global: at(source, "global"), name: &channel, secrets };
                    match integration.convert(kind, left_out)? {
                        Some(ours) => {
                            all.channels.insert(channel.clone(), ours);
                            channels.push(channel);
                        }
                        None => left_out.push(format!("receiver {name}: {}", why_not(key))),
                    }
                }
            }
            if channels.is_empty() {
                left_out.push(format!("receiver {name}: it tells nobody; give its routes a channel"));
            }
            all.by_receiver.insert(name.to_owned(), channels);
        }
        Ok(all)
    }

    /// Returns the channels of a receiver.
    pub(super) fn of(&self, receiver: &str) -> &[String] {
        self.by_receiver.get(receiver).map_or(&[], Vec::as_slice)
    }

    fn free_name(&self, receiver: &str, kind: &str, has_others: bool) -> String {
        let clean: String = receiver
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(40)
            .collect();
        let clean = clean.trim_matches('-');
        let base = match (clean.is_empty(), has_others) {
            (true, _) => kind.to_owned(),
            (false, true) => format!("{clean}-{kind}"),
            (false, false) => clean.to_owned(),
        };
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        std::iter::once(base.clone()).chain(numbered).find(|name| !self.channels.contains_key(name)).unwrap_or(base)
    }
}

fn why_not(key: &str) -> String {
    let instead =
        ELSEWHERE.iter().find(|(known, _)| *known == key).map_or("use `webhook` with a template", |(_, how)| how);
    format!("{key} has no kind here; {instead}")
}

impl Integration<'_> {
    fn convert(&self, kind: &str, left_out: &mut Vec<String>) -> Result<Option<Value>, String> {
        for key in ["text", "title", "html", "headers", "message", "description", "summary"] {
            if !at(self.config, key).is_null() {
                left_out.push(format!("channel {}: its own {key}; ours says what it says", self.name));
            }
        }
        let ours = match kind {
            "email" => json!({ "email": self.email()? }),
            "webhook" => {
                let mut webhook = Map::from_iter([("format".to_owned(), json!("alertmanager_v4"))]);
                self.secret(&mut webhook, "url", "url", "url")?;
                let token = at(at(self.config, "http_config"), "authorization");
                self.secret_of(token, &mut webhook, "bearer_token", "credentials")?;
                json!({ "webhook": webhook })
            }
            "slack" => json!({ "slack": self.one("url", "api_url", "slack_api_url")? }),
            "discord" => json!({ "discord": self.one("url", "webhook_url", "")? }),
            "msteams" | "msteamsv2" => json!({ "teams": self.one("url", "webhook_url", "")? }),
            "pagerduty" => json!({ "pagerduty": self.one("routing_key", "routing_key", "")? }),
            "opsgenie" => json!({ "opsgenie": self.one("api_key", "api_key", "opsgenie_api_key")? }),
            "telegram" => {
                let mut telegram = self.one("bot_token", "bot_token", "")?;
                telegram.insert("chat_id".to_owned(), at(self.config, "chat_id").clone());
                json!({ "telegram": telegram })
            }
            _ => return Ok(None),
        };
        Ok(Some(ours))
    }

    fn email(&self) -> Result<Map<String, Value>, String> {
        let of = |key: &str, global: &str| match at(self.config, key) {
            Value::Null => at(self.global, global).clone(),
            own => own.clone(),
        };
        let to = at(self.config, "to").as_str().unwrap_or_default().split(',').map(str::trim).map(ToOwned::to_owned);
        let smarthost = of("smarthost", "smtp_smarthost").as_str().unwrap_or_default().to_owned();
        let (host, port) = smarthost.rsplit_once(':').unwrap_or((&smarthost, "25"));
        let mut smtp = Map::from_iter([("host".to_owned(), json!(host))]);
        if let Ok(port) = port.parse::<u16>() {
            smtp.insert("port".to_owned(), port.into());
            // It speaks TLS from the first byte on 465 only, and asks for STARTTLS unless told not to.
            let tls = match (port, of("require_tls", "smtp_require_tls")) {
                (465, _) => "implicit",
                (_, Value::Bool(false)) => "none",
                _ => "starttls",
            };
            smtp.insert("tls".to_owned(), tls.into());
        }
        if let Value::String(user) = of("auth_username", "smtp_auth_username") {
            smtp.insert("user".to_owned(), user.into());
            self.secret(&mut smtp, "password", "auth_password", "smtp_auth_password")?;
        }
        let mut email = Map::from_iter([("to".to_owned(), json!(to.collect::<Vec<_>>()))]);
        if let Value::String(from) = of("from", "smtp_from") {
            email.insert("from".to_owned(), from.into());
        }
        email.insert("smtp".to_owned(), smtp.into());
        Ok(email)
    }

    fn one(&self, ours: &str, theirs: &str, global: &str) -> Result<Map<String, Value>, String> {
        let mut map = Map::new();
        self.secret(&mut map, ours, theirs, global)?;
        Ok(map)
    }

    /// Takes a secret over: theirs may stand in the file, or in a file of its own, in the receiver or under `global`.
    fn secret(&self, into: &mut Map<String, Value>, ours: &str, theirs: &str, global: &str) -> Result<(), String> {
        self.secret_of(self.config, into, ours, theirs)?;
        if !into.contains_key(&format!("{ours}_file")) && !global.is_empty() {
            self.secret_of(self.global, into, ours, global)?;
        }
        Ok(())
    }

    fn secret_of(&self, from: &Value, into: &mut Map<String, Value>, ours: &str, theirs: &str) -> Result<(), String> {
        let file_key = format!("{ours}_file");
        if let Some(path) = from[format!("{theirs}_file")].as_str() {
            into.insert(file_key, path.into());
        } else if let Some(secret) = at(from, theirs).as_str() {
            let path = self.secrets.keep(&format!("{}-{ours}", self.name), secret)?;
            into.insert(file_key, path.display().to_string().into());
        }
        Ok(())
    }
}
