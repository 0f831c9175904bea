//! Text that is HTML already, and the one way to make it of text that is not.

use std::fmt;

/// Markup made by this crate; templates show it with the filter `safe`, which nothing else may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// Wraps markup whose every piece of foreign text went through [`escape`] or an escaping template.
    pub fn of_escaped(markup: String) -> Self {
        Self(markup)
    }

    /// Returns the markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes text harmless in element content and in quoted attributes. Characters that XML 1.0 (section 2.2) does not allow
/// become U+FFFD, or an SVG with a control character in it would not be drawn at all.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'.. => out.push(character),
            _ => out.push('\u{FFFD}'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_text_or_an_attribute() {
        assert_eq!(
            escape("<b a=\"1\" c='2'>&\u{1b}\u{0}é"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\u{FFFD}\u{FFFD}é"
        );
    }
}
