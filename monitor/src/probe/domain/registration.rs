//! Reads what a registry says of a domain (RFC 9083 section 5.3), and what its states mean.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::probe::expect::excerpt;
use crate::probe::http::Answer;
use crate::probe::observation::{Outcome, ReasonCode};

/// A domain's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) expires: Timestamp,
    /// States by their words (RFC 8056 section 2).
    pub(super) status: Vec<String>,
    pub(super) registrar: Option<String>,
    /// Why this is what was known before, if it is.
    pub(super) stale: Option<String>,
}

impl Registration {
    /// Returns which state keeps the domain from working, in words that its name can precede.
    pub(super) fn held(&self) -> Option<String> {
        let meaning = |status: &str| match status {
            "client hold" | "server hold" => Some("is on hold and does not resolve"),
            "redemption period" | "pending delete" => Some("was given up and is about to be deleted"),
            _ => None,
        };
        let mut held = self.status.iter().filter_map(|status| Some((meaning(status)?, status)));
        held.next().map(|(meaning, status)| format!("{meaning} ({status})"))
    }
}

/// Reads an answer for `name`.
///
/// # Errors
/// A fail if there is no such domain; unknown if the registry does not say, or does not say when it ends.
pub(super) fn read(name: &str, answer: &Answer) -> Result<Registration, Outcome> {
    let of_domain = |json: &&Json| json.get("objectClassName").and_then(Json::as_str) == Some("domain");
    let found = answer.json.as_ref().filter(of_domain).filter(|_| answer.status == 200);
    let Some(found) = found else {
        if answer.status == 404 {
            let text = format!(
                "{name} is not registered; a name below a registered one is none (write example.com, not \
                                www.example.com)"
            );
            return Err(Outcome::fail(ReasonCode::Rejected, text));
        }
        let said = if answer.excerpt.is_empty() { String::new() } else { format!(": {}", answer.excerpt) };
        return Err(Outcome::local(format!("the registry does not say: status {}{said}", answer.status)));
    };
    let Some(expires) = event(found, "expiration").or_else(|| event(found, "registrar expiration")) else {
        return Err(Outcome::local(format!("the registry does not say when {name} expires; not all do")));
    };
    let status = found.get("status").and_then(Json::as_array).into_iter().flatten();
    let status = status.filter_map(Json::as_str).map(|status| excerpt(status.as_bytes()).to_lowercase()).collect();
    Ok(Registration { expires, status, registrar: registrar(found), stale: None })
}

fn event(found: &Json, action: &str) -> Option<Timestamp> {
    let mut events = found.get("events")?.as_array()?.iter();
    let event = events.find(|event| event.get("eventAction").and_then(Json::as_str) == Some(action))?;
    let date = event.get("eventDate")?.as_str()?;
    // Some registries leave the offset out that RFC 3339 asks for; they mean UTC.
    let bare = || date.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    date.parse().ok().or_else(bare)
}

/// The name (`fn`) in the card of the entity whose role it is (RFC 7095 section 3.3).
fn registrar(found: &Json) -> Option<String> {
    let has_role = |entity: &&Json| {
        let roles = entity.get("roles").and_then(Json::as_array);
        roles.is_some_and(|roles| roles.iter().any(|role| role == "registrar"))
    };
    let entity = found.get("entities")?.as_array()?.iter().find(has_role)?;
    let mut properties = entity.get("vcardArray")?.get(1)?.as_array()?.iter();
    let name = properties.find(|property| property.get(0).and_then(Json::as_str) == Some("fn"))?.get(3)?;
    Some(excerpt(name.as_str()?.as_bytes()))
}
