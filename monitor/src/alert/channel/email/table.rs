//! The pieces of the HTML mail: tables with their style in place, since many clients drop style sheets and know no other
//! layout. What a client with dark mode needs beyond that is in [`STYLE`], by class.

use kit::page::escape;

/// Fonts that are there already; nothing is fetched.
pub(super) const FONT: &str = "font-family:-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";
const MONO: &str = "font-family:ui-monospace,SFMono-Regular,Consolas,'DejaVu Sans Mono',monospace";

/// Dark mode, for clients that keep a style sheet; the others invert the colours by themselves.
pub(super) const STYLE: &str = "\
    :root{color-scheme:light dark;supported-color-schemes:light dark}\
    @media (prefers-color-scheme:dark){\
    .ground{background:#14171b !important}\
    .card{background:#1e2329 !important;border-color:#343b43 !important}\
    .text{color:#e6e9ec !important}\
    .soft{color:#a3acb5 !important}\
    .rule{border-color:#343b43 !important}\
    .note{background:#3a3012 !important;color:#f3dfa0 !important}\
    .plain{background:#1e2329 !important;color:#e6e9ec !important;border-color:#56606b !important}\
    .code{background:#101317 !important}\
    .link{color:#7db4f0 !important}\
    .bar{background:#7db4f0 !important}}\
    @media (max-width:620px){.pad{padding-left:16px !important;padding-right:16px !important}}";

/// A row across the card.
pub(super) fn row(style: &str, content: &str) -> String {
    format!(r#"<tr><td class="pad" style="padding:0 28px;{style}">{content}</td></tr>"#)
}

/// A small heading.
pub(super) fn heading(text: &str) -> String {
    let style = format!("padding-top:22px;{FONT};font-size:12px;font-weight:700;letter-spacing:.06em;color:#5c6670");
    format!(r#"<tr><td class="pad soft" style="padding:0 28px;{style}">{}</td></tr>"#, escape(&text.to_uppercase()))
}

/// A remark that must not be overlooked.
pub(super) fn note(text: &str) -> String {
    let style = format!(
        "padding:10px 14px;{FONT};font-size:14px;line-height:20px;background:#fdf3d3;color:#5f4b00;border-radius:6px"
    );
    row(
        "padding-top:18px",
        &format!(
            r#"<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td class="note" style="{style}">{}</td></tr></table>"#,
            escape(text)
        ),
    )
}

/// A link that looks like a button, filled or in outline.
pub(super) fn button(label: &str, url: &str, fill: Option<&str>) -> String {
    let (class, colours) = match fill {
        Some(fill) => ("", format!("background:{fill};color:#ffffff;border:1px solid {fill}")),
        None => ("plain", "background:#ffffff;color:#1d2329;border:1px solid #b9c0c7".to_owned()),
    };
    format!(
        r#"<a class="{class}" href="{}" style="display:inline-block;margin:0 10px 8px 0;padding:10px 18px;{FONT};font-size:14px;line-height:18px;font-weight:600;text-decoration:none;border-radius:6px;{colours}">{}</a>"#,
        escape(url),
        escape(label)
    )
}

/// A link within text.
pub(super) fn link(text: &str, url: &str) -> String {
    format!(
        r#"<a class="link" href="{}" style="color:#1f5fae;text-decoration:underline">{}</a>"#,
        escape(url),
        escape(text)
    )
}

/// Label and value side by side.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let mut rows = String::new();
    for (label, value) in facts {
        rows.push_str(&format!(
            r#"<tr><td class="soft rule" width="96" valign="top" style="width:96px;padding:7px 12px 7px 0;border-bottom:1px solid #e6e9ec;color:#5c6670;{FONT};font-size:13px;line-height:19px">{}</td><td class="text rule" valign="top" style="padding:7px 0;border-bottom:1px solid #e6e9ec;color:#1d2329;{FONT};font-size:14px;line-height:19px;word-break:break-word;overflow-wrap:anywhere">{}</td></tr>"#,
            escape(label),
            escape(value)
        ));
    }
    let table =
        r#"<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="border-collapse:collapse">"#;
    row("padding-top:14px", &format!("{table}{rows}</table>"))
}

/// What each step took, as bars.
pub(super) fn phases(phases: &[(String, u64)]) -> String {
    let most = phases.iter().map(|(_, ms)| *ms).max().unwrap_or(0).max(1);
    let mut rows = String::new();
    for (name, ms) in phases {
        // In 128 bits, for a number from elsewhere may be as large as numbers go. Nothing at all is still one percent wide.
        let share = (u128::from(*ms) * 100 / u128::from(most)).max(1);
        rows.push_str(&format!(
            r#"<tr><td class="text" width="96" style="width:96px;padding:4px 12px 4px 0;color:#1d2329;{FONT};font-size:13px;line-height:18px;word-break:break-word">{}</td><td style="padding:4px 0"><div class="bar" style="height:10px;width:{share}%;min-width:2px;background:#2264b4;border-radius:2px;font-size:0;line-height:10px">&nbsp;</div></td><td class="soft" width="84" align="right" style="width:84px;padding:4px 0;color:#5c6670;{FONT};font-size:13px;line-height:18px;white-space:nowrap">{ms} ms</td></tr>"#,
            escape(name)
        ));
    }
    row("padding-top:6px", &format!(r#"<table width="100%" cellpadding="0" cellspacing="0">{rows}</table>"#))
}

/// Output of a program.
pub(super) fn output(lines: &str) -> String {
    row(
        "padding-top:8px",
        &format!(
            r#"<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="table-layout:fixed"><tr><td class="code" style="background:#1d2329;border-radius:6px;padding:12px 14px"><pre style="margin:0;{MONO};font-size:12px;line-height:18px;color:#e6e9ec;white-space:pre-wrap;word-break:break-word;overflow-wrap:anywhere">{}</pre></td></tr></table>"#,
            escape(lines)
        ),
    )
}

/// Running text; line ends are kept.
pub(super) fn paragraph(text: &str) -> String {
    let text = escape(text).replace('\n', "<br>");
    row(
        "padding-top:16px",
        &format!(
            r#"<div class="text" style="color:#1d2329;{FONT};font-size:14px;line-height:21px;word-break:break-word;overflow-wrap:anywhere">{text}</div>"#
        ),
    )
}

/// Small text of ready markup.
pub(super) fn small(markup: &str) -> String {
    format!(
        r#"<div class="soft" style="color:#5c6670;{FONT};font-size:12px;line-height:18px;word-break:break-word;overflow-wrap:anywhere">{markup}</div>"#
    )
}
