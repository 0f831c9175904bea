//! What the configuration says of alerts: channels, routes, windows, hours, and what each service wants.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::config::{Cursor, Fields, Value, suggest};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::calendar::{MAX_LENGTH, Recurrence, parse_hours};
use super::channel::{ChannelKinds, Channels, decode_channels, parse_web_url, take_web_url};
use super::elsewhere::{Elsewhere, decode_elsewhere};
use super::matcher::Matcher;
use super::message::Severity;
use super::route::{Hours, Reminders, Route, Routes, Step};
use super::silence::{When, Window};
use super::verdicts::{ServiceAlerts, ServicesAlerts};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Everything that alerts are told.
#[derive(Debug, Clone, Default)]
pub struct AlertSettings {
    /// The channels, in file order.
    pub channels: Channels,
    /// The routes, in file order.
    pub routes: Routes,
    /// Maintenance windows of the configuration.
    pub windows: Vec<Window>,
    /// Where the status page is reached from outside; without it messages carry no links.
    pub public_url: Option<String>,
    /// Where traces and logs are shown.
    pub elsewhere: Elsewhere,
    /// When a drill is due.
    pub drill: Option<Recurrence>,
    /// Who notices if we go silent.
    pub dead_man: Option<DeadMan>,
    /// What each service wants.
    pub services: ServicesAlerts,
}

impl AlertSettings {
    /// Returns whether some route takes an alert of a service with these labels, or of none.
    fn is_told(&self, service: Option<&str>, labels: &BTreeMap<String, String>, severity: Severity) -> bool {
        let mut labels = labels.clone();
        labels.insert("severity".to_owned(), severity.as_str().to_owned());
        labels.extend(service.map(|name| ("service".to_owned(), name.to_owned())));
        !self.routes.taking(&labels).is_empty()
    }

    /// Returns whether pages and tickets of a service would be told to somebody, if anybody is told anything.
    pub fn tells_of(&self, service: &str, alerts: &ServiceAlerts) -> bool {
        let is_told = |severity| self.is_told(Some(service), &alerts.labels, severity);
        self.routes.0.is_empty() || [Severity::Page, Severity::Ticket].into_iter().all(is_told)
    }
}

/// A dead man's switch: it is pinged while everything works.
#[derive(Clone)]
pub struct DeadMan {
    url: SecretString,
    /// How often.
    pub every: Duration,
}

impl DeadMan {
    /// Returns the address, which is secret: whoever knows it can keep the switch quiet.
    pub fn url(&self) -> &str {
        self.url.expose_secret()
    }
}

impl fmt::Debug for DeadMan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadMan(every {:?})", self.every)
    }
}

/// Checks the alert sections. `services` are the names that exist, with whether each is critical.
pub fn decode_alerts(fields: &Fields<'_>, kinds: &ChannelKinds, services: ServicesAlerts) -> AlertSettings {
    let channels = decode_channels(fields.get("channels"), kinds);
    let hours = hours(fields.get("hours_of_work"));
    let written: Vec<String> = names(fields.get("channels"));
    let routes = routes(fields, &written, &hours);
    let windows = windows(fields.get("windows"), &services);
    let public_url = fields.get("public_url").and_then(|cursor| {
        let url = cursor.parse::<Url>("a URL like https://status.example.com")?;
        let url = take_web_url(url, &cursor)?;
        Some(url.to_string().trim_end_matches('/').to_owned())
    });
    let elsewhere = decode_elsewhere(fields.get("links"));
    let drill = drill(fields.get("drill"));
    let dead_man = dead_man(fields.get("dead_man"));
    let settings = AlertSettings { channels, routes, windows, public_url, elsewhere, drill, dead_man, services };
    check_routed(fields, &settings);
    settings
}

