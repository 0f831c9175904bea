//! `opsgenie`: Alert API (docs.opsgenie.com/docs/alert-api), one alert for each incident, its alias the incident's id.
//! Jira Service Management takes the same at another `base_url`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http_body_util::Full;
use kit::config::Cursor;
use kit::page::words::clip;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use url::Url;

use super::post::{self, Poster};
use super::settings::{self, Header};
use super::{Accepted, Channel, ChannelKind, EvidenceLevel, SendError, each, words};
use crate::alert::message::{AlertPart, Message, Severity, Status};

/// Limits of the API, in characters ("Create Alert"): message, description, source, and all details together.
const MAX_MESSAGE_CHARS: usize = 130;
const MAX_DESCRIPTION_CHARS: usize = 15_000;
const MAX_ENTITY_CHARS: usize = 512;
const MAX_DETAILS_CHARS: usize = 8_000;
const MAX_DETAIL_CHARS: usize = 500;
const SOURCE: &str = "monitor";

/// The kind.
pub(super) struct Opsgenie;

impl ChannelKind for Opsgenie {
    fn name(&self) -> &'static str {
        "opsgenie"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        let fields = cursor.fields()?;
        let regions = [("us", "https://api.opsgenie.com"), ("eu", "https://api.eu.opsgenie.com")];
        let region = fields.get("region").map_or(Some("https://api.opsgenie.com"), |c| c.one_of(&regions));
        let base = region.and_then(|region| settings::base_url(&fields, region));
        let key = settings::secret(&fields, "api_key", "api_key_file");
        let header = key.as_ref().and_then(|key| settings::authorization(&fields, "GenieKey", key));
        let poster = Poster::decode(&fields);
        fields.end();
        let (base, header, poster) = (base?, header?, poster?);
        let poster = poster.hiding(key?.expose_secret());
        Some(Arc::new(Account { base, headers: [header], poster }))
    }

    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Full
    }
}

struct Account {
    base: Url,
    headers: [Header; 1],
    poster: Poster,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opsgenie at {}", self.target())
    }
}

impl Channel for Account {
    fn target(&self) -> String {
        settings::shown(&self.base)
    }

    fn takes_several(&self) -> bool {
        false
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(each::each(&self.poster, message, |part| self.request(message, part)))
    }
}

impl Account {
    fn request(&self, message: &Message, part: &AlertPart) -> Result<Request<Full<Bytes>>, SendError> {
        if part.status == Status::Firing {
            return post::json(&settings::join(&self.base, "v2/alerts"), &alert(message, part), &self.headers);
        }
        let mut url = settings::join(&self.base, &format!("v2/alerts/{}/close", part.incident));
        url.set_query(Some("identifierType=alias"));
        let note = clip(&words::line(&part.title), MAX_ENTITY_CHARS);
        post::json(&url, &json!({ "source": SOURCE, "note": note }), &self.headers)
    }
}

fn alert(message: &Message, part: &AlertPart) -> Value {
    let priority = match (message.drill, part.severity) {
        (true, _) | (false, Severity::Notice) => "P5",
        (false, Severity::Page) => "P1",
        (false, Severity::Ticket) => "P3",
    };
    let mark = if message.drill { "[DRILL] " } else { "" };
    let mut tags = vec!["monitor", part.severity.as_str()];
    tags.extend(message.drill.then_some("drill"));
    json!({
        "message": clip(&words::line(&format!("{mark}{}", part.title)), MAX_MESSAGE_CHARS - 1),
        "alias": part.incident.to_string(),
        "description": description(message, part),
        "entity": clip(part.service.as_deref().unwrap_or(SOURCE), MAX_ENTITY_CHARS - 1),
        "source": SOURCE,
        "priority": priority,
        "tags": tags,
        "details": details(part),
    })
}

fn description(message: &Message, part: &AlertPart) -> String {
    let mut lines = vec![words::line(&part.title)];
    lines.extend(words::notes(message));
    lines.push(words::block(&part.description));
    lines.extend(words::last_lines(part, MAX_DESCRIPTION_CHARS / 2));
    lines.extend(words::links(part).into_iter().map(|(label, url)| format!("{label}: {url}")));
    clip(&lines.join("\n"), MAX_DESCRIPTION_CHARS - 1)
}

fn details(part: &AlertPart) -> Map<String, Value> {
    let facts = words::facts_within(part, MAX_DETAILS_CHARS, MAX_DETAIL_CHARS, str::to_owned);
    facts.into_iter().map(|(label, value)| (label.to_lowercase(), value.into())).collect()
}
