//! Restarts over time: each run as a segment, each end as a mark.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::super::html::{Html, escape};
use super::{percent, scale};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its begin, milliseconds since the epoch.
    pub from_ms: i64,
    /// Its end; none while it runs.
    pub to_ms: Option<i64>,
    /// Whether its end was planned.
    pub planned: bool,
    /// What it came to, such as `ran 3 min, exited with code 3`.
    pub said: String,
}

/// Draws runs, oldest first, from `from_ms` to `to_ms`.
pub fn runs(segments: &[Segment], from_ms: i64, to_ms: i64, zone: &TimeZone, summary: &str) -> Html {
    let whole = to_ms - from_ms;
    let mut svg =
        format!(r#"<svg class="chart runs" width="100%" height="44" role="img" aria-label="{}">"#, escape(summary));
    svg.push_str(r#"<line class="axis" x2="100%" y1="26" y2="26"/>"#);
    for segment in segments {
        let from = segment.from_ms.clamp(from_ms, to_ms);
        let to = segment.to_ms.unwrap_or(to_ms).clamp(from, to_ms);
        let (x, width, end) = (percent(from - from_ms, whole), percent(to - from, whole), percent(to - from_ms, whole));
        let _infallible = write!(
            svg,
            r#"<g><title>{}</title><rect class="run" x="{x}" y="8" width="{width}" height="12" rx="2"/>"#,
            escape(&segment.said)
        );
        if segment.to_ms.is_some() {
            let class = if segment.planned { "planned" } else { "crash" };
            let _infallible = write!(svg, r#"<line class="{class}" x1="{end}" x2="{end}" y1="3" y2="25"/>"#);
        }
        svg.push_str("</g>");
    }
    for (at_ms, label) in scale::times(from_ms, to_ms, zone) {
        let part = at_ms - from_ms;
        if part * 100 >= whole * 4 && part * 100 <= whole * 80 {
            let (x, label) = (percent(part, whole), escape(&label));
            let _infallible = write!(svg, r#"<text class="tick" x="{x}" y="40" text-anchor="middle">{label}</text>"#);
        }
    }
    let offset = scale::offset(to_ms, zone);
    let _infallible = write!(svg, r#"<text class="tick" x="100%" y="40" text-anchor="end">{offset}</text>"#);
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}