/// Reads what a service says of its alerts.
pub fn decode_service(fields: &Fields<'_>, is_critical: bool) -> ServiceAlerts {
    let mut alerts = ServiceAlerts::standard(is_critical);
    alerts.labels = fields.text_map("labels");
    if let Some(labels) = fields.get("labels") {
        for own in ["service", "severity", "alertname"] {
            if alerts.labels.remove(own).is_some() {
                labels.mistake(format!("the label {own:?} is set by the monitor; choose another name"));
            }
        }
    }
    if let Some(own) = fields.get("alert").and_then(|cursor| cursor.fields()) {
        let words = [
            ("page", Some(Severity::Page)),
            ("ticket", Some(Severity::Ticket)),
            ("notice", Some(Severity::Notice)),
            ("none", None),
        ];
        alerts.down = own.get("down").and_then(|c| c.one_of(&words)).unwrap_or(alerts.down);
        alerts.degraded = own.get("degraded").and_then(|c| c.one_of(&words)).unwrap_or(alerts.degraded);
        own.end();
    }
    alerts
}

fn names(section: Option<Cursor<'_>>) -> Vec<String> {
    let Some(Value::Map(entries)) = section.map(|cursor| &cursor.node().value) else { return Vec::new() };
    entries.iter().map(|entry| entry.key.clone()).collect()
}

fn routes(fields: &Fields<'_>, channels: &[String], hours: &HashMap<String, Hours>) -> Routes {
    let Some(cursor) = fields.get("routes") else {
        // Without routes everybody is told everything.
        let all = Route { to: channels.to_vec(), ..standard() };
        return Routes(if channels.is_empty() { Vec::new() } else { vec![all] });
    };
    let above = standard();
    Routes(cursor.items().iter().filter_map(|item| route(item, &above, channels, hours)).collect())
}

fn standard() -> Route {
    Route { group_interval: Duration::from_secs(30), reminders: Some(Reminders::STANDARD), ..Route::default() }
}

/// What a route does not say is as in the one it stands below.
fn route(cursor: &Cursor<'_>, above: &Route, channels: &[String], hours: &HashMap<String, Hours>) -> Option<Route> {
    let fields = cursor.fields()?;
    let length = |key, range, default| fields.get(key).and_then(|c| c.duration(range)).unwrap_or(default);
    let mut route = Route {
        matchers: matchers(&fields),
        to: to(&fields, channels, &above.to),
        continues: fields.get("continue").and_then(|c| c.bool()).unwrap_or(false),
        group_by: fields.get("group_by").map_or_else(|| above.group_by.clone(), |c| Some(c.texts())),
        group_wait: length("group_wait", Duration::ZERO..=10 * MINUTE, above.group_wait),
        group_interval: length("group_interval", Duration::ZERO..=DAY, above.group_interval),
        reminders: reminders(&fields, above.reminders),
        hours: fields.get("during").map_or_else(|| above.hours.clone(), |c| find_hours(&c, hours)),
        escalate: match fields.get("escalate") {
            Some(cursor) => cursor.items().iter().filter_map(|item| step(item, channels)).collect(),
            None => above.escalate.clone(),
        },
        routes: Vec::new(),
    };
    let below = fields.get("routes").map(|c| c.items()).unwrap_or_default();
    route.routes = below.iter().filter_map(|item| self::route(item, &route, channels, hours)).collect();
    fields.end();
    Some(route)
}

/// `match:` has labels with a value or a list of values; `matchers:` has Alertmanager's form.
fn matchers(fields: &Fields<'_>) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for (label, cursor) in fields.get("match").and_then(|c| c.entries()).unwrap_or_default() {
        if label == "severity" {
            let words = Severity::ALL.map(|severity| (severity.as_str(), ()));
            for item in cursor.items() {
                let _reported = item.one_of(&words);
            }
        }
        matchers.extend(report(&cursor, Matcher::one_of(label, &cursor.texts())));
    }
    for cursor in fields.get("matchers").map(|c| c.items()).unwrap_or_default() {
        if let Some(text) = cursor.text() {
            matchers.extend(report(&cursor, Matcher::parse(&text)));
        }
    }
    matchers
}

/// Reports what is wrong at the place where it is written.
fn report<T>(cursor: &Cursor<'_>, result: Result<T, String>) -> Option<T> {
    result.map_err(|message| cursor.mistake(message)).ok()
}

