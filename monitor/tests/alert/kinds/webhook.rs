//! Kind `webhook`, with each of its bodies.

use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn own() -> Fixture {
    Fixture {
        kind: "webhook",
        settings: |place| format!("webhook: {{ url: '{}/hook', bearer_token: '${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (204, ""), check_own),
        says: Says { resolved: r#""status":"resolved""#, drill: r#""drill":true"# },
        can_be_busy: true,
    }
}

pub(crate) fn alertmanager() -> Fixture {
    Fixture {
        settings: |place| format!("webhook: {{ url: '{}/hook/${{SECRET}}', format: alertmanager_v4 }}", place.url()),
        receiver: |reply| Receiver::http(reply, (200, "ok"), check_alertmanager),
        says: Says { resolved: r#""status":"resolved""#, drill: r#""receiver":"ops""# },
        ..own()
    }
}

pub(crate) fn template() -> Fixture {
    Fixture {
        settings: |place| {
            let template = r#"{"h": {{ headline|tojson }}, "t": {{ text|tojson }}, "s": {{ secrets.key|tojson }}}"#;
            format!(
                "webhook: {{ url: '{}/hook', template: '{template}', secrets: {{ key: '${{SECRET}}' }} }}",
                place.url()
            )
        },
        receiver: |reply| {
            Receiver::http(reply, (200, "ok"), |request| {
                let body = json(request, "/hook")?;
                must(body["s"] == crate::SECRET, "the secret arrives")?;
                Ok(format!("{}\n{}", text(&body["h"], 250)?, text(&body["t"], 16_000)?))
            })
        },
        says: Says { resolved: "[RESOLVED]", drill: "[DRILL]" },
        ..own()
    }
}

fn check_own(request: &Request) -> Result<String, String> {
    let body = json(request, "/hook")?;
    must(request.header("authorization") == Some(&format!("Bearer {}", crate::SECRET)), "the token arrives")?;
    must(request.header("idempotency-key") == body["key"].as_str(), "the key is in the header too")?;
    Ok(request.text())
}

fn check_alertmanager(request: &Request) -> Result<String, String> {
    let body = json(request, &format!("/hook/{}", crate::SECRET))?;
    must(body["version"] == "4", "version 4")?;
    for alert in body["alerts"].as_array().ok_or("alerts")? {
        text(&alert["fingerprint"], 16)?;
        text(&alert["labels"]["alertname"], 100)?;
    }
    Ok(request.text())
}
