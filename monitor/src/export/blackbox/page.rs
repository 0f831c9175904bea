//! `/`: what was asked of late, and what came of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::page::{Html, Link, Page, Tone, Visitor, escape, words};

use super::desk::Blackbox;
use super::history::Kept;
use crate::export::program::Program;

pub(super) async fn show(State(blackbox): State<Arc<Blackbox>>) -> Page {
    let (kept, zone) = (blackbox.history().all(), TimeZone::system());
    let rows: String = kept.iter().map(|kept| row(kept, &zone)).collect();
    let table = if rows.is_empty() {
        "<p class=\"panel empty\">Nothing was asked yet.</p>".to_owned()
    } else {
        format!(
            "<div class=\"panel scroll\"><table class=\"ledger\"><thead><tr><th scope=\"col\">Module</th><th scope=\"col\">Target</th><th scope=\"col\">When</th>\
             <th scope=\"col\">Result</th><th scope=\"col\">Logs</th><th scope=\"col\">Why</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    };
    let main = format!(
        "<div class=\"hero\">{}<h1>Recent probes</h1><p>What was asked of late at <code>/probe</code>, and what came of it; \
         failures are kept longer.</p></div><section aria-label=\"Probes\">{table}</section>",
        Tone::Off.mark()
    );
    let link = |name, path, is_here| Link { name, path, is_here, count: None };
    Page {
        status: StatusCode::OK,
        program: Program::MONITOR.name,
        version: Program::MONITOR.version,
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
    let (tone, word, why) = match &kept.probed.reason {
        None => (Tone::Good, "Success", String::new()),
        Some((_, text)) => (Tone::Bad, "Failure", escape(text)),
    };
    format!(
        "<tr><td class=\"nowrap\">{}</td><td class=\"nowrap\">{}</td><td class=\"nowrap\">{}</td>\
         <td class=\"nowrap\"><span class=\"state {}\">{}{word}</span></td><td><a href=\"/logs?id={}\">Logs</a></td>\
         <td class=\"text\">{why}</td></tr>",
        escape(&kept.module.name),
        escape(&kept.shown_target()),
        escape(&words::time(kept.at, zone)),
        tone.as_str(),
        tone.mark(),
        kept.id
    )
}
