//! Kind `slack`.

use serde_json::Value;
use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "slack",
        settings: |place| format!("slack: {{ url: '{}/services/T0/B0/${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (200, "ok"), check),
        says: Says { resolved: "[RESOLVED]", drill: "[DRILL]" },
        can_be_busy: true,
    }
}

/// docs.slack.dev: limits of each block, and the mark-up that only we may use.
fn check(request: &Request) -> Result<String, String> {
    let body = json(request, &format!("/services/T0/B0/{}", crate::SECRET))?;
    let mut read = vec![mrkdwn(&body["text"], 3000)?];
    let [attachment] = body["attachments"].as_array().ok_or("attachments")?.as_slice() else {
        return Err("one attachment".to_owned());
    };
    must(text(&attachment["color"], 7)?.starts_with('#'), "a colour")?;
    let blocks = attachment["blocks"].as_array().ok_or("blocks")?;
    must(blocks.len() <= 50, "at most 50 blocks")?;
    for block in blocks {
        match block["type"].as_str() {
            Some("section") if block["fields"].is_array() => {
                let fields = block["fields"].as_array().ok_or("fields")?;
                must((1..=10).contains(&fields.len()), "from 1 to 10 fields")?;
                for field in fields {
                    read.push(mrkdwn(&field["text"], 2000)?);
                }
            }
            Some("section") => read.push(mrkdwn(&block["text"]["text"], 3000)?),
            Some("context") => read.push(text(&block["elements"][0]["text"], 2000)?.to_owned()),
            Some("actions") => {
                for button in block["elements"].as_array().ok_or("elements")? {
                    must(button["text"]["type"] == "plain_text", "plain text on a button")?;
                    text(&button["text"]["text"], 75)?;
                    must(text(&button["url"], 3000)?.starts_with("https://"), "a link")?;
                }
            }
            other => return Err(format!("no block {other:?}")),
        }
    }
    must(body.to_string().chars().count() < 13_000, "at most 13000 characters")?;
    Ok(read.join("\n"))
}

/// Text in which `<` begins what only Slack may say.
fn mrkdwn(value: &Value, most: usize) -> Result<String, String> {
    let text = text(value, most)?;
    must(!text.contains('<') && !text.contains('>'), &format!("unescaped: {text}"))?;
    let rest = ["&amp;", "&lt;", "&gt;"].iter().fold(text.to_owned(), |text, entity| text.replace(entity, ""));
    must(!rest.contains('&'), &format!("unescaped: {text}"))?;
    must(text.matches("```").count() != 1, "a block of code ends")?;
    Ok(text.to_owned())
}