fn to(fields: &Fields<'_>, channels: &[String], above: &[String]) -> Vec<String> {
    if above.is_empty() {
        fields.require("to");
    }
    let Some(cursor) = fields.get("to") else { return above.to_vec() };
    let items = cursor.items();
    if items.is_empty() {
        cursor.mistake("no channel: what this route takes would be told to nobody");
    }
    for item in &items {
        if let Some(name) = item.text().filter(|name| !channels.contains(name)) {
            let near = suggest(&name, channels.iter().map(String::as_str));
            item.mistake(format!("{name:?} is not a channel{near}"));
        }
    }
    cursor.texts()
}

fn step(cursor: &Cursor<'_>, channels: &[String]) -> Option<Step> {
    let fields = cursor.fields()?;
    let after = fields.require("after").and_then(|c| c.duration(MINUTE..=7 * DAY));
    let to = to(&fields, channels, &[]);
    fields.end();
    Some(Step { after: after?, to })
}

fn reminders(fields: &Fields<'_>, above: Option<Reminders>) -> Option<Reminders> {
    let standard = Reminders::STANDARD;
    let Some(cursor) = fields.get("reminders") else { return above };
    if matches!(cursor.node().value, Value::Bool(false))
        || cursor.node().scalar_text().is_some_and(|text| text == "off")
    {
        return None;
    }
    let own = cursor.fields()?;
    let length = |key, default| own.get(key).and_then(|c| c.duration(MINUTE..=30 * DAY)).unwrap_or(default);
    let reminders = Reminders { after: length("after", standard.after), every: length("every", standard.every) };
    own.end();
    Some(reminders)
}

fn find_hours(cursor: &Cursor<'_>, hours: &HashMap<String, Hours>) -> Option<Hours> {
    let name = cursor.text()?;
    let found = hours.get(&name).cloned();
    if found.is_none() {
        let near = suggest(&name, hours.keys().map(String::as_str));
        cursor.mistake(format!("{name:?} is not under \"hours_of_work\"{near}"));
    }
    found
}

/// How long a drill that was due while the monitor was off may begin late.
const DRILL_WINDOW: Duration = Duration::from_secs(3600);

/// `drill: { every: Mon 09:00, zone: Europe/Berlin }`
fn drill(section: Option<Cursor<'_>>) -> Option<Recurrence> {
    let fields = section?.fields()?;
    let zone = zone(&fields);
    let every = fields.require("every");
    fields.end();
    let every = every?;
    report(&every, Recurrence::parse(&every.text()?, DRILL_WINDOW, zone))
}

/// `dead_man: { url_file: PATH, every: 1m }`
fn dead_man(section: Option<Cursor<'_>>) -> Option<DeadMan> {
    let fields = section?.fields()?;
    let cursor = fields.get("url_file").or_else(|| fields.require("url"))?;
    let url = if fields.has("url_file") {
        fields.secret("url", "url_file")
    } else {
        fields.get("url").and_then(|cursor| cursor.text()).map(kit::secrets::secret)
    };
    let every = fields.get("every").and_then(|c| c.duration(Duration::from_secs(1)..=DAY)).unwrap_or(MINUTE);
    fields.end();
    let url = url?;
    parse_web_url(url.expose_secret(), &cursor)?;
    Some(DeadMan { url, every })
}

/// `hours_of_work: { office: { zone: Europe/Berlin, times: ["Mon-Fri 09:00-18:00"] } }`
fn hours(section: Option<Cursor<'_>>) -> HashMap<String, Hours> {
    let mut all = HashMap::new();
    for (name, cursor) in section.and_then(|c| c.entries()).unwrap_or_default() {
        let Some(fields) = cursor.fields() else { continue };
        let zone = zone(&fields);
        let mut times = Vec::new();
        for item in fields.require("times").map(|c| c.items()).unwrap_or_default() {
            let Some(text) = item.text() else { continue };
            times.extend(report(&item, hours_of(&text, &zone)));
        }
        fields.end();
        all.insert(name.to_owned(), Hours { name: name.to_owned(), times });
    }
    all
}

