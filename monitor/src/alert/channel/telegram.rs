//! `telegram`: a bot's `sendMessage` with HTML (core.telegram.org/bots/api, "sendMessage", "HTML style").

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kit::config::Cursor;
use kit::page::words::clip;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::post::{self, Poster, judge};
use super::{Accepted, Channel, ChannelKind, SendError, settings, words};
use crate::alert::message::{AlertPart, Message, Severity, Status};

/// A text has 4096 characters once its mark-up is taken away ("sendMessage"); Telegram counts those of UTF-16, of which
/// one of ours has at most two. These cuts add up to less than half of that, in ours.
const MAX_HEADLINE_CHARS: usize = 250;
const MAX_VALUE_CHARS: usize = 200;
const MAX_ALL_FACTS_CHARS: usize = 900;
const MAX_TEXT_CHARS: usize = 200;
const MAX_LIST_CHARS: usize = 1_400;

/// The kind.
pub(super) struct Telegram;

impl ChannelKind for Telegram {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        let fields = cursor.fields()?;
        let base = settings::base_url(&fields, "https://api.telegram.org");
        let token = settings::secret(&fields, "bot_token", "bot_token_file");
        let chat = fields.require("chat_id").and_then(|c| c.text());
        let poster = Poster::decode(&fields);
        fields.end();
        let (base, token, chat, poster) = (base?, token?, chat?, poster?);
        let poster = poster.hiding(token.expose_secret());
        Some(Arc::new(Bot { base, token, chat, poster }))
    }
}

struct Bot {
    base: Url,
    token: SecretString,
    chat: String,
    poster: Poster,
}

impl fmt::Debug for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "telegram to {}", self.target())
    }
}

impl Channel for Bot {
    fn target(&self) -> String {
        format!("chat {} at {}", self.chat, settings::shown(&self.base))
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let url = settings::join(&self.base, &format!("bot{}/sendMessage", self.token.expose_secret()));
            let request = post::keyed(post::json(&url, &self.payload(message), &[])?, &message.key);
            let answer = self.poster.session().ask(request).await?;
            match judge(&answer) {
                Err(SendError::Failed(why)) if answer.status == 429 => Err(busy(&answer.body, why)),
                judged => judged.map(|accepted| Accepted { answer: answer.status.to_string(), ..accepted }),
            }
        })
    }
}

/// How long to wait stands in the answer's body ("ResponseParameters", `retry_after`, seconds).
fn busy(body: &str, why: String) -> SendError {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match body.pointer("/parameters/retry_after").and_then(Value::as_u64) {
        Some(secs) => SendError::Busy { after: Duration::from_secs(secs).min(post::MAX_RETRY_AFTER), why },
        None => SendError::Failed(why),
    }
}

impl Bot {
    fn payload(&self, message: &Message) -> Value {
        let is_quiet = message.status == Status::Resolved || message.severity == Severity::Notice;
        json!({
            "chat_id": self.chat,
            "text": text(message),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
            "disable_notification": is_quiet,
        })
    }
}

fn text(message: &Message) -> String {
    let mut lines = vec![format!("<b>{}</b>", escape(&words::headline(message, MAX_HEADLINE_CHARS)))];
    lines.extend(words::notes(message).iter().map(|note| format!("<i>{}</i>", escape(note))));
    match message.alerts.as_slice() {
        [only] => lines.extend(detail(only)),
        _ => {
            let rows = words::list(message, MAX_LIST_CHARS, |part| {
                format!("{} {}", words::word(part), clip(&words::line(&part.title), MAX_VALUE_CHARS))
            });
            lines.extend(rows.iter().map(|row| escape(row)));
        }
    }
    lines.join("\n")
}

fn detail(part: &AlertPart) -> Vec<String> {
    let facts = words::facts_within(part, MAX_ALL_FACTS_CHARS, MAX_VALUE_CHARS, str::to_owned);
    let mut lines: Vec<String> =
        facts.into_iter().map(|(label, value)| format!("<b>{label}:</b> {}", escape(&value))).collect();
    let description = clip(words::block(&part.description).trim(), MAX_TEXT_CHARS);
    if !description.is_empty() {
        lines.push(escape(&description));
    }
    if let Some(output) = words::last_lines(part, MAX_TEXT_CHARS) {
        lines.push(format!("<pre>{}</pre>", escape(&output)));
    }
    // Links in the text and no buttons: a button whose URL Telegram does not like (localhost) refuses the message.
    let links: Vec<String> = words::links(part).into_iter().map(link).collect();
    if !links.is_empty() {
        lines.push(links.join(" · "));
    }
    lines
}

fn link((label, url): (&str, &str)) -> String {
    format!(r#"<a href="{}">{label}</a>"#, escape(url))
}

/// Escapes for Telegram's HTML, which knows no entities but these four and numbers.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
