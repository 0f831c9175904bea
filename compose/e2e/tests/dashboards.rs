//! The dashboards as they are written: Grafana's own types and grammars find nothing wrong, everything on them is explained,
//! whatever leads somewhere leads to something, and whatever is asked is answered.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test ends at the first surprise")]

mod around;
mod arrived;
mod asked;
mod exporters;
mod given;
mod provided;
mod shown;
mod stack;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use given::{checked, repository};
use serde_json::{Value, json};
use shown::{Asked, Shown, dashboards, links, list, with};
use testkit::installed;

/// What there is a dashboard for.
const QUESTIONS: [&str; 11] = [
    "auth",
    "check",
    "dead-letters",
    "delivery",
    "gateway",
    "logs-and-traces",
    "overview",
    "restarts",
    "service",
    "slo",
    "themselves",
];
/// Units of Grafana's (its "Value formats") that are in use; Grafana shows an unknown one as a text behind each number.
const UNITS: [&str; 8] = ["bytes", "cps", "dateTimeAsLocal", "ms", "percentunit", "reqps", "s", "short"];
/// Most panels on a dashboard.
const MOST: usize = 13;
/// Grafana's grid is as wide as this.
const WIDTH: u64 = 24;

/// What a script for Node.js beside this test says of something.
fn scripted(script: &str, arguments: &[&str], input: &Value) -> Value {
    let packages = installed("e2e-node/node_modules");
    let script = beside(script);
    let arguments = [&[script.as_str(), packages.to_str().unwrap()], arguments].concat();
    serde_json::from_str(&checked("node", &arguments, &input.to_string())).unwrap()
}

fn beside(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboards").join(file).to_str().unwrap().to_owned()
}

/// What the compiler says of dashboards as values of Grafana's types.
fn mistyped(dashboards: &BTreeMap<String, Value>) -> BTreeMap<String, Vec<String>> {
    serde_json::from_value(scripted("schema.mjs", &[&beside("schema.ts")], &json!(dashboards))).unwrap()
}

/// Where questions do not fit their language.
fn unparsed(questions: &[(&str, String)]) -> Vec<Vec<String>> {
    serde_json::from_value(scripted("grammar.mjs", &[], &json!(questions))).unwrap()
}

#[test]
fn there_is_one_for_each_question_and_all_are_what_their_sources_make() {
    let names: Vec<String> = dashboards().into_iter().map(|dashboard| dashboard.name).collect();
    assert_eq!(names, QUESTIONS);
    checked(repository().join("dashboards/make").to_str().unwrap(), &["--check"], "");
}

