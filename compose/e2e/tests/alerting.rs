//! A real Prometheus and a real Alertmanager, as they are configured here, beside what `make up` starts: no rule asks for a
//! metric that nobody has, and everybody who should be told is.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test ends at the first surprise")]

mod catalogue;
mod exporters;
mod given;
mod stack;
mod watched;

use std::collections::BTreeSet;

use e2e::{ask, get};
use given::{checked, rules};
use http::Request;
use serde_json::{Value, json};
use stack::{LIMIT, PARTS, Up};
use testkit::{Target, eventually};
use watched::Watched;

/// Words of PromQL that stand where a metric's name could.
const WORDS: [&str; 10] = ["and", "or", "unless", "by", "without", "on", "ignoring", "offset", "bool", "group_left"];

async fn started(dead_man: &Target) -> Watched {
    let up = Up::start("", &[]);
    up.until_up().await;
    Watched::start(up, dead_man, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn real_ones_scrape_everything_and_no_rule_asks_for_what_nobody_exports() {
    kit::tls::install();
    let watched = started(&Target::ok("")).await;
    watched.until_scraped().await;
    let mut known = BTreeSet::new();
    let [prometheus, _] = watched.addresses();
    for (part, _) in PARTS {
        // What is counted of requests is there from the first one on.
        let address = watched.up.address(part);
        get(&format!("http://{address}/")).await.unwrap();
        let metrics = get(&format!("http://{address}/metrics")).await.unwrap();
        checked("promtool", &["check", "metrics"], &metrics);
        // What is not counted yet here is held against the program, too.
        catalogue::holds(part, &metrics);
        known.extend(catalogue::names(part));
    }
    // Those of Prometheus, Alertmanager and exporters.
    let scraped = watched.json(&prometheus, "/api/v1/label/__name__/values").await.unwrap();
    known.extend(scraped["data"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
    let rules = rules();
    known.extend(rules.iter().filter_map(|(_, rule)| rule["record"].as_str().map(str::to_owned)));
    for (file, rule) in &rules {
        for name in metrics_in(rule["expr"].as_str().unwrap()) {
            assert!(known.contains(&name), "{file}: {name}, in {}", rule["expr"]);
        }
    }

    let failing = watched.json(&prometheus, "/api/v1/rules").await.unwrap();
    let failing: Vec<String> = failing["data"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .filter(|rule| rule["health"] == "err")
        .map(ToString::to_string)
        .collect();
    assert!(failing.is_empty(), "{failing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_is_handed_alerts_and_alertmanager_tells_only_what_it_must() {
    kit::tls::install();
    let dead_man = Target::ok("");
    let watched = started(&dead_man).await;
    let (monitor, [_, alertmanager]) = (watched.up.address("monitor"), watched.addresses());
    let handed = eventually("the monitor to be handed what always fires", LIMIT, async || {
        let alerts = watched.json(&monitor, "/api/v2/alerts").await?;
        let names: BTreeSet<&str> =
            alerts.as_array()?.iter().filter_map(|it| it["labels"]["alertname"].as_str()).collect();
        names.is_superset(&BTreeSet::from(["Watchdog", "MonitorTells"])).then(|| alerts.clone())
    });
    let handed = handed.await;
    let runbook = |alert: &Value| alert["annotations"]["runbook_url"].as_str() == Some("alerts/README.md#watchdog");
    assert!(handed.as_array().unwrap().iter().any(runbook), "{handed}");
    let pinged = async || dead_man.requests().first().map(|ping| assert_eq!(ping.path, "/ping/prometheus"));
    eventually("the switch outside to be pinged", LIMIT, pinged).await;
    let incidents = watched.json(&monitor, "/api/v1/incidents?open=true").await.unwrap();
    assert!(!incidents.to_string().contains("Watchdog"), "{incidents}");

    let posted = json!([
        { "labels": { "alertname": "ServiceDown", "severity": "page", "service": "shop" } },
        { "labels": { "alertname": "ServiceHighLatency", "severity": "ticket", "service": "shop" } },
        { "labels": { "alertname": "AlertWaiting", "severity": "page", "service": "monitor", "told": "directly" } },
    ]);
    let request = Request::post(format!("http://{alertmanager}/api/v2/alerts"));
    assert_eq!(ask(request, &posted).await.unwrap().0, 200);
    let states = eventually("Alertmanager to hold back what the monitor tells", LIMIT, async || {
        let alerts = watched.json(&alertmanager, "/api/v2/alerts").await?;
        let state = |name: &str| {
            let alert = alerts.as_array()?.iter().find(|alert| alert["labels"]["alertname"] == name)?;
            Some(alert["status"]["state"].as_str()?.to_owned())
        };
        let states = ["ServiceDown", "ServiceHighLatency", "AlertWaiting"].map(state);
        (states[0].as_deref() == Some("suppressed")).then_some(states)
    });
    let states = states.await.map(Option::unwrap_or_default);
    assert_eq!([states[1].as_str(), states[2].as_str()], ["suppressed", "active"]);
}

/// The names of metrics in an expression: what stands where nothing else of PromQL can.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    // Labels, strings and durations hold words that are no metrics.
    let mut bare = String::new();
    let mut closed_by = None;
    for letter in expression.chars() {
        match (closed_by, letter) {
            (Some(end), _) if letter == end => closed_by = None,
            (Some(_), _) => {}
            (None, '"') => closed_by = Some('"'),
            (None, '{') => closed_by = Some('}'),
            (None, '[') => closed_by = Some(']'),
            (None, _) => bare.push(letter),
        }
    }
    for clause in ["by", "on", "without", "ignoring"] {
        for opening in [format!(" {clause} ("), format!(" {clause}(")] {
            while let Some(start) = bare.find(&opening) {
                let end = bare[start..].find(')').unwrap();
                bare.replace_range(start..=start + end, " (");
                // What the clause belongs to goes on behind it, in parentheses or not.
                bare.replace_range(start..start + 2, "  ");
            }
        }
    }
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut names = BTreeSet::new();
    let mut rest = bare.as_str();
    while let Some(start) = rest.find(is_name) {
        let length = rest[start..].find(|letter| !is_name(letter)).unwrap_or(rest.len() - start);
        let (word, after) = rest[start..].split_at(length);
        let is_called = after.trim_start().starts_with('(');
        let is_number = word.starts_with(|first: char| first.is_ascii_digit());
        if !is_called && !is_number && !WORDS.contains(&word) && !is_aggregation(word) {
            names.insert(word.to_owned());
        }
        rest = after;
    }
    names
}

/// An aggregation whose clause stood between it and its parentheses.
fn is_aggregation(word: &str) -> bool {
    ["sum", "min", "max", "avg", "count"].contains(&word)
}

#[test]
fn names_are_found_wherever_they_stand_in_an_expression() {
    for (expression, names) in [
        ("absent(up{job=\"monitor\"} == 1)", vec!["up"]),
        (
            "sum by (job, instance) (increase(a_total{result!=\"x\"}[15m])) > 2 unless on () sum(b) > 0",
            vec!["a_total", "b"],
        ),
        ("(a:b:c or 0 * a:b:c offset 1d) < 0.1 * (d > 0.1)", vec!["a:b:c", "d"]),
        ("histogram_quantile(0.95, sum by (le) (rate(x_bucket[5m])))", vec!["x_bucket"]),
        ("time() - y > 8 * 86400 and on (job, instance) z", vec!["y", "z"]),
    ] {
        assert_eq!(metrics_in(expression), names.into_iter().map(str::to_owned).collect(), "{expression}");
    }
}
