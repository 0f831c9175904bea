//! Kind `opsgenie`.

use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "opsgenie",
        settings: |place| format!("opsgenie: {{ base_url: '{}', api_key: '${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (202, r#"{"result": "Request will be processed"}"#), check),
        says: Says { resolved: "closed: ", drill: r#""drill""# },
        can_be_busy: true,
    }
}

/// docs.opsgenie.com/docs/alert-api: "Create Alert", "Close Alert".
fn check(request: &Request) -> Result<String, String> {
    must(request.header("authorization") == Some(&format!("GenieKey {}", crate::SECRET)), "the key arrives")?;
    if let Some(alias) = request.path.strip_prefix("/v2/alerts/") {
        must(alias.ends_with("/close?identifierType=alias"), "closed by its alias")?;
        let body = json(request, &request.path)?;
        return Ok(format!("closed: {}", text(&body["note"], 25_000)?));
    }
    let body = json(request, "/v2/alerts")?;
    text(&body["message"], 130)?;
    text(&body["alias"], 512)?;
    text(&body["description"], 15_000)?;
    text(&body["entity"], 512)?;
    text(&body["source"], 100)?;
    must(["P1", "P3", "P5"].contains(&text(&body["priority"], 2)?), "a priority")?;
    let tags = body["tags"].as_array().ok_or("tags")?;
    must(tags.len() <= 20 && tags.iter().all(|tag| text(tag, 50).is_ok()), "at most 20 tags of 50 characters")?;
    let details = body["details"].as_object().ok_or("details")?;
    let all: usize =
        details.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, |v| v.chars().count())).sum();
    must(all <= 8000, "at most 8000 characters of details")?;
    Ok(request.text())
}
