//! Names of ours, made of those of other tools.

use std::collections::BTreeSet;

/// Longest name, in characters: 63 are allowed, and a number may follow.
const MAX_NAME: usize = 58;

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Returns the first of these texts that is free as a name, or else the last of them with a number.
    pub(super) fn take(&mut self, texts: &[&str]) -> String {
        let last = texts.last().map(|text| slug(text)).unwrap_or_default();
        let plain = texts.iter().map(|text| slug(text));
        let numbered = (2..).map(|number| format!("{last}-{number}"));
        let name = plain.chain(numbered).find(|name| !self.0.contains(name)).unwrap_or(last);
        self.0.insert(name.clone());
        name
    }
}

/// Labels that the monitor sets itself.
const OWN_LABELS: [&str; 3] = ["service", "severity", "alertname"];

/// Returns a label's name that is made of a text.
pub(super) fn label(text: &str) -> String {
    let name = slug(text).replace('-', "_");
    if OWN_LABELS.contains(&name.as_str()) { format!("their_{name}") } else { name }
}

/// Returns what a name may hold of a text.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(MAX_NAME);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "unnamed".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_what_they_may_hold_and_are_taken_once() {
        let mut names = Names::default();
        assert_eq!(names.take(&["Front End!", "core Front End!"]), "front-end");
        assert_eq!(names.take(&["front_end", "core front_end"]), "core-front-end");
        assert_eq!(names.take(&["front_end", "core front_end"]), "core-front-end-2");
        assert_eq!(names.take(&["日本"]), "unnamed");
        assert_eq!((label("Team A"), label("Service")), ("team_a".to_owned(), "their_service".to_owned()));
        assert!(slug(&"a-".repeat(60)).len() <= MAX_NAME);
    }
}
