//! Decoding a tree while mistakes are collected: a [`Cursor`] is one node and its key path, [`Fields`] a mapping whose
//! unknown keys are reported at the end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use super::mistakes::{Mistakes, suggest};
use super::tree::{Node, Place, Value};
use super::units::{parse_bytes, parse_duration, parse_ratio, show_duration};

/// One node, its dotted key path, and where to report.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    node: &'a Node,
    path: String,
    mistakes: &'a Mistakes,
}

impl<'a> Cursor<'a> {
    /// Starts at the top of a tree.
    pub fn top(node: &'a Node, mistakes: &'a Mistakes) -> Self {
        Self { node, path: String::new(), mistakes }
    }

    /// Returns the node itself.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Returns the same place in the configuration with another value, which was made of the one that is written there.
    pub fn with<'b>(&'b self, node: &'b Node) -> Cursor<'b> {
        Cursor { node, path: self.path.clone(), mistakes: self.mistakes }
    }

    /// Returns how many mistakes were reported so far, here and elsewhere.
    pub fn mistakes_so_far(&self) -> usize {
        self.mistakes.len()
    }

    /// Returns where the value stands.
    pub fn place(&self) -> &'a Place {
        &self.node.place
    }

    /// Returns the dotted key path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports a mistake at this value.
    pub fn mistake(&self, message: impl Into<String>) {
        if self.node.value != Value::Broken {
            self.mistakes.add(&self.node.place, &self.path, message);
        }
    }

    fn below(&self, node: &'a Node, step: &str) -> Cursor<'a> {
        let path = match (self.path.is_empty(), step.starts_with('[')) {
            (true, _) => step.to_owned(),
            (false, true) => format!("{}{step}", self.path),
            (false, false) => format!("{}.{step}", self.path),
        };
        Cursor { node, path, mistakes: self.mistakes }
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        self.mistake(format!("expected {what}, found {}", self.node.shown()));
        None
    }

    /// Takes the value as a mapping with known keys. An empty value is an empty mapping.
    pub fn fields(&self) -> Option<Fields<'a>> {
        match &self.node.value {
            Value::Map(_) | Value::Null => Some(Fields { cursor: self.clone(), asked: RefCell::default() }),
            _ => self.expected("a mapping"),
        }
    }

    /// Takes the value as a mapping whose keys are names, in file order. An empty value is an empty mapping.
    pub fn entries(&self) -> Option<Vec<(&'a str, Cursor<'a>)>> {
        match &self.node.value {
            Value::Map(entries) => {
                Some(entries.iter().map(|entry| (entry.key.as_str(), self.below(&entry.node, &entry.key))).collect())
            }
            Value::Null => Some(Vec::new()),
            _ => self.expected("a mapping"),
        }
    }

    /// Takes the value as a list; a single value counts as a list of one.
    pub fn items(&self) -> Vec<Cursor<'a>> {
        match &self.node.value {
            Value::List(items) => {
                items.iter().enumerate().map(|(index, item)| self.below(item, &format!("[{index}]"))).collect()
            }
            Value::Null => Vec::new(),
            _ => vec![self.clone()],
        }
    }

    /// Takes the one key of an externally tagged value, such as `http:` or `tcp:`.
    pub fn tag(&self) -> Option<(&'a str, &'a Place, Cursor<'a>)> {
        match &self.node.value {
            Value::Map(entries) => match entries.as_slice() {
                [entry] => Some((entry.key.as_str(), &entry.key_place, self.below(&entry.node, &entry.key))),
                _ => self.expected("exactly one key"),
            },
            _ => self.expected("a mapping with one key"),
        }
    }

    /// Takes text; a number or `true` written plainly counts as its text.
    pub fn text(&self) -> Option<String> {
        self.node.scalar_text().or_else(|| self.expected("text"))
    }

    /// Takes a list of texts (or one text).
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(Cursor::text).collect()
    }

    /// Takes a secret under a name of the user's: `NAME: PATH`, or `NAME: ${VARIABLE}`.
    pub fn named_secret(&self) -> Option<SecretString> {
        if self.node.substituted.is_some() {
            return self.text().map(crate::secrets::secret);
        }
        match crate::secret_file::read(Path::new(&self.text()?)) {
            Ok(text) if !text.is_empty() => Some(crate::secrets::secret(text)),
            Ok(_) => {
                self.mistake("the secret file is empty");
                None
            }
            // What stands there may be the secret itself, so it is not shown.
            Err(error) => {
                self.mistake(format!("cannot read the secret file: {error}; write a path or ${{VARIABLE}}"));
                None
            }
        }
    }

    /// Takes `true` or `false`.
    pub fn bool(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            _ => self.expected("true or false"),
        }
    }

    /// Takes a whole number within `range`.
    pub fn whole<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let number = match &self.node.value {
            Value::Int(number) => T::try_from(*number).ok().filter(|number| range.contains(number)),
            _ => None,
        };
        number.or_else(|| self.expected(&format!("a whole number from {} to {}", range.start(), range.end())))
    }

    /// Takes any finite number.
    pub fn number(&self) -> Option<f64> {
        match &self.node.value {
            #[expect(clippy::cast_precision_loss, reason = "configuration numbers are far below 2^53")]
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) if number.is_finite() => Some(*number),
            // A variable's text stays as it is until somebody wants a number.
            Value::Text(text) if self.node.substituted.is_some() => {
                text.parse().ok().filter(|number: &f64| number.is_finite()).or_else(|| self.expected("a number"))
            }
            _ => self.expected("a number"),
        }
    }

    /// Takes a duration within `range`.
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let length = self.convert(parse_duration)?;
        if range.contains(&length) {
            return Some(length);
        }
        let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
        self.expected(&format!("a duration from {low} to {high}"))
    }

    /// Takes a size in bytes within `range`.
    pub fn bytes(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let bytes = self.convert(parse_bytes)?;
        if range.contains(&bytes) {
            return Some(bytes);
        }
        self.expected(&format!("a size from {} to {} bytes", range.start(), range.end()))
    }

    /// Takes a share such as `99.9%`, as a ratio from 0 to 1.
    pub fn ratio(&self) -> Option<f64> {
        self.convert(parse_ratio)
    }

    /// Takes one word of a closed set.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let near = if self.node.substituted.is_some() { String::new() } else { suggest(&text, list.iter().copied()) };
        self.mistake(format!("expected one of {}, found {}{near}", list.join(", "), self.node.shown()));
        None
    }

    /// Takes text and parses it; the parser's message must not repeat the value if it may be secret.
    pub fn parse<T>(&self, what: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(format!("{} is not {what}: {error}", self.node.shown()));
                None
            }
        }
    }

    fn convert<T>(&self, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text()?;
        match parse(&text) {
            Ok(value) => Some(value),
            // The parser's sentence begins with the quoted value; a substituted one must not be shown.
            Err(message) => {
                let shown = format!("{text:?}");
                self.mistake(message.replacen(&shown, &self.node.shown(), 1));
                None
            }
        }
    }
}

