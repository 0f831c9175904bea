//! `slack`: an incoming webhook, with blocks under the headline (docs.slack.dev, "Sending messages using incoming
//! webhooks", "Block Kit").

use std::sync::Arc;

use kit::config::Cursor;
use kit::page::words::clip;
use serde_json::{Value, json};

use super::hook::Hook;
use super::{Channel, ChannelKind, words};
use crate::alert::message::{AlertPart, Message};

/// Longest headline, in characters; a phone's notification shows fewer.
const MAX_HEADLINE_CHARS: usize = 300;
/// A section takes 10 fields of 2000 characters, or a text of 3000 (docs.slack.dev, "Section block"). A value is cut to
/// a fifth of that, since escaping makes at most five characters of one.
const MAX_FIELDS: usize = 10;
const MAX_VALUE_CHARS: usize = 380;
const MAX_SECTION_CHARS: usize = 2900;
/// All blocks together fail at some 13 000 characters, which no page says (`msg_blocks_too_long`,
/// github.com/slackapi/bolt-js/issues/2509).
const MAX_LIST_CHARS: usize = 9_000;
const MAX_ALL_FIELDS_CHARS: usize = 5_000;
const MAX_TEXT_CHARS: usize = 500;

/// The kind.
pub(super) struct Slack;

impl ChannelKind for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        Hook::decode(cursor, "slack", payload, |_| ())
    }
}

/// Builds the message. The bar beside the blocks has the state's colour, which only attachments have.
fn payload(message: &Message) -> Value {
    let mut blocks: Vec<Value> = words::notes(message).iter().map(|note| context(note)).collect();
    match message.alerts.as_slice() {
        [only] => blocks.extend(detail(only)),
        _ => blocks.extend(digest(message)),
    }
    json!({
        "text": escape(&words::headline(message, MAX_HEADLINE_CHARS)),
        "attachments": [{ "color": format!("#{:06x}", words::colour(message)), "blocks": blocks }],
    })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "plain_text", "text": text, "emoji": false }] })
}

fn section(mrkdwn: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": mrkdwn } })
}

fn detail(part: &AlertPart) -> Vec<Value> {
    let field = |(label, value): &(&str, String)| json!({ "type": "mrkdwn", "text": format!("*{label}*\n{value}") });
    let mut blocks = Vec::new();
    for facts in words::facts_within(part, MAX_ALL_FIELDS_CHARS, MAX_VALUE_CHARS, escape).chunks(MAX_FIELDS) {
        blocks.push(json!({ "type": "section", "fields": facts.iter().map(field).collect::<Vec<_>>() }));
    }
    let description = clip(words::block(&part.description).trim(), MAX_TEXT_CHARS);
    if !description.is_empty() {
        blocks.push(section(&escape(&description)));
    }
    if let Some(lines) = words::last_lines(part, MAX_TEXT_CHARS) {
        // A backtick would end the block of code.
        blocks.push(section(&format!("```{}```", escape(&lines.replace('`', "'")))));
    }
    let buttons: Vec<Value> = words::links(part).into_iter().map(button).collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    blocks
}

fn button((label, url): (&str, &str)) -> Value {
    json!({ "type": "button", "text": { "type": "plain_text", "text": label }, "url": url })
}

fn digest(message: &Message) -> Vec<Value> {
    let rows = words::list(message, MAX_LIST_CHARS, |part| {
        let title = escape(&clip(&words::line(&part.title), MAX_VALUE_CHARS));
        format!("• *{}* {title}", words::word(part))
    });
    let mut sections = vec![String::new()];
    for row in rows {
        match sections.last_mut() {
            Some(last) if last.chars().count() + row.chars().count() < MAX_SECTION_CHARS => {
                last.push_str(&row);
                last.push('\n');
            }
            _ => sections.push(format!("{row}\n")),
        }
    }
    sections.iter().map(|text| section(text)).collect()
}

/// Escapes what Slack reads as control characters: `<!channel>` would call everybody (docs.slack.dev, "Formatting message
/// text").
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
