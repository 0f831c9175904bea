//! Kind `alertmanager`, with one peer: several are in `tests/alert/alertmanager.rs`.

use jiff::Timestamp;
use testkit::Request;

use super::{Fixture, Receiver, Says, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "alertmanager",
        settings: |place| format!("alertmanager: {{ urls: ['{}'], bearer_token: '${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (200, ""), check),
        says: Says { resolved: r#""endsAt":"2026-11-24T12:09:30Z""#, drill: r#""drill":"true""# },
        can_be_busy: true,
    }
}

/// github.com/prometheus/alertmanager, api/v2/openapi.yaml, "postableAlerts".
fn check(request: &Request) -> Result<String, String> {
    must(request.method == "POST" && request.path == "/api/v2/alerts", "POST to /api/v2/alerts")?;
    must(request.header("authorization") == Some(&format!("Bearer {}", crate::SECRET)), "the token arrives")?;
    let body: serde_json::Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    for alert in body.as_array().ok_or("a list")? {
        let labels = alert["labels"].as_object().ok_or("labels")?;
        must(!labels.is_empty(), "a label")?;
        for (name, value) in labels {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            must(name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit()), "names of labels")?;
            text(value, 10_000)?;
        }
        let time =
            |name: &str| alert[name].as_str().and_then(|text| text.parse::<Timestamp>().ok()).ok_or(name.to_owned());
        must(time("startsAt")? < time("endsAt")?, "it starts before it ends")?;
    }
    Ok(request.text())
}
