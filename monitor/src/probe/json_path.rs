//! Where a value stands in a JSON document.

use std::fmt;

use serde_json::Value as Json;

use super::expect::shorten;

/// `a.b[0].c`; a key with dots or brackets is written `["a.b"]`.
#[derive(Debug)]
pub(super) struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// One sentence that says how to write one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a JSON path; write it like status, components.db or items[0].id");
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix("$.").unwrap_or(text);
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix("[\"") {
                let (key, tail) = inner.split_once("\"]").ok_or_else(wrong)?;
                steps.push(Step::Key(key.to_owned()));
                rest = tail;
            } else if let Some(inner) = rest.strip_prefix('[') {
                let (index, tail) = inner.split_once(']').ok_or_else(wrong)?;
                steps.push(Step::Index(index.parse().map_err(|_| wrong())?));
                rest = tail;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, tail) = rest.split_at(end);
                if key.is_empty() {
                    return Err(wrong());
                }
                steps.push(Step::Key(key.to_owned()));
                rest = tail;
            }
            if let Some(tail) = rest.strip_prefix('.') {
                if tail.is_empty() {
                    return Err(wrong());
                }
                rest = tail;
            }
        }
        if steps.is_empty() { Err(wrong()) } else { Ok(Self { text: text.to_owned(), steps }) }
    }

    /// Returns what stands there.
    ///
    /// # Errors
    /// One sentence that names the path and shows what is there instead.
    pub(super) fn find<'a>(&self, json: &'a Json) -> Result<&'a Json, String> {
        let mut here = json;
        for step in &self.steps {
            let next = match step {
                Step::Key(key) => here.get(key.as_str()),
                Step::Index(index) => here.get(*index),
            };
            here = next.ok_or_else(|| format!("json {} is missing in {}", self.text, shorten(&here.to_string())))?;
        }
        Ok(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_cannot_be_read_are_refused() {
        for text in ["", "a..b", "a[", "a[x]", "a.", "[\"x"] {
            assert!(JsonPath::parse(text).is_err(), "{text:?}");
        }
        for text in ["a", "a.b[0].c", "$.a", "[\"a.b\"].c", "[0]"] {
            assert!(JsonPath::parse(text).is_ok(), "{text:?}");
        }
    }
}
