//! Whom an incident is told: the first route that fits, and those after it if it says `continue`. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::calendar::Recurrence;
use super::matcher::Matcher;

/// Every route, in file order.
#[derive(Debug, Clone, Default)]
pub struct Routes(pub Vec<Route>);

/// One route.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// All of them must fit; none fits everything.
    pub matchers: Vec<Matcher>,
    /// The channels.
    pub to: Vec<String>,
    /// Whether later routes are looked at too.
    pub continues: bool,
    /// Labels by which incidents share a message; `None`: each has its own.
    pub group_by: Option<Vec<String>>,
    /// How long a new group waits for more before it speaks. Default 0: the first page must not wait.
    pub group_wait: Duration,
    /// How long a group collects before it speaks again. Default 30 s.
    pub group_interval: Duration,
    /// Whether and when it is said again.
    pub reminders: Option<Reminders>,
    /// Outside of these hours messages wait; `None`: always.
    pub hours: Option<Hours>,
    /// Whom else to tell if nobody acknowledges.
    pub escalate: Vec<Step>,
    /// Narrower routes: what one of them takes, this one does not.
    pub routes: Vec<Route>,
}

/// When an open incident that nobody has taken is said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminders {
    /// For the first time.
    pub after: Duration,
    /// From then on.
    pub every: Duration,
}

impl Reminders {
    /// After 4 h and then every 12 h (DESIGN section 6).
    pub const STANDARD: Self = Self { after: Duration::from_secs(4 * 3600), every: Duration::from_secs(12 * 3600) };
}

/// Hours in which people work.
#[derive(Debug, Clone, PartialEq)]
pub struct Hours {
    /// What they are called in the configuration.
    pub name: String,
    /// The times of the week.
    pub times: Vec<Recurrence>,
}

/// One step of an escalation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// So long after the opening.
    pub after: Duration,
    /// These channels too.
    pub to: Vec<String>,
}

/// A channel that is to be told, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The channel.
    pub channel: String,
    /// What its message may be shared with; empty: nothing.
    pub group: String,
    /// How long a new group waits.
    pub group_wait: Duration,
    /// How long a group collects before it speaks again.
    pub group_interval: Duration,
    /// When it is said again.
    pub reminders: Option<Reminders>,
    /// Why it must not be told now.
    pub out_of_hours: Option<String>,
    /// Whether it is told because nobody acknowledged in time.
    pub escalated: bool,
}

impl Target {
    /// A channel that is told at once and not reminded.
    pub(super) fn plain(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            group: String::new(),
            group_wait: Duration::ZERO,
            group_interval: Duration::ZERO,
            reminders: None,
            out_of_hours: None,
            escalated: false,
        }
    }
}

impl Routes {
    /// Returns the routes that take something with these labels, with their places, such as `1.0` for the first route
    /// below the second.
    pub fn taking(&self, labels: &BTreeMap<String, String>) -> Vec<(String, &Route)> {
        first_of(&self.0, "", labels)
    }

    /// Returns whom to tell, each channel once. `waited` is how long the incident has been open without being
    /// acknowledged; none if somebody has taken it.
    pub fn targets(&self, labels: &BTreeMap<String, String>, waited: Option<Duration>, now: Timestamp) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for (place, route) in self.taking(labels) {
            let place = place.as_str();
            let steps = route.escalate.iter().filter(|step| waited.is_some_and(|waited| waited >= step.after));
            let more = steps.flat_map(|step| &step.to).map(|channel| (channel, true));
            for (channel, escalated) in route.to.iter().map(|channel| (channel, false)).chain(more) {
                if !targets.iter().any(|target| target.channel == *channel) {
                    targets.push(route.target(channel, place, labels, escalated, now));
                }
            }
        }
        targets
    }
}

/// Returns the routes of a list that take something: the first that fits, and those after it while they say `continue`.
fn first_of<'a>(routes: &'a [Route], above: &str, labels: &BTreeMap<String, String>) -> Vec<(String, &'a Route)> {
    let mut taking = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let place = if above.is_empty() { index.to_string() } else { format!("{above}.{index}") };
        let found = route.taking(&place, labels);
        let is_last = !found.is_empty() && !route.continues;
        taking.extend(found);
        if is_last {
            break;
        }
    }
    taking
}

impl Route {
    /// As Alertmanager's tree: the narrower routes first, itself if none of them takes it.
    fn taking(&self, place: &str, labels: &BTreeMap<String, String>) -> Vec<(String, &Self)> {
        if !self.matchers.iter().all(|matcher| matcher.fits(labels)) {
            return Vec::new();
        }
        let below = first_of(&self.routes, place, labels);
        if below.is_empty() { vec![(place.to_owned(), self)] } else { below }
    }

    /// Returns it and every route below it.
    pub fn all(&self) -> Vec<&Self> {
        std::iter::once(self).chain(self.routes.iter().flat_map(Self::all)).collect()
    }

