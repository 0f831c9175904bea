//! Kind `ntfy`.

use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "ntfy",
        settings: |place| format!("ntfy: {{ base_url: '{}', topic: pages, token: '${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (200, r#"{"id": "x"}"#), check),
        says: Says { resolved: "[RESOLVED]", drill: "[DRILL]" },
        can_be_busy: true,
    }
}

/// docs.ntfy.sh/publish: "Publish as JSON", "Limitations".
fn check(request: &Request) -> Result<String, String> {
    let body = json(request, "/")?;
    must(request.header("authorization") == Some(&format!("Bearer {}", crate::SECRET)), "the token arrives")?;
    must(body["topic"] == "pages", "the topic")?;
    let message = text(&body["message"], 4096)?;
    must(message.len() <= 4096, "at most 4096 bytes")?;
    must((1..=5).contains(&body["priority"].as_u64().unwrap_or(0)), "a priority from 1 to 5")?;
    let actions = body["actions"].as_array().cloned().unwrap_or_default();
    must(actions.len() <= 3, "at most three actions")?;
    for action in &actions {
        must(action["action"] == "view", "an action that opens a page")?;
        must(text(&action["url"], 2000)?.starts_with("https://"), "a link")?;
    }
    Ok(format!("{}\n{message}", text(&body["title"], 250)?))
}
