//! One bar a day: how many of each sort there were. A day without any is a low tick, so that the days can be counted.

use std::fmt::Write as _;

use super::super::html::{Html, escape};
use super::super::tone::Tone;

/// Height of the chart, and of a day without anything, in pixels.
const HEIGHT: f64 = 64.0;
const NONE: f64 = 2.0;
/// Lowest piece: one among many must still be seen.
const LEAST: f64 = 3.0;
/// What parts the pieces of a bar.
const SEAM: f64 = 1.0;
/// Share of a day's width that its bar takes.
const FILLED: f64 = 0.7;
/// The scale ends at least here: a single one is no full bar.
const LOWEST_TOP: u64 = 4;

/// One day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What it is called, such as `12 Nov`.
    pub name: String,
    /// How many of each sort, the worst first: it stands at the foot.
    pub parts: Vec<(Tone, u64)>,
    /// What it came to, such as `2 pages, 1 ticket`.
    pub said: String,
}

impl Counted {
    fn total(&self) -> u64 {
        self.parts.iter().map(|(_, count)| count).sum()
    }
}

/// Draws the days, oldest first. `summary` says in words what they come to.
pub fn counts(days: &[Counted], summary: &str) -> Html {
    let top = days.iter().map(Counted::total).max().unwrap_or(0).max(LOWEST_TOP);
    let mut svg =
        format!(r#"<svg class="counts" width="100%" height="{HEIGHT}" role="img" aria-label="{}">"#, escape(summary));
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 days, and of anything in one")]
    let (width, unit) = (100.0 / days.len().max(1) as f64, HEIGHT / top as f64);
    for (index, day) in days.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 days")]
        let x = (index as f64 + (1.0 - FILLED) / 2.0) * width;
        let _infallible = write!(svg, "<g><title>{}: {}</title>", escape(&day.name), escape(&day.said));
        let mut piece = |class: &str, y: f64, high: f64| {
            let bar = width * FILLED;
            let _infallible = write!(
                svg,
                r#"<rect class="{class}" x="{x:.2}%" y="{y:.1}" width="{bar:.2}%" height="{high:.1}" rx="1"/>"#
            );
        };
        if day.total() == 0 {
            piece("none", HEIGHT - NONE, NONE);
        }
        let mut foot = HEIGHT;
        for (tone, count) in day.parts.iter().filter(|(_, count)| *count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 of anything")]
            let high = (*count as f64 * unit).max(LEAST).min(foot);
            piece(tone.as_str(), foot - high + SEAM, (high - SEAM).max(1.0));
            foot -= high;
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(parts: &[(Tone, u64)]) -> Counted {
        Counted { name: "1 Nov".to_owned(), parts: parts.to_vec(), said: "some <b>".to_owned() }
    }

    #[test]
    fn a_day_without_any_is_a_tick_and_others_are_as_high_as_their_count() {
        let svg = counts(&[day(&[]), day(&[(Tone::Bad, 2), (Tone::Warn, 2)])], "a < b").to_string();
        assert!(
            svg.contains(r#"aria-label="a &lt; b""#) && svg.contains("<title>1 Nov: some &lt;b&gt;</title>"),
            "{svg}"
        );
        assert_eq!(svg.matches(r#"class="none""#).count(), 1);
        assert!(svg.contains(r#"class="bad" x="57.50%" y="33.0" width="35.00%" height="31.0""#), "{svg}");
        assert!(svg.contains(r#"class="warn" x="57.50%" y="1.0" width="35.00%" height="31.0""#), "{svg}");
    }

    #[test]
    fn one_among_many_is_seen_and_nothing_sticks_out() {
        let svg = counts(&[day(&[(Tone::Bad, 1), (Tone::Warn, 900)])], "").to_string();
        assert!(svg.contains(r#"class="bad" x="15.00%" y="62.0""#), "{svg}");
        assert!(!svg.contains(r#"y="-"#), "{svg}");
        assert!(counts(&[], "").to_string().ends_with("</svg>"));
    }
}
