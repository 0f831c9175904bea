//! Kind `teams`.

use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "teams",
        settings: |place| format!("teams: {{ url: '{}/workflows/1?sp=run&sig=${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (202, ""), check),
        says: Says { resolved: "[RESOLVED]", drill: "[DRILL]" },
        can_be_busy: true,
    }
}

/// adaptivecards.io/explorer, and Teams' limit of a message.
fn check(request: &Request) -> Result<String, String> {
    let body = json(request, &format!("/workflows/1?sp=run&sig={}", crate::SECRET))?;
    must(request.body.len() <= 28 * 1024, &format!("{} bytes", request.body.len()))?;
    must(body["type"] == "message", "a message")?;
    let attachment = &body["attachments"][0];
    must(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", "an adaptive card")?;
    let card = &attachment["content"];
    must(card["type"] == "AdaptiveCard" && card["version"] == "1.5", "version 1.5")?;
    let mut read = Vec::new();
    for block in card["body"].as_array().ok_or("body")? {
        match block["type"].as_str() {
            Some("TextBlock") => read.push(text(&block["text"], 20_000)?.to_owned()),
            Some("FactSet") => {
                for fact in block["facts"].as_array().ok_or("facts")? {
                    read.push(format!("{}: {}", text(&fact["title"], 100)?, text(&fact["value"], 2000)?));
                }
            }
            other => return Err(format!("no block {other:?}")),
        }
    }
    for action in card["actions"].as_array().ok_or("actions")? {
        must(action["type"] == "Action.OpenUrl", "an action that opens a page")?;
        must(text(&action["url"], 2000)?.starts_with("https://"), "a link")?;
    }
    must(!read.join("\n").contains("[x](javascript"), "no link of theirs")?;
    Ok(read.join("\n").replace('\\', ""))
}
