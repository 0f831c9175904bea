//! Alertmanager's configuration (prometheus.io/docs/alerting/latest/configuration) as ours: receivers become channels,
//! the tree of routes stays a tree.

use std::path::Path;

use kit::cli::{at, quoted};
use kit::config::Node;
use serde_json::{Map, Value, json};

use super::Imported;
use super::receivers::Receivers;
use super::secrets::Secrets;

/// Alertmanager's own defaults, which hold where its file says nothing.
const DEFAULTS: [(&str, &str); 3] = [("group_wait", "30s"), ("group_interval", "5m"), ("repeat_interval", "4h")];

/// Reads the file and makes ours of it.
///
/// # Errors
/// It cannot be read, or a secret cannot be kept.
pub(super) fn import(file: &Path, secrets: &Path) -> Result<Imported, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let node =
        Node::parse(&file.display().to_string(), &text).map_err(|(place, message)| format!("{place}: {message}"))?;
    let source = node.to_json();
    let mut imported = Imported::default();
    let secrets = Secrets::new(secrets);
    let receivers = Receivers::read(&source, &secrets, &mut imported.left_out)?;
    let hours = hours(&source, &mut imported.left_out);
    let mut route = match at(&source, "route") {
        Value::Object(route) => route.clone(),
        _ => return Err(format!("{}: there is no \"route\"", file.display())),
    };
    for (key, default) in DEFAULTS {
        route.entry(key).or_insert_with(|| default.into());
    }
    let top = routed(&route, &receivers, &mut imported.left_out);
    imported.config.insert("channels".to_owned(), Value::Object(receivers.channels));
    imported.config.insert("routes".to_owned(), json!([top]));
    if !hours.is_empty() {
        imported.config.insert("hours_of_work".to_owned(), Value::Object(hours));
    }
    if at(&source, "inhibit_rules").as_array().is_some_and(|rules| !rules.is_empty()) {
        let line =
            "inhibit_rules: say what needs what (`needs: { hard: [database] }`), then one message names the root";
        imported.left_out.push(line.to_owned());
    }
    Ok(imported)
}

fn routed(route: &Map<String, Value>, receivers: &Receivers, left_out: &mut Vec<String>) -> Value {
    let mut ours = Map::new();
    let matchers = matchers(route, left_out);
    if !matchers.is_empty() {
        ours.insert("matchers".to_owned(), json!(matchers));
    }
    if let Some(receiver) = route.get("receiver").and_then(Value::as_str) {
        ours.insert("to".to_owned(), json!(receivers.of(receiver)));
    }
    if route.get("continue") == Some(&Value::Bool(true)) {
        ours.insert("continue".to_owned(), true.into());
    }
    if let Some(names) = route.get("group_by").and_then(Value::as_array) {
        // `...` means by every label: each alert for itself, as ours are without group_by.
        if !names.iter().any(|name| name == "...") {
            ours.insert("group_by".to_owned(), json!(names));
        }
    }
    for key in ["group_wait", "group_interval"] {
        if let Some(length) = route.get(key) {
            ours.insert(key.to_owned(), length.clone());
        }
    }
    if let Some(every) = route.get("repeat_interval") {
        ours.insert("reminders".to_owned(), json!({ "after": every, "every": every }));
    }
    match route.get("active_time_intervals").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => drop(ours.insert("during".to_owned(), only.clone())),
        Some([_, _, ..]) => {
            left_out.push("active_time_intervals: only one a route; join them under hours_of_work".to_owned())
        }
        _ => {}
    }
    if route.contains_key("mute_time_intervals") {
        left_out.push("mute_time_intervals: write a recurring window under \"windows\" instead".to_owned());
    }
    let below: Vec<Value> = route
        .get("routes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|below| Some(routed(below.as_object()?, receivers, left_out)))
        .collect();
    if !below.is_empty() {
        ours.insert("routes".to_owned(), below.into());
    }
    Value::Object(ours)
}

fn matchers(route: &Map<String, Value>, left_out: &mut Vec<String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (key, sign) in [("match", "="), ("match_re", "=~")] {
        for (label, value) in route.get(key).and_then(Value::as_object).into_iter().flatten() {
            found.push(format!("{label}{sign}{:?}", value.as_str().unwrap_or_default()));
        }
    }
    let written = route.get("matchers").and_then(Value::as_array).into_iter().flatten();
    found.extend(written.filter_map(Value::as_str).map(ToOwned::to_owned));
    found.iter().map(|matcher| in_our_words(matcher, left_out)).collect()
}

