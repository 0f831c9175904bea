//! One bar a day: how long it was up, impaired or down, and whether anybody looked.

use std::fmt::Write as _;

use super::super::html::{Html, escape};

/// Height of a bar, and how far trouble sticks out above the rest, in tenths of a pixel.
const HEIGHT: u32 = 240;
const FLAG: u32 = 40;
/// Where bars end.
const FOOT: u32 = FLAG + HEIGHT;
/// Width of a bar with its space, in pixels.
const STEP: usize = 4;
/// What parts the pieces of a bar.
const SEAM: u32 = 10;
/// Trouble of a minute must still be seen.
const LEAST: u32 = 50;
/// Where the mark of a day begins of which nothing is known.
const NOTHING: u32 = FOOT - 30;

/// What a day looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Share of the time with a known state in which it was impaired, 0 to 1.
    pub impaired: f64,
    /// Share of it in which it was down, 0 to 1.
    pub down: f64,
    /// Whether anything is known of this day.
    pub is_known: bool,
}

/// A day with what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// What it is called, such as `12 Nov`.
    pub name: String,
    /// What it looks like.
    pub look: Look,
    /// What it came to, such as `up 99.3 %, down 9 min`.
    pub said: String,
}

impl Look {
    fn has_trouble(&self) -> bool {
        self.is_known && (self.down > 0.0 || self.impaired > 0.0)
    }

    /// Neighbours of one look are drawn as one.
    fn is_like(&self, other: &Self) -> bool {
        !self.has_trouble() && !other.has_trouble() && self.is_known == other.is_known
    }

    /// Trouble hangs from the top, as high as its share; what is down sticks out. Pieces are a class, and from where to
    /// where they go.
    fn pieces(&self) -> impl Iterator<Item = (Class, u32, u32)> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the height")]
        let high = |share: f64| match share.clamp(0.0, 1.0) * f64::from(HEIGHT) {
            none if none <= 0.0 => 0,
            some => (some.round() as u32).max(LEAST),
        };
        let down = high(self.down);
        let impaired = high(self.impaired).min(HEIGHT - down);
        let (top, seam) = (if down > 0 { 0 } else { FLAG }, FLAG + down + impaired);
        let pieces = [(Class::Down, top, FLAG + down), (Class::Impaired, FLAG + down, seam), (Class::Rest, seam, FOOT)];
        // A line of nothing between the pieces tells them apart without a colour.
        let parted = pieces.map(|(class, from, to)| (class, from, if to < FOOT { to - SEAM } else { to }));
        parted.into_iter().filter(|(_, from, to)| *to > from + SEAM)
    }
}

/// How a piece of a bar is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Down,
    Impaired,
    Rest,
    Up,
    None,
}

impl Class {
    const ALL: [Self; 5] = [Self::Down, Self::Impaired, Self::Rest, Self::Up, Self::None];

    /// The attributes of its path. Dashes of a wide line are bars: one piece for months without an event.
    fn attributes(self) -> String {
        let dashed = |class, from| format!(r#"class="{class}" stroke-width="{}" stroke-dasharray="3 1""#, FOOT - from);
        match self {
            Self::Down => r#"class="down""#.to_owned(),
            Self::Impaired => r#"class="impaired""#.to_owned(),
            Self::Rest => r#"class="rest""#.to_owned(),
            Self::Up => dashed("up", FLAG),
            Self::None => dashed("none", NOTHING),
        }
    }
}

/// Draws one day with trouble, or several without, by `pen`.
fn draw(x: usize, looks: (Look, usize), mut pen: impl FnMut(Class, std::fmt::Arguments<'_>)) {
    let (look, count) = looks;
    if look.has_trouble() {
        for (class, from, to) in look.pieces() {
            pen(class, format_args!("M{x} {from}h3V{to}h-3z"));
        }
        return;
    }
    let (class, from) = if look.is_known { (Class::Up, FLAG) } else { (Class::None, NOTHING) };
    pen(class, format_args!("M{x} {}H{}", u32::midpoint(from, FOOT), x + count * STEP - 1));
}

/// Draws the days, oldest first, each with what is said of it. `summary` says in words what they come to.
pub fn days(days: &[Day], summary: &str) -> Html {
    let mut svg = opening(days.len(), &format!(r#" aria-label="{}""#, escape(summary)));
    let mut next = 0;
    for run in days.chunk_by(|left, right| left.look.is_like(&right.look) && left.said == right.said) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let name = if run.len() == 1 { first.name.clone() } else { format!("{} – {}", first.name, last.name) };
        let _infallible = write!(svg, "<g><title>{}: {}</title>", escape(&name), escape(&first.said));
        draw(next * STEP, (first.look, run.len()), |class, path| {
            let _infallible = write!(svg, r#"<path {} d="{path}"/>"#, class.attributes());
        });
        svg.push_str("</g>");
        next += run.len();
    }
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}

/// Draws the days as [`days`] does with nothing but `summary` said of them: a list of a thousand services is looked at as a
/// whole.
pub fn looks(looks: &[Look], summary: &str) -> Html {
    let mut svg = opening(looks.len(), "");
    let mut paths = Class::ALL.map(|class| (class, String::new()));
    let mut next = 0;
    for run in looks.chunk_by(Look::is_like) {
        let Some(first) = run.first() else { continue };
        draw(next * STEP, (*first, run.len()), |class, path| {
            if let Some((_, drawn)) = paths.iter_mut().find(|(known, _)| *known == class) {
                let _infallible = drawn.write_fmt(path);
            }
        });
        next += run.len();
    }
    let _infallible = write!(svg, "<title>{}</title>", escape(summary));
    for (class, path) in paths.iter().filter(|(_, path)| !path.is_empty()) {
        let _infallible = write!(svg, r#"<path {} d="{path}"/>"#, class.attributes());
    }
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}

fn opening(days: usize, label: &str) -> String {
    let width = days * STEP;
    format!(r#"<svg class="days" viewBox="0 0 {width} {FOOT}" preserveAspectRatio="none" role="img"{label}>"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(down: f64, is_known: bool) -> Look {
        Look { impaired: 0.0, down, is_known }
    }

    fn day(name: &str, down: f64, is_known: bool) -> Day {
        Day { name: name.to_owned(), look: look(down, is_known), said: format!("down {down}") }
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
        assert!(down(0.0007).contains(r#"d="M0 0h3V80h-3z""#), "{}", down(0.0007));
        assert!(!down(1.0).contains(r#"class="rest""#));
        assert!(days(&[day("d", 1.0, false)], "").to_string().contains(r#"class="none""#), "no data is no trouble");
        let both = Look { impaired: 0.9, down: 0.9, is_known: true };
        assert!(both.pieces().all(|(_, from, to)| from < to && to <= FOOT), "{:?}", both.pieces().collect::<Vec<_>>());
    }

    #[test]
    fn without_words_every_colour_is_one_element_and_looks_the_same() {
        let all = [look(0.5, true), look(0.0, true), look(0.0, true), look(0.0, false), look(0.5, true)];
        let svg = looks(&all, "90 %").to_string();
        assert!(svg.contains("<title>90 %</title>"), "{svg}");
        assert!(svg.contains(r#"<path class="down" d="M0 0h3V150h-3zM16 0h3V150h-3z"/>"#), "{svg}");
        assert!(svg.contains(r#"stroke-dasharray="3 1" d="M4 160H11"/>"#), "{svg}");
        assert_eq!(svg.matches("<path").count(), 4, "{svg}");
    }
}
