//! External endpoints of Gatus, which push, as heartbeats.

use kit::config::Place;
use serde_json::{Map, Value, json};

use super::super::keys::Keys;
use super::{Gatus, wrong};

impl Gatus<'_> {
    /// Takes one over.
    ///
    /// # Errors
    /// It has no name, or its token cannot be kept.
    pub(super) fn pushed(&mut self, place: &Place, item: &Value) -> Result<(), String> {
        let mut keys = Keys::new("external endpoint", item);
        let name = keys.text("name").ok_or_else(|| wrong(place, "this endpoint has no name; write name: …"))?;
        let group = keys.text("group");
        keys.who = super::endpoint::who("external endpoint", group.as_deref(), &name);
        if keys.flag("enabled") == Some(false) {
            self.left_out.push(format!("{}: it is disabled", keys.who));
            return Ok(());
        }
        let mut heartbeat = keys.keys("heartbeat");
        let Some(period) = heartbeat.text("interval") else {
            let why = "no heartbeat.interval, so that its silence means nothing; write how often it comes, heartbeat: { period: 1h }";
            self.left_out.push(format!("{}: {why}", keys.who));
            return Ok(());
        };
        heartbeat.end(&mut self.left_out);
        let service = self.names.take(&[&name, &format!("{}-{name}", group.as_deref().unwrap_or_default())]);
        let mut settings = Map::from_iter([("period".to_owned(), json!(super::endpoint::length(&period)))]);
        if let Some(token) = keys.text("token") {
            self.secrets.put(&mut settings, "token", &format!("{service}-token"), &token)?;
        }
        self.changed.push(format!(
            "{}: it pushes to POST /api/v1/heartbeat/{service}/push?state=success (or fail) with the same token; it is late after \
             its period and a tenth, Gatus waited up to two",
            keys.who
        ));
        let check = Map::from_iter([("heartbeat".to_owned(), Value::Object(settings))]);
        self.keep(&service, group.as_deref(), &name, Map::from_iter([("push".to_owned(), check.into())]), &mut keys);
        keys.end(&mut self.left_out);
        Ok(())
    }
}