/// Ours are three words of severity; theirs are whatever somebody chose, mostly these.
fn in_our_words(matcher: &str, left_out: &mut Vec<String>) -> String {
    if !matcher.trim_start().starts_with("severity") {
        return matcher.to_owned();
    }
    let mut ours = matcher.to_owned();
    for (theirs, word) in [("critical", "page"), ("warning", "ticket"), ("info", "notice"), ("none", "notice")] {
        ours = ours.replace(theirs, word);
    }
    if ours != matcher {
        left_out.push(format!("matcher {matcher} is {ours} here: severities are page, ticket and notice"));
    }
    ours
}

/// `time_intervals` that are weekdays with times become hours of work.
fn hours(source: &Value, left_out: &mut Vec<String>) -> Map<String, Value> {
    let mut all = Map::new();
    let lists =
        ["time_intervals", "mute_time_intervals"].map(|key| at(source, key).as_array().cloned().unwrap_or_default());
    for interval in lists.concat() {
        let name = at(&interval, "name").as_str().unwrap_or_default().to_owned();
        let mut times = Vec::new();
        let mut zone = "UTC".to_owned();
        for entry in at(&interval, "time_intervals").as_array().into_iter().flatten() {
            if ["days_of_month", "months", "years"].iter().any(|key| !at(entry, key).is_null()) {
                left_out.push(format!("time interval {name}: days of the month, months and years"));
                continue;
            }
            if let Some(location) = at(entry, "location").as_str() {
                location.clone_into(&mut zone);
            }
            let days: Vec<String> = at(entry, "weekdays")
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(short_days)
                .collect();
            let days = if days.is_empty() { "day".to_owned() } else { days.join(",") };
            let spans: Vec<(String, String)> = at(entry, "times")
                .as_array()
                .into_iter()
                .flatten()
                .map(|time| (text(at(time, "start_time")), text(at(time, "end_time"))))
                .collect();
            let whole = [("00:00".to_owned(), "24:00".to_owned())];
            for (from, to) in if spans.is_empty() { &whole[..] } else { &spans } {
                times.push(format!("{days} {from}-{to}"));
            }
        }
        if !times.is_empty() {
            all.insert(name, json!({ "zone": zone, "times": times }));
        }
    }
    all
}

/// `monday:friday` is `Mon-Fri` here.
fn short_days(days: &str) -> String {
    let short = |day: &str| {
        let mut letters = day.chars().take(3);
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    days.split(':').map(short).collect::<Vec<_>>().join("-")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Turns silences that are not over into commands.
///
/// # Errors
/// The file cannot be read or is not what `GET /api/v2/silences` answers.
pub(super) fn silences(file: &Path) -> Result<Vec<String>, String> {
    let shown = file.display();
    let content = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let list: Vec<Value> =
        serde_json::from_str(&content).map_err(|error| format!("{shown}: not a list of silences: {error}"))?;
    let active = list.iter().filter(|silence| at(at(silence, "status"), "state") != "expired");
    let commands = active.filter_map(|silence| {
        let until: jiff::Timestamp = at(silence, "endsAt").as_str()?.parse().ok()?;
        let left = until.duration_since(jiff::Timestamp::now()).as_secs();
        let matchers = at(silence, "matchers").as_array()?.iter().map(|matcher| {
            let sign = match (at(matcher, "isEqual") != false, at(matcher, "isRegex") == true) {
                (true, false) => "=",
                (true, true) => "=~",
                (false, false) => "!=",
                (false, true) => "!~",
            };
            in_line(&format!("{}{sign}{}", text(at(matcher, "name")), text(at(matcher, "value"))))
        });
        let matchers = matchers.collect::<Vec<_>>().join(" ");
        let comment = in_line(&text(at(silence, "comment")));
        (left > 0).then(|| format!("monitor alerts silence {matchers} --for {left}s --comment {comment}"))
    });
    Ok(commands.collect())
}

/// Returns a text as one word of a command that stands in one line.
fn in_line(text: &str) -> String {
    quoted(&text.replace('\n', " "))
}
