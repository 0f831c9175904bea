//! One bar a day: how long it was up, impaired or down, and whether anybody looked.

use std::fmt::Write as _;

use super::super::html::{Html, escape};

/// Height of a bar, and how far trouble sticks out above the rest, in pixels.
const HEIGHT: f64 = 24.0;
const FLAG: f64 = 4.0;
/// Width of a bar with its space.
const STEP: usize = 4;
/// What parts the pieces of a bar.
const SEAM: f64 = 1.0;
/// Trouble of a minute must still be seen.
const LEAST: f64 = 5.0;

/// One day.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// What it is called, such as `12 Nov`.
    pub name: String,
    /// Share of the time with a known state in which it was impaired, 0 to 1.
    pub impaired: f64,
    /// Share of it in which it was down, 0 to 1.
    pub down: f64,
    /// Whether anything is known of this day.
    pub is_known: bool,
    /// What it came to, such as `up 99.3 %, down 9 min`.
    pub said: String,
}

impl Day {
    fn has_trouble(&self) -> bool {
        self.is_known && (self.down > 0.0 || self.impaired > 0.0)
    }

    /// Neighbours of one look and one meaning are drawn as one.
    fn is_like(&self, other: &Self) -> bool {
        !self.has_trouble() && !other.has_trouble() && self.is_known == other.is_known && self.said == other.said
    }
}

/// Draws the days, oldest first. `summary` says in words what they come to.
pub fn days(days: &[Day], summary: &str) -> Html {
    let (width, whole) = (days.len() * STEP, HEIGHT + FLAG);
    let mut svg = format!(
        r#"<svg class="days" viewBox="0 0 {width} {whole}" preserveAspectRatio="none" role="img" aria-label="{}">"#,
        escape(summary)
    );
    for (first, chunk) in days.chunk_by(|left, right| left.is_like(right)).scan(0, |next, chunk| {
        let first = *next;
        *next += chunk.len();
        Some((first, chunk))
    }) {
        svg.push_str(&bars(first * STEP, chunk));
    }
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}

/// One day with trouble, or several alike without.
fn bars(x: usize, days: &[Day]) -> String {
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return String::new() };
    let name = if days.len() == 1 { first.name.clone() } else { format!("{} – {}", first.name, last.name) };
    let title = format!("<title>{}: {}</title>", escape(&name), escape(&first.said));
    if first.has_trouble() {
        return trouble(x, first, &title);
    }
    let (class, from) = if first.is_known { ("up", FLAG) } else { ("none", FLAG + HEIGHT - 3.0) };
    let (end, middle) = (x + days.len() * STEP - 1, (from + FLAG + HEIGHT) / 2.0);
    // Dashes of a wide line are bars: one element for months without an event.
    format!(
        r#"<path class="{class}" d="M{x} {middle}H{end}" stroke-width="{}" stroke-dasharray="3 1">{title}</path>"#,
        FLAG + HEIGHT - from
    )
}

/// Trouble hangs from the top, as high as its share; what is down sticks out.
fn trouble(x: usize, day: &Day, title: &str) -> String {
    let high = |share: f64| if share > 0.0 { (share.min(1.0) * HEIGHT).max(LEAST) } else { 0.0 };
    let (down, impaired) = (high(day.down), high(day.impaired));
    let down = down.min(HEIGHT);
    let impaired = impaired.min(HEIGHT - down);
    let mut bar = format!("<g>{title}");
    let mut piece = |class: &str, from: f64, to: f64| {
        // A line of nothing between the pieces tells them apart without a colour.
        let to = if to < FLAG + HEIGHT { to - SEAM } else { to };
        if to - from > SEAM {
            let _infallible = write!(bar, r#"<path class="{class}" d="M{x} {from:.1}h3V{to:.1}h-3z"/>"#);
        }
    };
    let (top, seam) = (if down > 0.0 { 0.0 } else { FLAG }, FLAG + down + impaired);
    piece("down", top, FLAG + down);
    piece("impaired", FLAG + down, seam);
    piece("rest", seam, FLAG + HEIGHT);
    bar.push_str("</g>");
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(name: &str, down: f64, is_known: bool) -> Day {
        Day { name: name.to_owned(), impaired: 0.0, down, is_known, said: format!("down {down}") }
    }

    #[test]
    fn days_alike_are_one_element_and_trouble_stands_alone_with_its_words() {
        let svg =
            days(&[day("1 Nov", 0.0, true), day("2 Nov", 0.0, true), day("3 Nov", 0.01, true)], "a < b").to_string();
        assert!(svg.contains("<title>1 Nov – 2 Nov: down 0</title>"), "{svg}");
        assert!(svg.contains("<title>3 Nov: down 0.01</title>"), "{svg}");
        assert!(svg.contains(r#"aria-label="a &lt; b""#));
        assert_eq!(svg.matches(r#"class="down""#).count(), 1);
    }

    #[test]
    fn a_minute_of_trouble_is_seen_and_a_whole_day_of_it_leaves_no_rest() {
        let down = |share| days(&[day("d", share, true)], "").to_string();
        assert!(down(0.0007).contains(r#"d="M0 0.0h3V8.0h-3z""#), "{}", down(0.0007));
        assert!(!down(1.0).contains(r#"class="rest""#));
        assert!(days(&[day("d", 1.0, false)], "").to_string().contains(r#"class="none""#), "no data is no trouble");
    }
}
