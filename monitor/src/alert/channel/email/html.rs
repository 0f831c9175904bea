//! The HTML of a mail: complete in itself, at most 600 pixels wide, legible in light and dark. Every foreign text goes
//! through `kit::page::escape` in `table` or here.

use jiff::Timestamp;
use kit::page::{escape, words as lengths};

use super::chart::Chart;
use super::compose::PICTURE;
use super::table::{self, FONT};
use crate::alert::channel::words;
use crate::alert::message::{AlertPart, Message};
use crate::alert::web::is_web_url;

/// Alerts that a digest shows; Gmail hides what is beyond 102 KB of a mail.
const MAX_ROWS: usize = 60;
/// Longest title within the mail, in characters.
const MAX_TITLE_CHARS: usize = 400;
/// Longest description, and longest output of a program, in characters.
const MAX_TEXT_CHARS: usize = 8_000;

/// Writes the whole page.
pub(super) fn page(message: &Message, chart: Option<&Chart>) -> String {
    let colour = format!("#{:06x}", words::colour(message));
    let mut rows = head(message, &colour);
    for note in words::notes(message) {
        rows.push_str(&table::note(&note));
    }
    match message.alerts.as_slice() {
        [only] => rows.push_str(&detail(only, chart, &colour)),
        many => rows.push_str(&digest(many)),
    }
    rows.push_str(&foot(message));
    format!(
        r#"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark"><title>{title}</title><style>{style}</style></head><body class="ground" style="margin:0;padding:0;background:#eef1f4"><table role="presentation" class="ground" width="100%" cellpadding="0" cellspacing="0" style="background:#eef1f4"><tr><td align="center" style="padding:24px 8px"><table role="presentation" class="card" width="600" cellpadding="0" cellspacing="0" style="width:100%;max-width:600px;background:#ffffff;border:1px solid #d9dee3;border-radius:10px;border-collapse:separate;overflow:hidden">{rows}</table></td></tr></table></body></html>"#,
        title = escape(&words::headline(message, MAX_TITLE_CHARS)),
        style = table::STYLE,
    )
}

/// The state's word on its colour, and the title.
fn head(message: &Message, colour: &str) -> String {
    let title = lengths::clip(&words::line(&message.title), MAX_TITLE_CHARS);
    let word = format!(
        r#"<div style="{FONT};font-size:13px;line-height:18px;font-weight:700;letter-spacing:.08em;color:#ffffff">{}</div>"#,
        message.headline_word()
    );
    let title = format!(
        r#"<h1 style="margin:4px 0 0;{FONT};font-size:20px;line-height:27px;font-weight:600;color:#ffffff;word-break:break-word;overflow-wrap:anywhere">{}</h1>"#,
        escape(&title)
    );
    table::row(&format!("padding-top:20px;padding-bottom:20px;background:{colour}"), &format!("{word}{title}"))
}

/// Everything that is known of one alert.
fn detail(part: &AlertPart, chart: Option<&Chart>, colour: &str) -> String {
    let mut rows = String::new();
    let buttons: String = words::links(part)
        .into_iter()
        .map(|(label, url)| match label {
            "Incident" => table::button("Incident page", url, Some(colour)),
            "Source" => table::button("Source or runbook", url, None),
            _ => table::button(label, url, None),
        })
        .collect();
    if !buttons.is_empty() {
        rows.push_str(&table::row("padding-top:20px", &buttons));
    }
    // The steps have their own table.
    let facts: Vec<(&str, String)> = words::facts(part).into_iter().filter(|(label, _)| *label != "Took").collect();
    rows.push_str(&table::facts(&facts));
    let description = words::block(part.description.trim());
    if !description.is_empty() {
        rows.push_str(&table::paragraph(&lengths::clip(&description, MAX_TEXT_CHARS)));
    }
    rows.push_str(&proofs(part, chart));
    rows
}

fn proofs(part: &AlertPart, chart: Option<&Chart>) -> String {
    let mut rows = String::new();
    if let Some(chart) = chart {
        rows.push_str(&table::heading("Latency before"));
        rows.push_str(&picture(chart));
    }
    if let Some(evidence) = part.evidence.as_ref().filter(|evidence| !evidence.phases.is_empty()) {
        rows.push_str(&table::heading("What the failing probe took"));
        rows.push_str(&table::phases(&evidence.phases));
    }
    if let Some(lines) = words::last_lines(part, MAX_TEXT_CHARS) {
        rows.push_str(&table::heading("Last lines of the last run"));
        rows.push_str(&table::output(&lines));
    }
    rows
}

/// The picture with its edges and what it shows in words.
fn picture(chart: &Chart) -> String {
    let said = escape(&chart.said);
    let image = format!(
        r#"<img src="cid:{PICTURE}" width="544" alt="Latency: {said}" style="display:block;width:100%;max-width:544px;height:auto;border:0">"#
    );
    let edge = |at_ms: i64| Timestamp::from_millisecond(at_ms).map(words::when).unwrap_or_default();
    let edges = format!(
        r#"<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td>{}</td><td align="right">{}</td></tr></table>"#,
        table::small(&escape(&edge(chart.from_ms))),
        table::small(&escape(&edge(chart.to_ms)))
    );
    table::row("padding-top:8px", &format!("{image}{edges}{}", table::small(&said)))
}

/// One line for each alert.
fn digest(parts: &[AlertPart]) -> String {
    let mut rows = String::new();
    for part in parts.iter().take(MAX_ROWS) {
        let title = lengths::clip(&words::line(&part.title), MAX_TITLE_CHARS / 2);
        let title = match words::links(part).first() {
            Some(("Incident", url)) => table::link(&title, url),
            _ => escape(&title),
        };
        let state =
            format!("{} · since {} · {}", words::word(part), words::when(part.opened), words::line(&part.lasted));
        rows.push_str(&format!(
            r#"<tr><td class="text rule" style="padding:10px 0;border-bottom:1px solid #e6e9ec;color:#1d2329;{FONT};font-size:14px;line-height:20px;word-break:break-word;overflow-wrap:anywhere">{title}{}</td></tr>"#,
            table::small(&escape(&state))
        ));
    }
    if parts.len() > MAX_ROWS {
        let more = format!("… and {} more", parts.len() - MAX_ROWS);
        rows.push_str(&format!("<tr><td>{}</td></tr>", table::small(&more)));
    }
    table::row(
        "padding-top:12px",
        &format!(r#"<table role="presentation" width="100%" cellpadding="0" cellspacing="0">{rows}</table>"#),
    )
}

/// Who says so.
fn foot(message: &Message) -> String {
    let mut text = format!("Sent by monitor to the channel {}", escape(&words::line(&message.channel)));
    if let [only] = message.alerts.as_slice() {
        text.push_str(&format!(" · incident {}, event {}", only.incident, only.event));
    }
    if let Some(url) = message.page_url.as_deref().filter(|url| is_web_url(url)) {
        text.push_str(&format!(" · {}", table::link("status page", url)));
    }
    table::row("padding-top:24px;padding-bottom:22px", &table::small(&text))
}
