//! Kind `pagerduty`.

use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "pagerduty",
        settings: |place| format!("pagerduty: {{ base_url: '{}/', routing_key: '${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (202, r#"{"status": "success"}"#), check),
        says: Says { resolved: r#""event_action":"resolve""#, drill: r#""summary":"[DRILL] "# },
        can_be_busy: true,
    }
}

/// developer.pagerduty.com/docs/events-api-v2/trigger-events.
fn check(request: &Request) -> Result<String, String> {
    let body = json(request, "/v2/enqueue")?;
    must(request.body.len() <= 512 * 1024, "at most 512 KB")?;
    must(text(&body["routing_key"], 32)?.len() == 32, "a key of 32 characters")?;
    text(&body["dedup_key"], 255)?;
    if body["event_action"] == "resolve" {
        return Ok(request.text());
    }
    must(body["event_action"] == "trigger", "trigger or resolve")?;
    let payload = &body["payload"];
    text(&payload["summary"], 1024)?;
    text(&payload["source"], 1024)?;
    let severity = text(&payload["severity"], 10)?;
    must(["critical", "error", "warning", "info"].contains(&severity), "a severity")?;
    for link in body["links"].as_array().ok_or("links")? {
        must(text(&link["href"], 2000)?.starts_with("https://"), "a link")?;
    }
    Ok(request.text())
}
