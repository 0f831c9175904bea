//! Presets of the webhook: what one would write as settings for well-known receivers, as data.

use http::Method;

/// Settings of one receiver. Every text but `name`, `values` and `secrets` is a template.
#[derive(Debug)]
pub(super) struct Preset {
    pub(super) name: &'static str,
    /// The receiver's own address, unless everybody has another one (`url` is then needed).
    pub(super) url: Option<&'static str>,
    /// What is appended to the address; empty where the address is a secret hook as a whole.
    pub(super) path: &'static str,
    pub(super) method: Method,
    pub(super) content_type: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: &'static str,
    /// Names that `values:` must have.
    pub(super) values: &'static [&'static str],
    /// Names that `values:` may have.
    pub(super) optional: &'static [&'static str],
    /// Names that `secrets:` must have.
    pub(super) secrets: &'static [&'static str],
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the preset of this name.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// Returns every name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.name)
}

const PRESETS: &[Preset] = &[
    // pushover.net/api: title 250 characters, message 1024, URL 512. Priority 2 is repeated until somebody confirms it.
    Preset {
        name: "pushover",
        url: Some("https://api.pushover.net"),
        path: "1/messages.json",
        method: Method::POST,
        content_type: FORM,
        headers: &[],
        body: concat!(
            "token={{ secrets.token|urlencode }}&user={{ secrets.user|urlencode }}",
            "&title={{ headline[:250]|urlencode }}&message={{ (text or headline)[:1024]|urlencode }}",
            "{% if status == 'firing' and severity == 'page' and not drill %}",
            "{% if values.emergency %}&priority=2&retry=60&expire=3600{% else %}&priority=1{% endif %}",
            "{% elif severity == 'notice' %}&priority=-1{% endif %}",
            "{% if alerts[0].links.incident %}&url={{ alerts[0].links.incident[:512]|urlencode }}&url_title=Incident{% endif %}",
        ),
        values: &[],
        optional: &["emergency"],
        secrets: &["token", "user"],
    },
    // gotify.net/docs/pushmsg and /msgextras.
    Preset {
        name: "gotify",
        url: None,
        path: "message",
        method: Method::POST,
        content_type: JSON,
        headers: &[("X-Gotify-Key", "{{ secrets.token }}")],
        body: concat!(
            r#"{"title": {{ headline|tojson }}, "message": {{ text|tojson }}, "priority": "#,
            "{% if status == 'resolved' or severity == 'notice' or drill %}2{% elif severity == 'page' %}8{% else %}5{% endif %}",
            r#"{% if alerts[0].links.incident %}, "extras": {"client::notification": {"click": {"url": {{ alerts[0].links.incident|tojson }}}}}{% endif %}}"#,
        ),
        values: &[],
        optional: &[],
        secrets: &["token"],
    },
    // spec.matrix.org, client-server API, "Sending events to a room"; the transaction id makes a repeat harmless.
    Preset {
        name: "matrix",
        url: None,
        path: "_matrix/client/v3/rooms/{{ values.room|urlencode }}/send/m.room.message/{{ key|urlencode }}",
        method: Method::PUT,
        content_type: JSON,
        headers: &[("Authorization", "Bearer {{ secrets.token }}")],
        body: r#"{"msgtype": "m.text", "body": {{ (headline ~ '\n' ~ text)|tojson }}}"#,
        values: &["room"],
        optional: &[],
        secrets: &["token"],
    },
    // developers.mattermost.com, "Incoming webhooks": 16383 characters. A zero-width space keeps `@all` from calling all.
    Preset {
        name: "mattermost",
        url: None,
        path: "",
        method: Method::POST,
        content_type: JSON,
        headers: &[],
        body: concat!(
            r#"{"username": "monitor", "attachments": [{"fallback": {{ headline|replace('@', '@\u200b')|tojson }}, "#,
            r##""color": "{% if status == 'resolved' %}#1c7c4c{% elif severity == 'page' %}#c0312b{% else %}#946200{% endif %}", "##,
            r#""title": {{ headline|replace('@', '@\u200b')|tojson }}, "#,
            r#"{% if alerts[0].links.incident %}"title_link": {{ alerts[0].links.incident|tojson }}, {% endif %}"#,
            r#""text": {{ ('```\n' ~ text[:12000]|replace('`', "'")|replace('@', '@\u200b') ~ '\n```')|tojson }}}]}"#,
        ),
        values: &[],
        optional: &[],
        secrets: &[],
    },
    // developers.google.com/workspace/chat/quickstart/webhooks: 4096 characters; `<users/all>` calls everybody.
    Preset {
        name: "google_chat",
        url: None,
        path: "",
        method: Method::POST,
        content_type: "application/json; charset=UTF-8",
        headers: &[],
        body: r#"{"text": {{ (headline ~ '\n' ~ text)[:4000]|replace('<', '‹')|tojson }}}"#,
        values: &[],
        optional: &[],
        secrets: &[],
    },
    // twilio.com/docs/messaging/api/message-resource: 1600 characters.
    Preset {
        name: "twilio",
        url: Some("https://api.twilio.com"),
        path: "2010-04-01/Accounts/{{ values.account|urlencode }}/Messages.json",
        method: Method::POST,
        content_type: FORM,
        headers: &[("Authorization", "Basic {{ (values.account ~ ':' ~ secrets.token)|b64encode }}")],
        body: "To={{ values.to|urlencode }}&From={{ values.from|urlencode }}&Body={{ (headline ~ '\n' ~ text)[:1600]|urlencode }}",
        values: &["account", "from", "to"],
        optional: &[],
        secrets: &["token"],
    },
    // bbernhard.github.io/signal-cli-rest-api, POST /v2/send.
    Preset {
        name: "signal",
        url: None,
        path: "v2/send",
        method: Method::POST,
        content_type: JSON,
        headers: &[],
        body: r#"{"message": {{ (headline ~ '\n' ~ text)[:2000]|tojson }}, "number": {{ values.number|tojson }}, "recipients": {{ values.recipients|tojson }}}"#,
        values: &["number", "recipients"],
        optional: &[],
        secrets: &[],
    },
    // docs.rocket.chat, "Incoming webhook".
    Preset {
        name: "rocket_chat",
        url: None,
        path: "",
        method: Method::POST,
        content_type: JSON,
        headers: &[],
        body: concat!(
            r#"{"alias": "monitor", "text": {{ headline|replace('@', '@\u200b')|tojson }}, "attachments": [{"#,
            r##""color": "{% if status == 'resolved' %}#1c7c4c{% elif severity == 'page' %}#c0312b{% else %}#946200{% endif %}", "##,
            r#"{% if alerts[0].links.incident %}"title": "Incident", "title_link": {{ alerts[0].links.incident|tojson }}, {% endif %}"#,
            r#""text": {{ ('```\n' ~ text[:4500]|replace('`', "'")|replace('@', '@\u200b') ~ '\n```')|tojson }}}]}"#,
        ),
        values: &[],
        optional: &[],
        secrets: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::channel::template::Template;

    #[test]
    fn every_text_of_a_preset_is_a_template() {
        for preset in PRESETS {
            let headers = preset.headers.iter().map(|(_, value)| *value);
            for text in [preset.path, preset.body].into_iter().chain(headers) {
                assert!(Template::of(text.to_owned()).is_ok(), "{}: {text}", preset.name);
            }
        }
    }
}
