//! Flat badges for READMEs and dashboards, and the JSON that shields.io draws one from.

use super::html::{Html, escape};
use super::tone::Tone;

/// Font size of the text in pixels, and the space beside each text.
const SIZE: f64 = 11.0;
const SPACE: f64 = 6.0;

/// A badge: what, and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// The left half.
    pub label: String,
    /// The right half.
    pub message: String,
    /// The right half's colour.
    pub tone: Tone,
}

impl Badge {
    /// Draws it.
    pub fn to_svg(&self) -> Html {
        let (left, right) = (width(&self.label), width(&self.message));
        let (left_box, right_box) = (left + 2.0 * SPACE, right + 2.0 * SPACE);
        let whole = left_box + right_box;
        let (label, message, fill) = (escape(&self.label), escape(&self.message), self.tone.fill());
        // `textLength` holds the text in its box whatever font the reader has.
        let text = |x: f64, length: f64, text: &str| {
            format!(r#"<text x="{x:.1}" y="14" textLength="{length:.1}" lengthAdjust="spacingAndGlyphs">{text}</text>"#)
        };
        Html::of_escaped(format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0}" height="20" viewBox="0 0 {whole:.1} 20" role="img" aria-label="{label}: {message}"><title>{label}: {message}</title><clipPath id="r"><rect width="{whole:.1}" height="20" rx="3"/></clipPath><g clip-path="url(#r)"><rect width="{whole:.1}" height="20" fill="#444c56"/><rect x="{left_box:.1}" width="{right_box:.1}" height="20" fill="{fill}"/></g><g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="{SIZE}">{}{}</g></svg>"##,
            text(SPACE, left, &label),
            text(left_box + SPACE, right, &message)
        ))
    }
}

/// Returns the badge as shields.io reads it (shields.io, "Endpoint Badge", schema version 1).
pub fn shields(badge: &Badge) -> serde_json::Value {
    serde_json::json!({
        "schemaVersion": 1,
        "label": badge.label,
        "message": badge.message,
        "color": badge.tone.fill(),
        "isError": badge.tone == Tone::Bad,
    })
}

fn width(text: &str) -> f64 {
    text.chars().map(advance).sum::<f64>() * SIZE / 1000.0
}

/// Advance widths of Verdana in thousandths of its size, by groups of like width.
fn advance(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '\'' => 280.0,
        ' ' | '.' | ',' | ':' | ';' | '!' | 'f' | 't' | 'I' | '|' | '-' | '(' | ')' | '/' | '_' | '[' | ']' => 400.0,
        'r' | 's' | 'z' | 'c' | 'J' => 505.0,
        'm' => 973.0,
        'w' | '+' | '=' | '<' | '>' | '~' | '#' => 818.0,
        'W' => 989.0,
        'M' | 'O' | 'Q' | 'G' | 'D' | 'N' | 'H' | 'U' => 780.0,
        '%' => 1076.0,
        'A'..='Z' => 680.0,
        'a'..='z' | '0'..='9' => 625.0,
        _ => 800.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_is_as_wide_as_its_text_and_says_it_to_screen_readers() {
        let badge = |message: &str| {
            let badge = Badge { label: "shop".to_owned(), message: message.to_owned(), tone: Tone::Bad };
            badge.to_svg().to_string()
        };
        assert!(badge("down").contains(r#"aria-label="shop: down""#));
        let wide = |message| {
            let svg = badge(message);
            let rest = svg.split("width=\"").nth(1).unwrap_or_default().to_owned();
            rest.split('"').next().and_then(|width| width.parse::<u32>().ok()).unwrap_or(0)
        };
        assert!(wide("crash looping") > wide("down") + 30);
        assert!((60..90).contains(&wide("down")), "{}", wide("down"));
        assert!(!badge("<script>").contains("<script"));
    }

    #[test]
    fn the_same_badge_as_shields_reads_it() {
        let badge = Badge { label: "shop".to_owned(), message: "up".to_owned(), tone: Tone::Good };
        let json = shields(&badge);
        assert_eq!((json["schemaVersion"].as_i64(), json["message"].as_str()), (Some(1), Some("up")));
        assert_eq!(json["isError"], false);
    }
}