    fn target(
        &self,
        channel: &str,
        place: &str,
        labels: &BTreeMap<String, String>,
        escalated: bool,
        now: Timestamp,
    ) -> Target {
        let group = self.group_by.as_ref().map(|names| {
            let shared: BTreeMap<&String, &str> =
                names.iter().map(|name| (name, labels.get(name).map_or("", String::as_str))).collect();
            format!("{place}:{}", serde_json::json!(shared))
        });
        let closed = self.hours.as_ref().filter(|hours| !hours.are_now(now));
        Target {
            channel: channel.to_owned(),
            group: group.unwrap_or_default(),
            group_wait: self.group_wait,
            group_interval: self.group_interval,
            reminders: self.reminders,
            out_of_hours: closed.map(|hours| format!("outside of {}", hours.name)),
            escalated,
        }
    }
}

impl Hours {
    /// Returns whether people work now.
    pub fn are_now(&self, now: Timestamp) -> bool {
        self.times.iter().any(|time| time.active_until(now).is_some())
    }
}

/// Turns a group's name back into its labels.
pub(super) fn group_labels(group: &str) -> BTreeMap<String, String> {
    let labels = group.split_once(':').map(|(_, labels)| labels).unwrap_or_default();
    serde_json::from_str(labels).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(matcher: &str, to: &[&str]) -> Route {
        let matchers = if matcher.is_empty() { Vec::new() } else { vec![Matcher::parse(matcher).unwrap()] };
        Route { matchers, to: to.iter().map(|name| (*name).to_owned()).collect(), ..Route::default() }
    }

    fn told(routes: &Routes, labels: &[(&str, &str)], waited_mins: Option<u64>) -> String {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let waited = waited_mins.map(|mins| Duration::from_secs(mins * 60));
        let targets = routes.targets(&labels, waited, Timestamp::UNIX_EPOCH);
        targets
            .iter()
            .map(|target| format!("{}{}", target.channel, if target.escalated { "!" } else { "" }))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_first_route_that_fits_takes_it_and_continue_asks_the_next_too() {
        let routes = Routes(vec![
            Route { continues: true, ..route("team=a", &["chat"]) },
            route("severity=page", &["pager", "chat"]),
            route("", &["mail"]),
        ]);
        assert_eq!(told(&routes, &[("severity", "page")], None), "pager chat");
        assert_eq!(told(&routes, &[("severity", "page"), ("team", "a")], None), "chat pager");
        assert_eq!(told(&routes, &[("severity", "ticket"), ("team", "a")], None), "chat mail");
        assert_eq!(told(&routes, &[], None), "mail");
    }

    #[test]
    fn narrower_routes_come_first_and_the_wider_one_takes_the_rest() {
        let mut team = route("team=a", &["chat"]);
        team.routes = vec![route("severity=page", &["pager"])];
        let routes = Routes(vec![team, route("", &["mail"])]);
        assert_eq!(told(&routes, &[("team", "a"), ("severity", "page")], None), "pager");
        assert_eq!(told(&routes, &[("team", "a"), ("severity", "ticket")], None), "chat");
        assert_eq!(told(&routes, &[("severity", "page")], None), "mail");
        let places: Vec<String> = routes
            .taking(&[("team".to_owned(), "a".to_owned()), ("severity".to_owned(), "page".to_owned())].into())
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        assert_eq!(places, ["0.0"]);
    }

    #[test]
    fn an_escalation_adds_people_until_somebody_takes_it() {
        let step = |mins: u64, to: &str| Step { after: Duration::from_secs(mins * 60), to: vec![to.to_owned()] };
        let routes =
            Routes(vec![Route { escalate: vec![step(15, "second"), step(30, "boss")], ..route("", &["first"]) }]);
        assert_eq!(told(&routes, &[], Some(14)), "first");
        assert_eq!(told(&routes, &[], Some(15)), "first second!");
        assert_eq!(told(&routes, &[], Some(60)), "first second! boss!");
        assert_eq!(told(&routes, &[], None), "first");
    }

    #[test]
    fn what_shares_the_labels_of_a_group_may_share_a_message() {
        let routes = Routes(vec![Route { group_by: Some(vec!["team".to_owned()]), ..route("", &["x"]) }]);
        let group = |team: &str| {
            let labels = [("team".to_owned(), team.to_owned())].into();
            routes.targets(&labels, None, Timestamp::UNIX_EPOCH)[0].group.clone()
        };
        assert_eq!(group("a"), group("a"));
        assert_ne!(group("a"), group("b"));
        for team in ["a", "", "a=b,c:d", "{\"x\": 1}"] {
            assert_eq!(group_labels(&group(team)), [("team".to_owned(), team.to_owned())].into());
        }
        assert!(group_labels("").is_empty());
    }
}
