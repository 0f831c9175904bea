//! Who is told of what: services that are told to the same channels share a route.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Channels, and after how long they are reminded.
type Audience = (Vec<String>, Option<String>);

/// Services by who is told of them.
#[derive(Debug, Default)]
pub(super) struct Audiences(BTreeMap<Audience, Vec<String>>);

impl Audiences {
    /// These channels are told of this service, and reminded so often.
    pub(super) fn tell(&mut self, mut channels: Vec<String>, reminder: Option<String>, service: &str) {
        channels.sort();
        channels.dedup();
        self.0.entry((channels, reminder)).or_default().push(service.to_owned());
    }

    /// Returns the routes; the last one has what no service is the cause of, and is told to all.
    pub(super) fn into_routes(self, all: &[String]) -> Vec<Value> {
        let own = |((channels, reminder), services): (Audience, Vec<String>)| {
            let reminders = reminder.map_or(json!(false), |every| json!({ "after": every, "every": every }));
            json!({ "match": { "service": services }, "to": channels, "reminders": reminders })
        };
        self.0.into_iter().map(own).chain([json!({ "to": all })]).collect()
    }
}
