//! Placeholders of Gatus in what is sent: names of the endpoint, random texts, what a suite remembers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::request::Text;

/// What placeholders stand for.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Those with a fixed text.
    pub(super) fixed: Vec<(&'static str, String)>,
    /// The constants of a suite.
    pub(super) constants: Value,
    /// What steps so far took from answers, and its name here.
    pub(super) taken: BTreeMap<String, String>,
}

impl Known {
    /// Fills a text in; `[CONTEXT]` of what nobody remembers is reported.
    pub(super) fn fill(&self, text: &str, unknown: &mut Vec<String>) -> Text {
        let mut parts: Vec<Text> = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('[') {
            let (before, from) = rest.split_at(start);
            plain.push_str(before);
            match self.placeholder(from, unknown) {
                Some((Text::Plain(text), length)) => {
                    plain.push_str(&text);
                    rest = from.get(length..).unwrap_or_default();
                }
                Some((template, length)) => {
                    parts.extend([Text::Plain(std::mem::take(&mut plain)), template]);
                    rest = from.get(length..).unwrap_or_default();
                }
                None => {
                    plain.push('[');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        plain.push_str(rest);
        if parts.is_empty() {
            return Text::Plain(plain);
        }
        parts.push(Text::Plain(plain));
        Text::Template(parts.iter().map(Text::in_template).collect())
    }

    /// Reads the placeholder at the beginning, and how long it is.
    fn placeholder(&self, text: &str, unknown: &mut Vec<String>) -> Option<(Text, usize)> {
        if let Some((name, value)) = self.fixed.iter().find(|(name, _)| text.starts_with(name)) {
            return Some((Text::Plain(value.clone()), name.len()));
        }
        if let Some(rest) = text.strip_prefix("[RANDOM_STRING_") {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let is_whole = digits > 0 && rest.get(digits..)?.starts_with(']');
            let length = "[RANDOM_STRING_".len() + digits + 1;
            return is_whole.then(|| (Text::Template("{{ random }}".to_owned()), length));
        }
        let path = text.strip_prefix("[CONTEXT].")?;
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = path.find(|c: char| !is_part(c)).unwrap_or(path.len());
        let path = path.get(..end)?.trim_end_matches('.');
        let length = "[CONTEXT].".len() + path.len();
        if let Some(name) = self.taken.get(path) {
            return Some((Text::Template(format!("{{{{ {name} }}}}")), length));
        }
        match path.split('.').try_fold(&self.constants, |value, key| value.get(key)) {
            Some(Value::String(text)) => Some((Text::Plain(text.clone()), length)),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Some((Text::Plain(value.to_string()), length)),
            _ => {
                unknown.push(path.to_owned());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_become_texts_and_templates() {
        let known = Known {
            fixed: vec![("[ENDPOINT_NAME]", "web".to_owned())],
            constants: json!({ "base": "https://x", "deep": { "n": 5 } }),
            taken: BTreeMap::from([("id".to_owned(), "id".to_owned())]),
        };
        let mut unknown = Vec::new();
        let mut fill = |text: &str| known.fill(text, &mut unknown);
        assert_eq!(fill("[CONTEXT].base/[ENDPOINT_NAME]"), Text::Plain("https://x/web".to_owned()));
        assert_eq!(fill("a[0] [CONTEXT].deep.n."), Text::Plain("a[0] 5.".to_owned()));
        assert_eq!(fill("/[CONTEXT].id?{{"), Text::Template("/{{ id }}{% raw %}?{{{% endraw %}".to_owned()));
        assert_eq!(fill("[RANDOM_STRING_10]x"), Text::Template("{{ random }}x".to_owned()));
        assert_eq!(fill("[CONTEXT].none"), Text::Plain("[CONTEXT].none".to_owned()));
        assert_eq!(unknown, ["none"]);
    }
}
