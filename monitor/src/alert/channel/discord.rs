//! `discord`: a webhook with an embed (discord.com/developers/docs/resources/webhook, "Execute Webhook").

use std::sync::Arc;

use kit::config::Cursor;
use kit::page::words::clip;
use serde_json::{Value, json};

use super::hook::Hook;
use super::{Channel, ChannelKind, post, words};
use crate::alert::message::{AlertPart, Message};

/// Limits of an embed (resources/message, "Embed Limits"): a title of 256 characters, a description of 4096, a field's
/// value of 1024, 25 fields (we have at most 16), and 6000 of all together. Escaping makes at most two characters of one.
const MAX_TITLE_CHARS: usize = 120;
const MAX_VALUE_CHARS: usize = 300;
const MAX_ALL_FIELDS_CHARS: usize = 3_200;
const MAX_TEXT_CHARS: usize = 500;
const MAX_LIST_CHARS: usize = 3_600;

/// Fields up to this length stand side by side.
const MAX_INLINE_CHARS: usize = 30;

/// The kind.
pub(super) struct Discord;

impl ChannelKind for Discord {
    fn name(&self) -> &'static str {
        "discord"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        // Without `wait` Discord answers before it has looked at the message, and a refusal is never seen.
        Hook::decode(cursor, "discord", payload, |url| {
            url.query_pairs_mut().append_pair("wait", "true");
        })
    }
}

fn payload(message: &Message) -> Value {
    let mut lines = words::notes(message);
    let mut embed = json!({
        "title": words::markdown(&words::headline(message, MAX_TITLE_CHARS)),
        "color": words::colour(message),
    });
    match message.alerts.as_slice() {
        [only] => {
            lines.extend(texts(only));
            post::set(&mut embed, "fields", fields(only));
            post::set(&mut embed, "timestamp", only.opened.to_string());
            if let Some((_, url)) = words::links(only).first() {
                post::set(&mut embed, "url", *url);
            }
        }
        _ => lines.extend(words::list(message, MAX_LIST_CHARS, |part| words::row(part, MAX_VALUE_CHARS))),
    }
    post::set(&mut embed, "description", lines.join("\n"));
    // No text of ours calls anybody, whatever it contains ("Allowed Mentions Object").
    json!({ "username": "monitor", "embeds": [embed], "allowed_mentions": { "parse": [] } })
}

fn texts(part: &AlertPart) -> Vec<String> {
    let mut texts = Vec::new();
    let description = words::block(&part.description);
    if !description.trim().is_empty() {
        texts.push(words::markdown(&clip(description.trim(), MAX_TEXT_CHARS)));
    }
    if let Some(lines) = words::last_lines(part, MAX_TEXT_CHARS) {
        texts.push(format!("```\n{}\n```", lines.replace('`', "'")));
    }
    let links: Vec<String> = words::links(part).into_iter().map(|(label, url)| format!("[{label}](<{url}>)")).collect();
    texts.push(links.join(" · "));
    texts
}

fn fields(part: &AlertPart) -> Value {
    let facts = words::facts_within(part, MAX_ALL_FIELDS_CHARS, MAX_VALUE_CHARS, words::markdown);
    let field = |(label, value): (&str, String)| {
        let is_short = value.chars().count() <= MAX_INLINE_CHARS;
        json!({ "name": label, "value": value, "inline": is_short })
    };
    facts.into_iter().map(field).collect()
}