fn hours_of(text: &str, zone: &TimeZone) -> Result<Recurrence, String> {
    let wrong = || format!("{text:?} are not hours of a week; write Mon-Fri 09:00-18:00");
    let (days, hours) = text.trim().rsplit_once(' ').ok_or_else(wrong)?;
    let (from, length) = parse_hours(hours).map_err(|_| wrong())?;
    Recurrence::parse(&format!("{days} {from}"), length, zone.clone()).map_err(|_| wrong())
}

fn zone(fields: &Fields<'_>) -> TimeZone {
    let Some(cursor) = fields.get("zone") else { return TimeZone::UTC };
    let Some(name) = cursor.text() else { return TimeZone::UTC };
    TimeZone::get(&name).unwrap_or_else(|_unknown| {
        cursor.mistake(format!("{name:?} is not a time zone; write one like Europe/Berlin or UTC"));
        TimeZone::UTC
    })
}

fn windows(section: Option<Cursor<'_>>, services: &ServicesAlerts) -> Vec<Window> {
    let items = section.map(|cursor| cursor.items()).unwrap_or_default();
    items.iter().filter_map(|item| window(item, services)).collect()
}

fn window(cursor: &Cursor<'_>, services: &ServicesAlerts) -> Option<Window> {
    let fields = cursor.fields()?;
    let name = fields.require("name").and_then(|c| c.text());
    let zone = zone(&fields);
    let named = fields.get("services");
    for item in named.as_ref().map(Cursor::items).unwrap_or_default() {
        if let Some(service) = item.text().filter(|service| !services.contains_key(service.as_str())) {
            let near = suggest(&service, services.keys().map(|name| &**name));
            item.mistake(format!("{service:?} is not a service{near}"));
        }
    }
    let when = when(&fields, &zone);
    fields.end();
    let services = named.map(|c| c.texts()).unwrap_or_default();
    Some(Window { name: name?, when: when?, services, by: String::new(), id: None })
}

fn when(fields: &Fields<'_>, zone: &TimeZone) -> Option<When> {
    let (every, from) = (fields.get("every"), fields.get("from"));
    match (every, from) {
        (Some(every), None) => {
            let length = fields.require("for").and_then(|c| c.duration(MINUTE..=MAX_LENGTH))?;
            report(&every, Recurrence::parse(&every.text()?, length, zone.clone())).map(When::Recurring)
        }
        (None, Some(from)) => {
            let moment = |c: &Cursor<'_>| c.parse::<Timestamp>("a time like 2026-11-24T02:00:00Z");
            let until = fields.require("until")?;
            let (from, end) = (moment(&from)?, moment(&until)?);
            if end <= from {
                until.mistake("the window ends before it begins");
            }
            Some(When::Once { from, until: end })
        }
        _ => {
            fields.cursor().mistake("a window has either \"every\" and \"for\", or \"from\" and \"until\"");
            None
        }
    }
}

/// An alert that no route takes would be lost: pages and tickets of every service, and those of no service, need one.
fn check_routed(fields: &Fields<'_>, settings: &AlertSettings) {
    let Some(cursor) = fields.get("routes") else { return };
    let of_none = (None, BTreeMap::new());
    let mut services: Vec<_> = settings.services.iter().collect();
    services.sort_unstable_by_key(|(name, _)| *name);
    let of_services = services.into_iter().map(|(name, alerts)| (Some(name), alerts.labels.clone()));
    for (service, labels) in of_services.chain([of_none]) {
        for severity in [Severity::Page, Severity::Ticket] {
            if !settings.is_told(service.map(|name| &**name), &labels, severity) {
                let whose = service.map_or("of the monitor itself".to_owned(), |name| format!("of {name:?}"));
                cursor.mistake(format!(
                    "a {} {whose} fits no route and would be lost; add a last route without \"match\"",
                    severity.as_str()
                ));
                return;
            }
        }
    }
}
