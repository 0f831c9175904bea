//! Any bytes as a file of blackbox_exporter's modules. Never: a panic, a hang; a mistake without a place in the text; two readings
//! of one file that differ; a text for `/config` that is no YAML, or another file than was read, or shows a secret; a secret in
//! `Debug`.
#![no_main]

use std::path::Path;

use kit::config::{Cursor, Environment, Mistake, Mistakes, Node, Place, Value};
use libfuzzer_sys::fuzz_target;
use monitor::probe::blackbox::Modules;

/// Stands in seeds where secrets do.
const SECRET: &str = "zq9xw7-zq9xw7";
/// Options whose value is a secret.
const SECRET_KEYS: [&str; 6] = ["password", "credentials", "bearer_token", "client_secret", "body", "send"];
/// What the text may have instead of what is in the file.
const HIDDEN: [&str; 3] = ["<secret>", "[redacted]", "***@"];

fuzz_target!(init: monitor_fuzz::begin(), |bytes: &[u8]| {
    let file = monitor_fuzz::write(bytes);
    let text = String::from_utf8_lossy(bytes);
    let modules = match (decode(&file), decode(&file)) {
        (Err(mistakes), Err(again)) => {
            assert_eq!(mistakes, again, "read twice");
            return monitor_fuzz::check_mistakes(&mistakes, &file, &text);
        }
        (Ok(modules), Ok(again)) => {
            assert_eq!(modules.shown(), again.shown(), "read twice");
            modules
        }
        (first, second) => panic!("read twice: {:?}, {:?}", first.map(drop), second.map(drop)),
    };
    let shown = modules.shown();
    let written = Node::parse("written", &text).expect("a file that was accepted");
    let again = Node::parse("shown", &shown).unwrap_or_else(|error| panic!("{error:?} in {shown}"));
    if let (Some(written), Some(again)) = (written.child("modules"), again.child("modules")) {
        assert!(is_as_written(written, again), "{shown}");
    }
    if is_only_secret(&written, &text) {
        assert!(!shown.contains(SECRET), "/config shows a secret: {shown}");
        assert!(!format!("{modules:?}").contains(SECRET), "Debug shows a secret: {modules:?}");
    }
    if !HIDDEN.iter().any(|hidden| shown.contains(hidden)) {
        let second = decode(&monitor_fuzz::write(shown.as_bytes())).unwrap_or_else(|error| panic!("{error:?} in {shown}"));
        assert_eq!(second.shown(), shown, "written and read again");
    }
});

fn decode(file: &Path) -> Result<Modules, Vec<Mistake>> {
    let path = Value::Text(file.display().to_string());
    let node = Node { place: Place::whole("monitor.yml"), value: path, substituted: None };
    let mistakes = Mistakes::default();
    let decoded = Modules::decode(&Cursor::top(&node, &mistakes), &Environment::default());
    let mistakes = mistakes.into_sorted();
    decoded.filter(|_| mistakes.is_empty()).ok_or(mistakes)
}

/// Nothing is as good as an empty mapping; modules are shown by their names.
fn is_as_written(written: &Node, shown: &Node) -> bool {
    let hides = |text: &str| HIDDEN.iter().any(|hidden| text.contains(hidden));
    match (&written.value, &shown.value) {
        (_, Value::Text(text)) if hides(text) => true,
        (Value::Null, Value::Map(entries)) => entries.is_empty(),
        (Value::Map(entries), Value::Null) => entries.is_empty(),
        (Value::Map(written), Value::Map(shown)) => {
            let of = |key: &str| shown.iter().find(|entry| entry.key == key);
            let is_shown = |entry: &kit::config::Entry| {
                of(&entry.key).is_some_and(|other| is_as_written(&entry.node, &other.node))
            };
            written.len() == shown.len() && written.iter().all(is_shown)
        }
        (Value::List(written), Value::List(shown)) => {
            written.len() == shown.len() && written.iter().zip(shown).all(|(one, other)| is_as_written(one, other))
        }
        (written, shown) => written == shown,
    }
}

/// Returns whether the secret stands where secrets do, and nowhere else.
fn is_only_secret(node: &Node, text: &str) -> bool {
    let mut secrets = 0;
    monitor_fuzz::visit(node, "", &mut |key, node| {
        let is_secret = node.scalar_text().is_some_and(|text| text.contains(SECRET)) && SECRET_KEYS.contains(&key);
        secrets += usize::from(is_secret);
    });
    text.matches("zq9xw7").count() == 2 * secrets && !["*", "<<"].iter().any(|word| text.contains(word))
}
