//! Notifications of Kuma as channels.

use serde_json::Value;

use super::super::channels::{Channel, Mail, Part, Recipe};
use super::super::keys::Keys;
use super::Kuma;
use super::tables::{flag, id, nested, text};

impl Kuma<'_> {
    /// Takes one over.
    pub(super) fn notification(&mut self, row: &Value) {
        let name = text(row, "name").unwrap_or_default();
        let who = format!("notification {name}");
        if row.get("active").is_some() && !flag(row, "active") {
            self.left_out.push(format!("{who}: it is not active"));
            return;
        }
        let config = nested(row, "config");
        let mut keys = Keys::new(who.clone(), &config);
        let kind = keys.text("type").unwrap_or_default();
        let mut channel = self.channels.begin(&name);
        match convert(&kind, &mut keys, &mut channel) {
            Ok(ours) => {
                let note = match kind.as_str() {
                    "smtp" if !flag(&config, "smtpSecure") => {
                        Some("STARTTLS is a must now; for a server on this machine without it write tls: none")
                    }
                    "webhook" => Some(
                        "what it is sent is ours now; write template: … for a body of your own, and headers: { … }",
                    ),
                    _ => None,
                };
                self.changed.extend(note.map(|note| format!("{who}: {note}")));
                let ours = self.channels.keep(channel, ours);
                if let Some(id) = id(row, "id") {
                    self.told.insert(id, ours);
                }
            }
            Err(why) => self.left_out.push(format!("{who} ({kind}): {why}")),
        }
    }
}

/// Types that say what they need in keys alone.
const RECIPES: &[Recipe] = &[
    Recipe::kind("slack", "slack", &[(Part::Secret, "url", "slackwebhookURL")]),
    Recipe::kind("discord", "discord", &[(Part::Secret, "url", "discordWebhookUrl")]),
    Recipe::kind("teams", "teams", &[(Part::Secret, "url", "webhookUrl")]),
    Recipe::kind("webhook", "webhook", &[(Part::Secret, "url", "webhookURL")]),
    Recipe::kind(
        "telegram",
        "telegram",
        &[
            (Part::Secret, "bot_token", "telegramBotToken"),
            (Part::Setting, "chat_id", "telegramChatID"),
            (Part::OptionalSetting, "base_url", "telegramServerUrl"),
        ],
    ),
    Recipe::kind("PagerDuty", "pagerduty", &[(Part::Secret, "routing_key", "pagerdutyIntegrationKey")]),
    Recipe::kind(
        "Opsgenie",
        "opsgenie",
        &[(Part::Secret, "api_key", "opsgenieApiKey"), (Part::OptionalSetting, "region", "opsgenieRegion")],
    ),
    Recipe::kind(
        "ntfy",
        "ntfy",
        &[
            (Part::Secret, "topic", "ntfytopic"),
            (Part::OptionalSetting, "base_url", "ntfyserverurl"),
            (Part::OptionalSecret, "token", "ntfyaccesstoken"),
        ],
    ),
    Recipe::preset(
        "pushover",
        "pushover",
        &[(Part::PresetSecret, "token", "pushoverapptoken"), (Part::PresetSecret, "user", "pushoveruserkey")],
    ),
    Recipe::preset(
        "gotify",
        "gotify",
        &[(Part::Setting, "url", "gotifyserverurl"), (Part::PresetSecret, "token", "gotifyapplicationToken")],
    ),
    Recipe::preset(
        "matrix",
        "matrix",
        &[
            (Part::Setting, "url", "homeserverUrl"),
            (Part::PresetValue, "room", "internalRoomId"),
            (Part::PresetSecret, "token", "accessToken"),
        ],
    ),
    Recipe::preset("mattermost", "mattermost", &[(Part::Secret, "url", "mattermostWebhookUrl")]),
    Recipe::preset("GoogleChat", "google_chat", &[(Part::Secret, "url", "googleChatWebhookURL")]),
    Recipe::preset("rocket.chat", "rocket_chat", &[(Part::Secret, "url", "rocketwebhookURL")]),
    Recipe::preset(
        "twilio",
        "twilio",
        &[
            (Part::PresetValue, "account", "twilioAccountSID"),
            (Part::PresetValue, "from", "twilioFromNumber"),
            (Part::PresetValue, "to", "twilioToNumber"),
            (Part::PresetSecret, "token", "twilioAuthToken"),
        ],
    ),
];

/// Fills a channel in, and returns its kind.
fn convert(kind: &str, keys: &mut Keys, channel: &mut Channel<'_>) -> Result<&'static str, String> {
    match kind {
        "smtp" => mail(keys, channel).map(|()| "email"),
        "ntfy" if signs_in_by_name(keys) => Err("it signs in by name; write ntfy with token_file: …".to_owned()),
        _ => channel.follow(Recipe::find(RECIPES, kind)?, keys),
    }
}

/// Older versions do not say how.
fn signs_in_by_name(keys: &mut Keys) -> bool {
    match (keys.text("ntfyAuthenticationMethod"), keys.text("ntfyusername")) {
        (Some(method), _) => method == "usernamePassword",
        (None, user) => user.is_some(),
    }
}

fn mail(keys: &mut Keys, channel: &mut Channel<'_>) -> Result<(), String> {
    let copies = [keys.text("smtpTo"), keys.text("smtpCC"), keys.text("smtpBCC")];
    let to = copies.into_iter().flatten().collect::<Vec<_>>().join(",");
    channel.mail(Mail {
        to: Some(to),
        from: keys.text("smtpFrom"),
        host: keys.text("smtpHost"),
        port: keys.whole("smtpPort"),
        security: if keys.flag("smtpSecure") == Some(true) { "implicit" } else { "starttls" },
        user: keys.text("smtpUsername"),
        password: keys.text("smtpPassword"),
    })
}