#[test]
fn grafana_has_types_for_all_that_is_written() {
    let all = dashboards().into_iter().map(|dashboard| (dashboard.name, dashboard.json)).collect();
    let wrong: Vec<_> = mistyped(&all).into_iter().filter(|(_, mistakes)| !mistakes.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_grafana_has_no_type_for_is_found() {
    let overview = dashboards().into_iter().find(|dashboard| dashboard.name == "overview").unwrap().json;
    let broken = [
        ("/panels/0/options/colorMode", json!("purple"), "\"purple\""),
        ("/panels/0/options/colourMode", json!("value"), "colourMode"),
        ("/panels/0/type", json!("statistics"), "statistics"),
        ("/panels/0/gridPos/w", json!("6"), "'string' is not assignable to type 'number'"),
        ("/panels/0/fieldConfig/defaults/units", json!("s"), "units"),
        ("/panels/0/targets/0/legend", json!("x"), "legend"),
        ("/panels/0/targets/0/datasource/uid", json!("a-uid"), "a-uid"),
        ("/panels/5/fieldConfig/overrides/0/properties/0/id", json!("custom.cellOption"), "custom.cellOption"),
        ("/panels/5/transformations/0/id", json!("blend"), "blend"),
        ("/panels/7/options/legend/placement", json!("below"), "below"),
        ("/refreshes", json!("5s"), "refreshes"),
        ("/annotations/list/0/expression", json!("up"), "expression"),
    ];
    let changed: BTreeMap<String, Value> = broken
        .iter()
        .map(|(path, value, _)| {
            let mut dashboard = overview.clone();
            let (parent, key) = path.rsplit_once('/').unwrap();
            dashboard.pointer_mut(parent).unwrap()[key] = value.clone();
            ((*path).to_owned(), dashboard)
        })
        .collect();
    let found = mistyped(&changed);
    for (path, _, named) in broken {
        assert!(found[path].iter().any(|mistake| mistake.contains(named)), "{path}: {:?}", found[path]);
    }
}

#[test]
fn loki_and_tempo_understand_what_they_are_asked() {
    let mut asked: Vec<(Asked, String)> = Vec::new();
    for dashboard in dashboards() {
        let values = chosen(&dashboard);
        let others = dashboard.asks().into_iter().filter(|question| question.kind != "prometheus");
        // An id is no TraceQL: Grafana then asks for that trace.
        let others = others.filter(|question| question.text != "$trace");
        asked.extend(others.map(|question| {
            let text = with(&question.text, &values);
            (question, text)
        }));
    }
    let kinds: BTreeSet<&str> = asked.iter().map(|(question, _)| question.kind.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["loki", "tempo"]));
    let questions: Vec<(&str, String)> =
        asked.iter().map(|(question, text)| (question.kind.as_str(), text.clone())).collect();
    let wrong: Vec<_> = asked.iter().zip(unparsed(&questions)).filter(|(_, places)| !places.is_empty()).collect();
    let wrong: Vec<_> =
        wrong.iter().map(|((question, _), at)| format!("{}: {}: {at:?}", question.place, question.text)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_no_question_to_loki_or_tempo_is_found() {
    for (kind, text, places) in [
        ("loki", r#"{service="a" |= "b""#, vec![r#"at 13: |= "b""#]),
        ("loki", r#"sum by (level) (count_over_time({service="a"}))"#, vec!["at 45: ))"]),
        ("loki", "", vec!["at 0: its end"]),
        ("tempo", "{status=}", vec!["at 8: }"]),
        ("tempo", "{duration>5 hours}", vec!["at 12: hours}"]),
        ("tempo", r#"{resource.service.name="a"}"#, vec![]),
    ] {
        let found = unparsed(&[(kind, text.to_owned())]);
        assert_eq!(found[0].is_empty(), places.is_empty(), "{text}: {found:?}");
        assert!(places.iter().all(|place| found[0].iter().any(|it| it == place)), "{text}: {found:?}");
    }
}

/// What is chosen of a dashboard's variables when it is opened.
fn chosen(dashboard: &Shown) -> BTreeMap<String, String> {
    let value = |variable: &Value| {
        let value = variable["current"]["value"].as_str().unwrap_or_default();
        (variable["name"].as_str().unwrap().to_owned(), value.to_owned())
    };
    dashboard.variables().iter().map(value).collect()
}

#[test]
fn each_has_its_own_names_and_numbers_and_is_laid_out_without_gaps() {
    for dashboard in dashboards() {
        let Shown { name, json } = &dashboard;
        assert_eq!(json["uid"], format!("suite-{name}"));
        assert_eq!((&json["schemaVersion"], &json["tags"]), (&json!(39), &json!(["suite"])), "{name}");
        for key in ["title", "description", "refresh"] {
            assert!(json[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: no {key}");
        }
        let panels = dashboard.panels();
        assert!((4..=MOST).contains(&panels.len()), "{name} has {} panels", panels.len());
        let mut cells = BTreeMap::new();
        for (index, panel) in panels.iter().enumerate() {
            let place = dashboard.place(panel);
            assert_eq!(panel["id"], index + 1, "{place}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{place}: no {key}"));
            for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                assert!(x < WIDTH, "{place} is beyond the right edge");
                let other = cells.insert((y, x), &panel["title"]);
                assert!(other.is_none(), "{place} lies on {}", other.unwrap());
            }
        }
        let height = cells.last_key_value().unwrap().0.0 + 1;
        assert_eq!(u64::try_from(cells.len()).unwrap(), height * WIDTH, "{name}: there is a gap between panels");
        let titles: BTreeSet<&str> = panels.iter().map(|panel| panel["title"].as_str().unwrap()).collect();
        assert_eq!(titles.len(), panels.len(), "{name}: two panels have one title");
    }
}

#[test]
fn each_panel_says_what_it_answers_in_what_unit_and_what_if_there_is_nothing() {
    for dashboard in dashboards() {
        let sources: BTreeSet<String> = dashboard
            .variables()
            .iter()
            .filter(|variable| variable["type"] == "datasource")
            .map(|variable| format!("${{{}}}", variable["name"].as_str().unwrap()))
            .collect();
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            let (asks, act) = panel["description"].as_str().unwrap().split_once("\n\n").unwrap();
            assert!(asks.ends_with('?') && !act.is_empty(), "{place} does not say what it answers, or what to do");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["noValue"].as_str().is_some_and(|text| !text.is_empty()), "{place}: what if nothing?");
            let kind = panel["type"].as_str().unwrap();
            if !["logs", "traces"].contains(&kind) {
                let unit = defaults["unit"].as_str().unwrap();
                assert!(UNITS.contains(&unit), "{place}: a unit {unit:?}");
                assert!(!list(&defaults["thresholds"]["steps"]).is_empty(), "{place}: no thresholds");
            }
            // With Grafana's own colour for nothing, that of the first threshold, it would look well.
            let greys = list(&defaults["mappings"]).iter().any(|it| it["options"]["match"] == "null+nan");
            assert!(kind != "stat" || greys, "{place}: what is not known has a colour");
            for target in list(&panel["targets"]) {
                check_legend(&place, target);
            }
        }
        let used: BTreeSet<String> = dashboard.asks().into_iter().map(|asked| asked.source).collect();
        assert_eq!(used, sources, "{}: data sources are variables, and each is used", dashboard.name);
    }
}

#[test]
fn what_shows_a_state_asks_for_now_and_what_draws_a_line_for_a_time() {
    for dashboard in dashboards() {
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            let draws = match panel["type"].as_str().unwrap() {
                "stat" => panel["options"]["graphMode"] != "none",
                "bargauge" | "table" => false,
                "timeseries" | "state-timeline" | "logs" => true,
                _ => continue,
            };
            for asked in dashboard.asks().iter().filter(|asked| asked.place == place && asked.kind != "tempo") {
                // What is gone would be shown as it was, for as long as that is on the screen.
                assert_eq!(asked.for_now, !draws, "{place}: {}", asked.text);
            }
        }
    }
}

/// A legend is words, and what the series differ by.
fn check_legend(place: &str, target: &Value) {
    let of_series = target["datasource"]["type"] == "prometheus" && target["format"] != "table";
    if !of_series {
        return;
    }
    let legend = target["legendFormat"].as_str().unwrap_or_else(|| panic!("{place}: no legend"));
    assert!(!legend.is_empty() && legend != "__auto", "{place}: no legend");
    // Labels stand in braces; what is left are words for people.
    let mut words = legend.split("}}").map(|part| part.split("{{").next().unwrap());
    assert!(words.all(|word| !word.contains('_')), "{place}: {legend:?} is a name of Prometheus");
}

#[test]
fn whatever_leads_to_a_dashboard_leads_to_one_that_has_what_it_is_given() {
    let all = dashboards();
    let mut led_to = BTreeSet::new();
    for dashboard in &all {
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            for url in links(panel) {
                let Some(rest) = url.strip_prefix("/d/") else { continue };
                let (uid, given) = rest.split_once('?').unwrap();
                let target = all.iter().find(|other| other.json["uid"] == uid);
                let target = target.unwrap_or_else(|| panic!("{place} leads to {uid}, which is not there"));
                led_to.insert(target.name.clone());
                for pair in given.split('&').filter_map(|pair| pair.strip_prefix("var-")) {
                    let (name, _) = pair.split_once('=').unwrap();
                    let is_there = target.variables().iter().any(|variable| variable["name"] == name);
                    assert!(is_there, "{place}: {uid} has no variable {name}");
                }
            }
        }
        let menu = &dashboard.json["links"][0];
        assert_eq!((&menu["type"], &menu["tags"]), (&json!("dashboards"), &json!(["suite"])), "{}", dashboard.name);
    }
    let wanted = ["auth", "check", "restarts", "service", "slo", "themselves", "logs-and-traces"].map(str::to_owned);
    assert_eq!(led_to, BTreeSet::from(wanted));
}
