//! Maintenance of Gatus as windows of ours.

use serde_json::{Value, json};

use super::super::keys::Keys;
use super::Gatus;

impl Gatus<'_> {
    /// Takes a window over: of one service, or of all.
    pub(super) fn maintenance(&mut self, name: &str, section: &Value, service: Option<&str>) {
        let mut keys = Keys::new(name, section);
        if keys.flag("enabled") == Some(false) {
            self.left_out.push(format!("{name}: it is disabled"));
            return;
        }
        let (start, duration) = (keys.text("start"), keys.text("duration"));
        let (Some(start), Some(duration)) = (start, duration) else {
            self.left_out.push(format!("{name}: it has no start or no duration"));
            return;
        };
        let zone = keys.text("timezone").unwrap_or_else(|| "UTC".to_owned());
        let days: Vec<String> =
            keys.list("every").iter().filter_map(|day| Some(day.as_str()?.chars().take(3).collect())).collect();
        let days = if days.is_empty() { "day".to_owned() } else { days.join(",") };
        keys.end(&mut self.left_out);
        let length = match super::numbers::read(&duration) {
            Some((milliseconds, _)) if milliseconds >= 60_000.0 => super::endpoint::length(&duration),
            _ => {
                self.left_out.push(format!("{name}: it lasts less than a minute"));
                return;
            }
        };
        let mut window = json!({ "name": name, "every": format!("{days} {start}"), "for": length, "zone": zone });
        if let (Some(service), Some(window)) = (service, window.as_object_mut()) {
            window.insert("services".to_owned(), json!([service]));
        }
        self.windows.push(window);
    }
}
