//! The pages that list metrics (`METRICS.md`), held against what a program exports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where the page of each program is, from the root; the last is of all.
const PAGES: [(&str, &str); 6] = [
    ("monitor", "monitor"),
    ("auth-monitor", "auth-monitor"),
    ("dlq-processor", "dlq-processor"),
    ("api-gateway", "services/api-gateway"),
    ("platform-services", "services/platform-services"),
    ("", "services/kit"),
];

/// What a page says of a metric, or what is exported of it.
#[derive(Debug, Default, Clone, PartialEq)]
struct Row {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// Asserts that the pages of a program tell of everything that it exports, truly, and of nothing that it cannot export.
pub(crate) fn holds(program: &str, metrics: &str) {
    let engine = if program == "auth-monitor" { "monitor" } else { program };
    let mut listed: BTreeMap<String, Row> = [program, engine, ""].into_iter().flat_map(page).collect();
    if engine != program {
        listed.remove("monitor_build_info");
    }
    let exported = exported(metrics);
    for (name, row) in &exported {
        let Row { kind, labels, help } = row;
        let line = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let line = format!("| `{name}` | {kind} | {line} | {help} |");
        let Some(known) = listed.get(name) else { panic!("no page tells of what {program} exports; add {line}") };
        let is_so = known.kind == *kind && known.help == *help && labels.is_subset(&known.labels);
        assert!(is_so, "a page says {known:?} of {name}, but {program} exports {line}");
    }
    let binary = std::fs::read(e2e::program(program)).unwrap();
    let binary = String::from_utf8_lossy(&binary);
    let unknown = listed.keys().filter(|name| !exported.contains_key(*name) && !binary.contains(name.as_str()));
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&String>::new(), "{program} does not know these");
}

/// The names of all that a program can export, by its pages.
pub(crate) fn names(program: &str) -> impl Iterator<Item = String> {
    [program, ""].into_iter().flat_map(page).flat_map(|(name, row)| {
        let endings: &[&str] = if row.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    })
}

fn page(program: &str) -> BTreeMap<String, Row> {
    let (_, folder) = PAGES.iter().find(|(name, _)| *name == program).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder).join("METRICS.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').splitn(4, '|').map(str::trim).collect();
        let [name, kind, labels, help] = cells[..] else { panic!("{line} has not four cells") };
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (name.trim_matches('`').to_owned(), Row { kind: kind.to_owned(), labels, help: help.to_owned() })
    });
    rows.collect()
}

fn exported(metrics: &str) -> BTreeMap<String, Row> {
    let mut found = BTreeMap::<String, Row>::new();
    let mut current = String::new();
    for line in metrics.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            current = name.to_owned();
            found.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some((_, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            found.entry(current.clone()).or_default().kind = kind.to_owned();
        } else {
            let labels = line.split("=\"").map(|part| part.rsplit(['{', ',']).next().unwrap().to_owned());
            let mut labels: Vec<String> = labels.collect();
            // What stands after the last value.
            labels.pop();
            labels.retain(|label| label != "le");
            found.entry(current.clone()).or_default().labels.extend(labels);
        }
    }
    found
}
