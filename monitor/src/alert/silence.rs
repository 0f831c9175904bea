//! What suppresses messages: silences that people make, and maintenance windows. Never probes, never the record. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::calendar::Recurrence;
use super::matcher::Matcher;

/// Messages about what fits are held back until it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: Uuid,
    /// All of them must fit; never empty.
    pub matchers: Vec<Matcher>,
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// Who made it.
    pub by: String,
    /// Why.
    pub comment: String,
}

impl Silence {
    /// Returns whether it is in force.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns whether it is about something with these labels.
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.matchers.is_empty() && self.matchers.iter().all(|matcher| matcher.fits(labels))
    }
}

/// Planned work: messages about the services are held back, and the time does not count against objectives.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// What it is called.
    pub name: String,
    /// When.
    pub when: When,
    /// The services; empty means all.
    pub services: Vec<String>,
    /// Who made it; empty if it is configured.
    pub by: String,
    /// Its id if it was made by hand.
    pub id: Option<Uuid>,
}

/// When a window is open.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Once.
    Once {
        /// From then on.
        from: Timestamp,
        /// Until then.
        until: Timestamp,
    },
    /// Again and again.
    Recurring(Recurrence),
}

impl Window {
    /// Returns until when it is open, if it is.
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Once { from, until } => Some(*until).filter(|until| *from <= now && now < *until),
            When::Recurring(recurrence) => recurrence.active_until(now),
        }
    }

    /// Returns when it opens next.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Once { from, .. } => Some(*from).filter(|from| *from > now),
            When::Recurring(recurrence) => recurrence.next_after(now),
        }
    }

    /// Returns it as it is stored, if it was made by hand.
    fn as_once(&self) -> Option<OnceWindow> {
        let (Some(id), When::Once { from, until }) = (self.id, &self.when) else { return None };
        let (name, services, by) = (self.name.clone(), self.services.clone(), self.by.clone());
        Some(OnceWindow { id, name, from: *from, until: *until, services, by })
    }

    /// Returns whether it is about this service.
    pub fn covers(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == service)
    }
}

/// A window made by hand, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceWindow {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// The services; empty means all.
    pub services: Vec<String>,
    /// Who made it.
    pub by: String,
}

impl From<OnceWindow> for Window {
    fn from(once: OnceWindow) -> Self {
        let when = When::Once { from: once.from, until: once.until };
        Self { name: once.name, when, services: once.services, by: once.by, id: Some(once.id) }
    }
}

/// Everything that suppresses messages now.
#[derive(Debug, Clone, Default)]
pub struct Suppression {
    /// Silences, past ones included until they are forgotten.
    pub silences: Vec<Silence>,
    /// Windows of the configuration and those made by hand.
    pub windows: Vec<Window>,
}

impl Suppression {
    /// A service has a new name. Returns the silences that name it and follow; windows of the configuration name it anew
    /// by themselves.
    pub(super) fn rename(&mut self, old: &str, new: &str) -> (Vec<Silence>, Vec<OnceWindow>) {
        let mut silences = Vec::new();
        for silence in &mut self.silences {
            let mut has_followed = false;
            for matcher in &mut silence.matchers {
                has_followed |= matcher.follow("service", old, new);
            }
            if has_followed {
                silences.push(silence.clone());
            }
        }
        let mut windows = Vec::new();
        for window in self.windows.iter_mut().filter(|window| window.id.is_some()) {
            let named = window.services.iter_mut().find(|service| *service == old);
            if let Some(service) = named {
                new.clone_into(service);
                windows.extend(window.as_once());
            }
        }
        (silences, windows)
    }

    /// Returns why messages about something with these labels are held back, if they are.
    pub fn of(&self, labels: &BTreeMap<String, String>, now: Timestamp) -> Option<String> {
        if let Some(silence) = self.silence_of(labels, now) {
            return Some(format!("silenced by {} until {}", silence.by, to_the_minute(silence.until)));
        }
        let (window, until) = self.window_of(labels.get("service").map(String::as_str), now)?;
        Some(format!("maintenance {:?} until {}", window.name, to_the_minute(until)))
    }

    /// Returns the silence in force that is about something with these labels.
    pub fn silence_of(&self, labels: &BTreeMap<String, String>, now: Timestamp) -> Option<&Silence> {
        self.silences.iter().find(|silence| silence.is_active(now) && silence.fits(labels))
    }

    /// Returns the open window that covers a service, and when it closes. What is about no service is covered by windows
    /// for everything only.
    pub fn window_of(&self, service: Option<&str>, now: Timestamp) -> Option<(&Window, Timestamp)> {
        let covers = |window: &&Window| service.map_or(window.services.is_empty(), |service| window.covers(service));
        self.windows.iter().filter(covers).find_map(|window| Some((window, window.open_until(now)?)))
    }
}

fn to_the_minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_silence_holds_back_what_fits_while_it_lasts() {
        let silence = Silence {
            id: Uuid::nil(),
            matchers: vec![Matcher::equal("service", "web")],
            from: at("2026-11-24T10:00:00Z"),
            until: at("2026-11-24T11:00:00Z"),
            by: "ada".to_owned(),
            comment: String::new(),
        };
        let all = Suppression { silences: vec![silence], windows: Vec::new() };
        let web = labels(&[("service", "web"), ("severity", "page")]);
        assert_eq!(all.of(&web, at("2026-11-24T09:59:59Z")), None);
        let why = all.of(&web, at("2026-11-24T10:00:00Z")).unwrap();
        assert_eq!(why, "silenced by ada until 2026-11-24 11:00Z");
        assert_eq!(all.of(&web, at("2026-11-24T11:00:00Z")), None);
        assert_eq!(all.of(&labels(&[("service", "api")]), at("2026-11-24T10:30:00Z")), None);
    }

    #[test]
    fn a_window_for_some_services_says_nothing_of_others() {
        let once = |services: &[&str]| Window {
            name: "patching".to_owned(),
            when: When::Once { from: at("2026-11-24T10:00:00Z"), until: at("2026-11-24T11:00:00Z") },
            services: services.iter().map(|name| (*name).to_owned()).collect(),
            by: String::new(),
            id: None,
        };
        let now = at("2026-11-24T10:30:00Z");
        let some = Suppression { silences: Vec::new(), windows: vec![once(&["db"])] };
        assert!(some.of(&labels(&[("service", "db")]), now).unwrap().contains("maintenance \"patching\""));
        assert_eq!(some.of(&labels(&[("service", "web")]), now), None);
        assert_eq!(some.of(&labels(&[]), now), None);
        let all = Suppression { silences: Vec::new(), windows: vec![once(&[])] };
        assert!(all.of(&labels(&[]), now).is_some());
    }
}
