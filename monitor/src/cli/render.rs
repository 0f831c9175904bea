//! How states look in a terminal: word, mark and colour together, never colour alone.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Row, Table};
use jiff::Timestamp;
use kit::clock::elapsed;
use kit::config::show_duration;
use monitor::export::{ServiceStatus, Status};

/// Returns the mark and colour of a verdict or health.
pub(super) fn look(word: &str) -> (&'static str, Color) {
    match word {
        "up" | "pass" | "completed" | "running" => ("●", Color::Green),
        "degraded" => ("◐", Color::Yellow),
        "starting" | "pending" => ("◌", Color::Cyan),
        "down" | "fail" | "gone" => ("✖", Color::Red),
        "crash_looping" => ("↻", Color::Red),
        "gave_up" => ("■", Color::Red),
        _ => ("○", Color::DarkGrey),
    }
}

/// Returns the whole table, with the overall state in the last line.
pub(super) fn table(status: &Status, colour: bool) -> String {
    format!("{}\n\n{}", rows(status, colour, None), overall(status))
}

/// Returns the overall state in one line.
pub(super) fn overall(status: &Status) -> String {
    let (mark, _) = look(&status.overall);
    let reason = if status.reason.is_empty() { "everything works" } else { &status.reason };
    format!("{mark} {}: {reason}", status.overall)
}

/// Returns a header and the services, each in at most `lines` lines.
pub(super) fn rows(status: &Status, colour: bool, lines: Option<usize>) -> String {
    let bounded = |mut cells: Row| {
        if let Some(lines) = lines {
            cells.max_height(lines);
        }
        cells
    };
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(bounded(Row::from(["", "SERVICE", "STATE", "FOR", "LATENCY", "RESTARTS", "WHY"])));
    for service in &status.services {
        table.add_row(bounded(Row::from(row(service, &service.name, colour))));
        for replica in &service.replicas {
            table.add_row(bounded(Row::from(row(replica, &format!("  {}", replica.name), colour))));
        }
    }
    table.to_string()
}

fn row(service: &ServiceStatus, name: &str, colour: bool) -> Vec<Cell> {
    let word = word(service);
    let (mark, tint) = look(word);
    let tinted = |text: &str| if colour { Cell::new(text).fg(tint) } else { Cell::new(text) };
    let latency =
        service.checks.iter().filter_map(|check| check.last.as_ref()).map(|last| last.took_ms).fold(None, max);
    let restarts = service.workload.as_ref().map_or_else(String::new, |workload| match workload.unplanned_exits {
        0 => "0".to_owned(),
        all => {
            let least = if workload.unplanned_exits_at_least { "≥" } else { "" };
            format!("{least}{all} ({least}{} in 10m)", workload.unplanned_exits_10m)
        }
    });
    let why = match &service.blocked_by {
        Some(root) => format!("{} (because of {root})", service.why),
        None => service.why.clone(),
    };
    vec![
        tinted(mark),
        Cell::new(name),
        tinted(&word.replace('_', " ")),
        Cell::new(since(&service.since)),
        Cell::new(latency.map_or_else(String::new, |ms| format!("{ms:.1} ms"))),
        Cell::new(restarts),
        Cell::new(why),
    ]
}

/// Returns the verdict; of a replica that nothing asks by itself, that it runs.
fn word(service: &ServiceStatus) -> &str {
    let runs = service.workload.as_ref().is_some_and(|workload| workload.phase == "running");
    let only_runs = service.replica_of.is_some() && service.checks.is_empty() && service.verdict == "unknown" && runs;
    if only_runs { "running" } else { &service.verdict }
}

fn max(most: Option<f64>, next: f64) -> Option<f64> {
    Some(most.map_or(next, |most: f64| most.max(next)))
}

/// How long ago a timestamp was, in words.
fn since(at: &str) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return String::new() };
    let ago = elapsed(at, Timestamp::now());
    show_duration(Duration::from_secs(ago.as_secs()))
}
