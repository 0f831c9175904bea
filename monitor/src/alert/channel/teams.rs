//! `teams`: a Workflows webhook ("Post to a channel when a webhook request is received") that takes an adaptive card
//! (learn.microsoft.com/microsoftteams, "Create incoming webhooks with Workflows"; adaptivecards.io, version 1.5).

use std::sync::Arc;

use kit::config::Cursor;
use kit::page::words::clip;
use serde_json::{Value, json};

use super::hook::Hook;
use super::{Channel, ChannelKind, post, words};
use crate::alert::message::{AlertPart, Message, Severity, Status};

/// A message may have 28 KB (learn.microsoft.com, "Incoming webhooks and connectors", size limit), all of it counted;
/// these cuts stay below with every character escaped or of three bytes.
const MAX_HEADLINE_CHARS: usize = 300;
const MAX_VALUE_CHARS: usize = 250;
const MAX_ALL_FACTS_CHARS: usize = 4_000;
const MAX_TEXT_CHARS: usize = 600;
const MAX_LIST_CHARS: usize = 6_000;

/// The kind.
pub(super) struct Teams;

impl ChannelKind for Teams {
    fn name(&self) -> &'static str {
        "teams"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        Hook::decode(cursor, "teams", payload, |_| ())
    }
}

fn payload(message: &Message) -> Value {
    let mut body = vec![headline(message)];
    body.extend(words::notes(message).iter().map(|note| text(note)));
    let mut actions = Vec::new();
    match message.alerts.as_slice() {
        [only] => {
            body.extend(detail(only));
            actions.extend(words::links(only).into_iter().map(action));
        }
        _ => body
            .push(text(&words::list(message, MAX_LIST_CHARS, |part| words::row(part, MAX_VALUE_CHARS)).join("\n\n"))),
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.5",
                "msteams": { "width": "Full" },
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn headline(message: &Message) -> Value {
    let colour = match (message.drill, message.status, message.severity) {
        (true, ..) | (false, Status::Firing, Severity::Notice) => "Accent",
        (false, Status::Resolved, _) => "Good",
        (false, Status::Firing, Severity::Page) => "Attention",
        (false, Status::Firing, Severity::Ticket) => "Warning",
    };
    let mut block = text(&words::markdown(&words::headline(message, MAX_HEADLINE_CHARS)));
    post::set(&mut block, "weight", "Bolder");
    post::set(&mut block, "size", "Large");
    post::set(&mut block, "color", colour);
    block
}

/// A block of text in which Markdown that is ours works.
fn text(markdown: &str) -> Value {
    json!({ "type": "TextBlock", "text": markdown, "wrap": true })
}

fn detail(part: &AlertPart) -> Vec<Value> {
    let facts = words::facts_within(part, MAX_ALL_FACTS_CHARS, MAX_VALUE_CHARS, words::markdown);
    let facts: Vec<Value> = facts.into_iter().map(|(label, value)| json!({ "title": label, "value": value })).collect();
    let mut blocks = vec![json!({ "type": "FactSet", "facts": facts })];
    let description = words::block(&part.description);
    if !description.trim().is_empty() {
        blocks.push(text(&words::markdown(&clip(description.trim(), MAX_TEXT_CHARS))));
    }
    if let Some(lines) = words::last_lines(part, MAX_TEXT_CHARS) {
        let mut block = text(&words::markdown(&lines).replace('\n', "\n\n"));
        post::set(&mut block, "fontType", "Monospace");
        blocks.push(block);
    }
    blocks
}

fn action((label, url): (&str, &str)) -> Value {
    json!({ "type": "Action.OpenUrl", "title": label, "url": url })
}
