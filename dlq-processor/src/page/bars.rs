//! Bars: how many letters are in each state, and how far a plan has come. SVG, since pages carry no style of their own.

use std::fmt::Write as _;

use kit::page::{Html, Tone, escape};

/// Smallest piece, in percent: one among many must still be seen.
const LEAST: f64 = 0.8;

/// Draws a bar of `value` out of `most`.
pub(super) fn share(tone: Tone, value: i64, most: i64) -> Html {
    draw("share", &[(tone, value)], most, "")
}

/// Draws a bar of pieces, one behind the other, out of `most`; `said` says it in words.
pub(super) fn progress(pieces: &[(Tone, i64)], most: i64, said: &str) -> Html {
    draw("progress", pieces, most, said)
}

fn draw(class: &str, pieces: &[(Tone, i64)], most: i64, said: &str) -> Html {
    let name = match said {
        "" => r#"aria-hidden="true""#.to_owned(),
        said => format!(r#"role="img" aria-label="{}""#, escape(said)),
    };
    let mut svg = format!(r#"<svg class="{class}" {name}><rect class="room" width="100%" height="100%"/>"#);
    let mut x = 0.0;
    for (tone, value) in pieces.iter().filter(|(_, value)| *value > 0) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 letters")]
        let width = (*value as f64 * 100.0 / most.max(1) as f64).clamp(LEAST, 100.0 - x);
        let _infallible =
            write!(svg, r#"<rect class="{}" x="{x:.2}%" width="{width:.2}%" height="100%"/>"#, tone.as_str());
        x = (x + width).min(100.0);
    }
    svg.push_str("</svg>");
    Html::of_escaped(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_to_scale_and_one_among_many_is_seen() {
        let svg = progress(&[(Tone::Good, 50), (Tone::Bad, 0), (Tone::Busy, 25)], 100, "half <done>").to_string();
        assert!(svg.contains(r#"class="good" x="0.00%" width="50.00%""#), "{svg}");
        assert!(svg.contains(r#"class="busy" x="50.00%" width="25.00%""#) && !svg.contains("bad"), "{svg}");
        assert!(svg.contains("half &lt;done&gt;"), "{svg}");
        assert!(share(Tone::Off, 1, 100_000).as_str().contains(r#"width="0.80%""#));
        assert!(share(Tone::Off, 3, 0).as_str().contains(r#"width="100.00%""#), "nothing sticks out");
    }
}
