//! How full something is, with the marks at which something follows.

use std::fmt::Write as _;

use super::super::html::{Html, escape};

/// Draws `level` of `most`, with marks in the same unit; `said` says it in words.
pub fn level(level: f64, most: f64, marks: &[f64], said: &str) -> Html {
    let share = |value: f64| if most > 0.0 { (value / most).clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    let class = match marks.iter().filter(|mark| level >= **mark).count() {
        0 => "low",
        1 => "high",
        _ => "over",
    };
    let mut svg = format!(
        r#"<svg class="level {class}" width="160" height="12" role="img" aria-label="{0}"><title>{0}</title><rect class="room" width="100%" y="2" height="8" rx="4"/><rect class="fill" width="{1:.1}%" y="2" height="8" rx="4"/>"#,
        escape(said),
        share(level)
    );
    for mark in marks {
        let x = share(*mark);
        let _infallible = write!(svg, r#"<line x1="{x:.1}%" x2="{x:.1}%" y2="12"/>"#);
    }
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fill_is_to_scale_and_its_colour_says_which_marks_are_passed() {
        for (value, class, width) in
            [(0.0, "low", "0.0%"), (2.5, "low", "25.0%"), (3.0, "high", "30.0%"), (12.0, "over", "100.0%")]
        {
            let svg = level(value, 10.0, &[3.0, 8.0], "so & so").as_str().to_owned();
            assert!(svg.contains(&format!(r#"class="level {class}""#)), "{svg}");
            assert!(svg.contains(&format!(r#"class="fill" width="{width}""#)), "{svg}");
            assert!(svg.contains("so &amp; so") && svg.contains(r#"x1="80.0%""#), "{svg}");
        }
    }
}
