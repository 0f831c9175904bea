//! Where the time of one probe went: its steps side by side, to scale.

use std::fmt::Write as _;

use super::super::html::{Html, escape};
use super::super::words;

/// Colours of the style sheet; a seventh step has the first again.
const COLOURS: usize = 6;

/// Draws steps with their milliseconds, in order. Each has a class `step-N` below `COLOURS`, as its entry in the legend has.
pub fn phases(steps: &[(String, f64)]) -> Html {
    let total: f64 = steps.iter().map(|(_, ms)| ms.max(0.0)).sum();
    let list: Vec<String> = steps.iter().map(|(name, ms)| format!("{name} {}", words::latency(*ms))).collect();
    let mut svg = format!(
        r#"<svg class="phases" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{}">"#,
        escape(&list.join(", "))
    );
    let mut x = 0.0;
    for (index, ((_, ms), said)) in steps.iter().zip(&list).enumerate() {
        let width = if total > 0.0 { ms.max(0.0) / total * 1000.0 } else { 0.0 };
        let _infallible = write!(
            svg,
            r#"<rect class="step-{}" x="{x:.1}" width="{:.1}" height="10"><title>{}</title></rect>"#,
            index % COLOURS,
            (width - 2.0).max(1.5),
            escape(said)
        );
        x += width;
    }
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}
