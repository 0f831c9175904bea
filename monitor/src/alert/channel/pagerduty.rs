//! `pagerduty`: Events API v2 (developer.pagerduty.com/docs/events-api-v2/trigger-events), one event for each alert,
//! deduplicated by the incident's id.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http_body_util::Full;
use kit::config::Cursor;
use kit::page::words::clip;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

use super::post::{self, Poster};
use super::{Accepted, Channel, ChannelKind, EvidenceLevel, SendError, each, settings, words};
use crate::alert::message::{AlertPart, Message, Severity, Status};

/// Longest summary, in characters ("trigger-events", `payload.summary`).
const MAX_SUMMARY_CHARS: usize = 1024;
/// Longest text among the details, in characters; a whole event may have 512 KB.
const MAX_TEXT_CHARS: usize = 8_000;

/// The kind.
pub(super) struct Pagerduty;

impl ChannelKind for Pagerduty {
    fn name(&self) -> &'static str {
        "pagerduty"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        let fields = cursor.fields()?;
        // Accounts in Europe have https://events.eu.pagerduty.com.
        let base = settings::base_url(&fields, "https://events.pagerduty.com");
        let key = settings::secret(&fields, "routing_key", "routing_key_file");
        let poster = Poster::decode(&fields);
        fields.end();
        let (base, key, poster) = (base?, key?, poster?);
        let poster = poster.hiding(key.expose_secret());
        Some(Arc::new(Service { base, key, poster }))
    }

    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Full
    }
}

struct Service {
    base: Url,
    key: SecretString,
    poster: Poster,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pagerduty at {}", self.target())
    }
}

impl Channel for Service {
    fn target(&self) -> String {
        settings::shown(&self.base)
    }

    fn takes_several(&self) -> bool {
        false
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(each::each(&self.poster, message, |part| self.event(message, part)))
    }
}

impl Service {
    fn event(&self, message: &Message, part: &AlertPart) -> Result<Request<Full<Bytes>>, SendError> {
        let mut event = json!({
            "routing_key": self.key.expose_secret(),
            "dedup_key": part.incident.to_string(),
            "event_action": if part.status == Status::Resolved { "resolve" } else { "trigger" },
        });
        if part.status == Status::Firing {
            post::set(&mut event, "payload", payload(message, part));
            post::set(&mut event, "client", "monitor");
            if let Some(url) = &message.page_url {
                post::set(&mut event, "client_url", url.as_str());
            }
            let links = words::links(part).into_iter().map(|(text, href)| json!({ "href": href, "text": text }));
            post::set(&mut event, "links", links.collect::<Vec<_>>());
        }
        post::json(&settings::join(&self.base, "v2/enqueue"), &event, &[])
    }
}

fn payload(message: &Message, part: &AlertPart) -> Value {
    let severity = match (message.drill, part.severity) {
        (true, _) | (false, Severity::Notice) => "info",
        (false, Severity::Page) => "critical",
        (false, Severity::Ticket) => "warning",
    };
    let mark = if message.drill { "[DRILL] " } else { "" };
    json!({
        "summary": clip(&words::line(&format!("{mark}{}", part.title)), MAX_SUMMARY_CHARS - 1),
        "source": part.service.as_deref().unwrap_or("monitor"),
        "severity": severity,
        "timestamp": part.opened.to_string(),
        "component": part.evidence.as_ref().map(|evidence| evidence.check.as_str()).unwrap_or_default(),
        "group": message.group_labels.values().cloned().collect::<Vec<_>>().join(", "),
        "class": part.name,
        "custom_details": details(message, part),
    })
}

fn details(message: &Message, part: &AlertPart) -> Map<String, Value> {
    let mut details: Map<String, Value> =
        words::facts(part).into_iter().map(|(label, value)| (label.to_lowercase(), value.into())).collect();
    details.insert("labels".to_owned(), json!(part.labels));
    if !part.description.trim().is_empty() {
        details.insert("description".to_owned(), clip(&words::block(&part.description), MAX_TEXT_CHARS).into());
    }
    if let Some(lines) = words::last_lines(part, MAX_TEXT_CHARS) {
        details.insert("last lines".to_owned(), lines.into());
    }
    let notes = words::notes(message);
    if !notes.is_empty() {
        details.insert("note".to_owned(), notes.join(" ").into());
    }
    details
}
