//! One event of sign-in, as far as the rules look at it.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value as Json;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A password was wrong, or there is no such account.
    Failed,
    /// Somebody signed in.
    SignedIn,
    /// Anything else, or by a watcher.
    Other,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its number in the stream.
    pub(crate) number: i64,
    pub(crate) at_ms: i64,
    pub(super) what: What,
    pub(super) email: Option<String>,
    pub(super) address: Option<IpAddr>,
}

impl Event {
    /// Reads one of platform-services.
    ///
    /// # Errors
    /// The name of the field that is missing or wrong.
    pub(crate) fn read(json: &Json) -> Result<Self, &'static str> {
        let text = |key| json.get(key).and_then(Json::as_str);
        let number = json.get("number").and_then(Json::as_i64).ok_or("number")?;
        let at: Timestamp = text("at").and_then(|at| at.parse().ok()).ok_or("at")?;
        let what = match (text("kind").ok_or("kind")?, text("realm")) {
            // Watchers fail on purpose.
            (_, Some("watch")) => What::Other,
            ("login_failed" | "second_factor_failed", _) => What::Failed,
            ("login", _) => What::SignedIn,
            _ => What::Other,
        };
        let email = text("email").map(str::to_owned);
        let address = text("address").and_then(|address| address.parse::<IpAddr>().ok());
        Ok(Self { number, at_ms: at.as_millisecond(), what, email, address: address.map(|ip| ip.to_canonical()) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_and_a_watchers_is_nobodys() {
        let failed = json!({ "number": 7, "at": "2026-01-02T03:04:05Z", "kind": "login_failed", "user_id": null,
            "email": "a@example.com", "address": "::ffff:192.0.2.7" });
        let event = Event::read(&failed).unwrap();
        assert_eq!(
            (event.number, event.what, event.address.unwrap().to_string()),
            (7, What::Failed, "192.0.2.7".to_owned())
        );
        let mut watched = failed.clone();
        watched["realm"] = json!("watch");
        assert_eq!(Event::read(&watched).unwrap().what, What::Other);
        for missing in ["number", "at", "kind"] {
            let mut broken = failed.clone();
            broken.as_object_mut().unwrap().remove(missing);
            assert_eq!(Event::read(&broken), Err(missing));
        }
    }
}