/// A mapping whose keys are asked for one by one; [`Fields::end`] reports those that nobody asked for.
#[derive(Debug)]
pub struct Fields<'a> {
    cursor: Cursor<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// Returns the mapping itself, for mistakes about the whole of it.
    pub fn cursor(&self) -> &Cursor<'a> {
        &self.cursor
    }

    /// Asks for a key that may be missing. A key with no value counts as missing.
    pub fn get(&self, key: &'static str) -> Option<Cursor<'a>> {
        self.asked.borrow_mut().push(key);
        let node = self.cursor.node.child(key)?;
        if node.value == Value::Null { None } else { Some(self.cursor.below(node, key)) }
    }

    /// Returns true if the key is written, even with an empty value; counts as asked.
    pub fn has(&self, key: &'static str) -> bool {
        self.asked.borrow_mut().push(key);
        self.cursor.node.child(key).is_some()
    }

    /// Asks for a key that must be there.
    pub fn require(&self, key: &'static str) -> Option<Cursor<'a>> {
        let found = self.get(key);
        if found.is_none() {
            self.cursor.mistake(format!("{key:?} is missing"));
        }
        found
    }

    /// Takes a secret: `<key>_file: path`, or `<key>: ${VARIABLE}`. A literal in the file is a mistake.
    pub fn secret(&self, key: &'static str, file_key: &'static str) -> Option<SecretString> {
        if let Some(path) = self.get(file_key) {
            if self.has(key) {
                path.mistake(format!("both {key:?} and {file_key:?} are set; keep {file_key:?}"));
            }
            return read_secret(&path);
        }
        let value = self.get(key)?;
        if value.node.substituted.is_none() {
            value.mistake(format!(
                "a secret does not belong in this file; write {file_key}: /path/to/file or {key}: ${{VARIABLE}}"
            ));
            return None;
        }
        value.text().map(crate::secrets::secret)
    }

    /// Asks for a mapping of names to texts, such as headers or environment variables. Values that are secret by their
    /// names are remembered as such.
    pub fn text_map(&self, key: &'static str) -> BTreeMap<String, String> {
        let entries = self.get(key).and_then(|cursor| cursor.entries()).unwrap_or_default();
        let texts = entries.into_iter().filter_map(|(name, cursor)| Some((name.to_owned(), cursor.text()?)));
        let texts: BTreeMap<String, String> = texts.collect();
        crate::secrets::know_variables(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        texts
    }

    /// Reports every key that was never asked for, with the nearest known key.
    pub fn end(self) {
        self.end_knowing(&[]);
    }

    /// As [`Fields::end`], for a mapping whose keys `also` are read by somebody else.
    pub fn end_knowing(self, also: &[&str]) {
        let Value::Map(entries) = &self.cursor.node.value else { return };
        let asked = self.asked.borrow();
        let known: Vec<&str> = asked.iter().copied().chain(also.iter().copied()).collect();
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                let near = suggest(&entry.key, known.iter().copied());
                let message = format!("unknown key {:?}{near}", entry.key);
                self.cursor.mistakes.add(&entry.key_place, &self.cursor.path, message);
            }
        }
    }
}

