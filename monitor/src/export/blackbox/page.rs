//! `/`: what was asked of late, and what came of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::page::{Html, Link, Page, Tone, Visitor, escape, words};

use super::desk::Blackbox;
use super::history::Kept;

pub(super) async fn show(State(blackbox): State<Arc<Blackbox>>) -> Page {
    let (kept, zone) = (blackbox.history().all(), TimeZone::system());
    let rows: String = kept.iter().map(|kept| row(kept, &zone)).collect();
    let table = if rows.is_empty() {
        "<p>Nothing was asked yet.</p>".to_owned()
    } else {
        format!(
            "<table><thead><tr><th scope=\"col\">Module</th><th scope=\"col\">Target</th><th scope=\"col\">When</th>\
             <th scope=\"col\">Result</th><th scope=\"col\">Logs</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    };
    let main = format!("<h1>Recent probes</h1>{table}");
    let link = |name, path, is_here| Link { name, path, is_here, count: None };
    Page {
        status: StatusCode::OK,
        program: "monitor",
        version: env!("CARGO_PKG_VERSION"),
        title: "Recent probes".to_owned(),
        tone: Tone::Good,
        links: vec![
            link("Probes", "/", true),
            link("Metrics", "/metrics", false),
            link("Configuration", "/config", false),
        ],
        visitor: Visitor::Anybody,
        events: None,
        is_written_on: false,
        main: Html::of_escaped(main),
        made: Timestamp::now(),
        zone,
    }
}

fn row(kept: &Kept, zone: &TimeZone) -> String {
    let result = match &kept.probed.reason {
        None => "Success".to_owned(),
        Some((_, text)) => format!("<strong>Failure</strong>: {}", escape(text)),
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{result}</td><td><a href=\"/logs?id={}\">Logs</a></td></tr>",
        escape(&kept.module.name),
        escape(&kept.shown_target()),
        escape(&words::time(kept.at, zone)),
        kept.id
    )
}
