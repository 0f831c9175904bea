//! What Prometheus and Alertmanager are given: their own tools find nothing wrong with it, and every alert is tested and
//! explained.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test ends at the first surprise")]

mod given;

use std::collections::{BTreeMap, BTreeSet};

use given::{TOKENS, checked, files, lay_out, repository, rules};
use serde_json::Value;

/// Every alert by its name, with its file's name.
fn alerts() -> BTreeMap<String, (String, Value)> {
    let mut alerts = BTreeMap::new();
    for (file, rule) in rules() {
        if let Some(name) = rule["alert"].as_str() {
            assert!(alerts.insert(name.to_owned(), (file, rule.clone())).is_none(), "two alerts are named {name}");
        }
    }
    alerts
}

#[test]
fn promtool_and_amtool_find_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), &[]);
    for token in TOKENS {
        std::fs::write(folder.path().join("data/secrets").join(token), "secret").unwrap();
    }
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    checked(
        "promtool",
        &["check", "config", "--lint", "all", "--lint-fatal", &at("compose/prometheus/prometheus.yml")],
        "",
    );
    checked("amtool", &["check-config", &at("alerts/alertmanager.yml")], "");
    let names = |folder: &str| {
        let path = |name: &String| repository().join(folder).join(name).to_str().unwrap().to_owned();
        files(folder).keys().map(path).collect::<Vec<_>>()
    };
    for (folder, words) in [("alerts/rules", ["check", "rules"]), ("alerts/tests", ["test", "rules"])] {
        let files = names(folder);
        checked("promtool", &words.into_iter().chain(files.iter().map(String::as_str)).collect::<Vec<_>>(), "");
    }
}

#[test]
fn alertmanager_tells_whom_it_should() {
    let file = repository().join("alerts/alertmanager.yml");
    for (labels, receiver) in [
        (["alertname=Watchdog", "severity=none"], "dead-man"),
        (["alertname=MonitorTells", "severity=none"], "nobody"),
        (["alertname=MonitorDown", "severity=page"], "people"),
        (["alertname=ServiceHighLatency", "severity=ticket"], "people"),
    ] {
        let config = format!("--config.file={}", file.display());
        let said = checked("amtool", &["config", "routes", "test", &config, labels[0], labels[1]], "");
        assert_eq!(said.lines().next(), Some(receiver), "{labels:?}");
    }
}

/// How many of an alert's tests fire, and how many never do.
fn tried(tests: &BTreeMap<String, Value>, alert: &str) -> (usize, usize) {
    let (mut fire, mut quiet) = (0, 0);
    let all = tests.values().flat_map(|file| file["tests"].as_array().unwrap());
    for test in all {
        let mine = test["alert_rule_test"].as_array().unwrap().iter().filter(|look| look["alertname"] == alert);
        let fires: Vec<bool> =
            mine.map(|look| look["exp_alerts"].as_array().is_some_and(|all| !all.is_empty())).collect();
        fire += usize::from(fires.contains(&true));
        quiet += usize::from(!fires.is_empty() && !fires.contains(&true));
    }
    (fire, quiet)
}

#[test]
fn every_alert_is_tested_firing_and_quiet_and_has_its_heading_in_the_runbook() {
    let (alerts, tests) = (alerts(), files("alerts/tests"));
    let book = std::fs::read_to_string(repository().join("alerts/README.md")).unwrap();
    for (name, (file, rule)) in &alerts {
        let (fire, quiet) = tried(&tests, name);
        // What always fires is never quiet.
        assert!(fire > 0 && (quiet > 0 || rule["expr"] == "vector(1)"), "{name}: {fire} tests fire, {quiet} do not");
        let notes = &rule["annotations"];
        let anchor = name.to_lowercase();
        assert_eq!(
            notes["runbook_url"],
            format!("{{{{ $externalLabels.runbooks }}}}alerts/README.md#{anchor}"),
            "{name}"
        );
        for note in ["summary", "description"] {
            assert!(notes[note].as_str().is_some_and(|text| !text.is_empty()), "{name}: {note}");
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket", "none"].contains(&severity), "{name}: {severity}");
        let direct = rule["labels"]["told"].as_str().map_or("", |_directly| " · direct");
        let row = format!("| [{name}](#{anchor}) | {severity}{direct} | `{file}` | ");
        assert!(book.contains(&row), "no row {row:?} in alerts/README.md");
    }
    let headings: Vec<&str> = book.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let known: BTreeSet<&str> = headings.iter().copied().collect();
    assert_eq!(known, alerts.keys().map(String::as_str).collect());
    assert_eq!(headings.len(), known.len(), "a heading stands there twice");
    for name in book.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(known.iter().any(|heading| heading.to_lowercase() == name), "a link leads to #{name}");
    }
}