fn read_secret(path: &Cursor<'_>) -> Option<SecretString> {
    let file = path.text()?;
    match crate::secret_file::read(Path::new(&file)) {
        Ok(text) if text.is_empty() => {
            path.mistake(format!("the secret file {file} is empty"));
            None
        }
        Ok(text) => Some(crate::secrets::secret(text)),
        Err(error) => {
            path.mistake(format!("cannot read the secret file {file}: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes_of(yaml: &str, decode: impl Fn(&Fields<'_>)) -> Vec<String> {
        let node = Node::parse("m.yml", yaml).unwrap();
        let mistakes = Mistakes::default();
        let fields = Cursor::top(&node, &mistakes).fields().unwrap();
        decode(&fields);
        fields.end();
        mistakes.into_sorted().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn wrong_values_and_unknown_keys_are_reported_together_in_file_order() {
        let found = mistakes_of("timout: 3s\nevery: soon\ncount: 12\nmode: fst\n", |fields| {
            fields.get("timeout");
            fields.get("every").and_then(|c| c.duration(Duration::ZERO..=Duration::from_secs(9)));
            fields.get("count").and_then(|c| c.whole(1..=10u8));
            fields.get("mode").and_then(|c| c.one_of(&[("fast", 1), ("slow", 2)]));
            fields.require("url");
        });
        assert_eq!(
            found,
            [
                "m.yml:1:1: \"url\" is missing",
                "m.yml:1:1: unknown key \"timout\"; did you mean \"timeout\"?",
                "m.yml:2:8: every: \"soon\" is not a duration; write a number with a unit, like 500ms, 10s, 5m, 1h30m or 14d",
                "m.yml:3:8: count: expected a whole number from 1 to 10, found 12",
                "m.yml:4:7: mode: expected one of fast, slow, found \"fst\"; did you mean \"fast\"?",
            ]
        );
    }

    #[test]
    fn a_number_may_come_from_a_variable() {
        let number = |text: &str| {
            let node = Node {
                place: Place::whole("environment X"),
                value: Value::Text(text.to_owned()),
                substituted: Some("${X}".to_owned()),
            };
            let mistakes = Mistakes::default();
            let number = Cursor::top(&node, &mistakes).number();
            (number, mistakes.into_sorted().iter().map(ToString::to_string).collect::<String>())
        };
        assert_eq!(number("0.5"), (Some(0.5), String::new()));
        let wrong = "environment X: expected a number, found the value of ${X}";
        assert_eq!(number("inf"), (None, wrong.to_owned()));
        assert_eq!(number("x"), (None, wrong.to_owned()));
    }

    #[test]
    fn a_literal_secret_is_refused_and_never_shown() {
        let found = mistakes_of("password: hunter2\n", |fields| {
            assert!(fields.secret("password", "password_file").is_none());
        });
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("write password_file: /path/to/file or password: ${VARIABLE}"), "{found:?}");
        assert!(!found[0].contains("hunter2"));
    }

    #[test]
    fn a_secret_file_loses_the_white_space_around_it_and_an_empty_one_is_a_mistake() {
        use secrecy::ExposeSecret;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, " s3cret \n").unwrap();
        let found = mistakes_of(&format!("key_file: {}\n", file.display()), |fields| {
            assert_eq!(fields.secret("key", "key_file").unwrap().expose_secret(), "s3cret");
        });
        assert_eq!(found, Vec::<String>::new());
        std::fs::write(&file, "\n").unwrap();
        let found = mistakes_of(&format!("key_file: {}\n", file.display()), |fields| {
            assert!(fields.secret("key", "key_file").is_none());
        });
        assert!(found[0].ends_with("is empty"), "{found:?}");
    }
}
