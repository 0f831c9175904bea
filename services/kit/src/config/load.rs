//! Reads a file or a folder of files into one tree, then lays the environment over it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::mistakes::Mistakes;
use super::substitute::{retype, substitute};
use super::tree::{Entry, Node, Place, Value};

/// Largest configuration file that is read, in bytes. A thousand checks take about 0.3 MB.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Environment variables as a value, so that tests need no real ones; only their names show in `Debug`.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Takes the process's own variables; those that are not Unicode are left out. Values that are secret by their names
    /// are remembered as such.
    pub fn of_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let variables: BTreeMap<String, String> = variables.collect();
        crate::secrets::know_variables(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Self(variables)
    }

    /// Builds one from pairs.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    /// Adds a variable, or replaces it.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Returns a variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Where configuration comes from.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// A YAML file, or a folder whose `*.yml` and `*.yaml` are read in name order and merged.
    pub path: &'a Path,
    /// Variables for `${…}` and overrides.
    pub environment: &'a Environment,
    /// Variables `<prefix>_A__B` override the key `a.b`; for example `MONITOR`.
    pub prefix: &'a str,
}

/// Reads everything into one located tree. Mistakes are collected; the tree holds what could be read.
pub fn load(source: &Source<'_>, mistakes: &Mistakes) -> Node {
    load_knowing(source, &[], mistakes)
}

/// As [`load`], for a program that knows the top-level keys `keys`: `<prefix>_A` then sets the key `a` also where the
/// files do not have it. Other variables with one underscore (`MONITOR_CONFIG`) are left alone.
pub fn load_knowing(source: &Source<'_>, keys: &[&str], mistakes: &Mistakes) -> Node {
    let read = |file: std::path::PathBuf| read_file(&file, mistakes);
    join(files_of(source.path, mistakes).into_iter().filter_map(read), source, keys, mistakes)
}

/// As [`load_knowing`], of a text that the program itself holds: `source.path` is only what messages call it.
pub fn load_text(text: &str, source: &Source<'_>, keys: &[&str], mistakes: &Mistakes) -> Node {
    let parsed = Node::parse(&source.path.display().to_string(), text);
    join(parsed.map_err(|(place, message)| mistakes.add(&place, "", message)).into_iter(), source, keys, mistakes)
}

/// Makes one tree of what was read, with the environment laid over it.
fn join(read: impl Iterator<Item = Node>, source: &Source<'_>, keys: &[&str], mistakes: &Mistakes) -> Node {
    let mut root = Node {
        place: Place::whole(&source.path.display().to_string()),
        value: Value::Map(Vec::new()),
        substituted: None,
    };
    for node in read {
        if !matches!(node.value, Value::Map(_)) {
            mistakes.add(&node.place, "", format!("expected a mapping of sections, found {}", node.type_name()));
            continue;
        }
        merge(&mut root, node, "", mistakes);
    }
    substitute(&mut root, "", source.environment, mistakes);
    override_from(&mut root, source, keys, mistakes);
    root
}

fn files_of(path: &Path, mistakes: &Mistakes) -> Vec<std::path::PathBuf> {
    let whole = Place::whole(&path.display().to_string());
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            mistakes.add(&whole, "", format!("cannot read this folder: {error}"));
            return Vec::new();
        }
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml"))
        .filter(|file| !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    files.sort();
    if files.is_empty() {
        mistakes.add(&whole, "", "no configuration in this folder; put a file that ends in .yml or .yaml there");
    }
    files
}

fn read_file(file: &Path, mistakes: &Mistakes) -> Option<Node> {
    let shown = file.display().to_string();
    let result = std::fs::metadata(file).and_then(|metadata| {
        // A pipe or device may never end.
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is neither a regular file nor a folder"));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(std::io::Error::other(format!("it is {} bytes, more than {MAX_FILE_BYTES}", metadata.len())));
        }
        std::fs::read_to_string(file)
    });
    match result {
        Ok(text) => Node::parse(&shown, &text).map_err(|(place, message)| mistakes.add(&place, "", message)).ok(),
        Err(error) => {
            mistakes.add(&Place::whole(&shown), "", format!("cannot read this file: {error}"));
            None
        }
    }
}

/// Merges `other` into `node`: mappings key by key; the same leaf twice is a mistake, not a silent winner.
fn merge(node: &mut Node, other: Node, path: &str, mistakes: &Mistakes) {
    let Value::Map(entries) = &mut node.value else { return };
    let Value::Map(others) = other.value else { return };
    for entry in others {
        let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        match entries.iter_mut().find(|existing| existing.key == entry.key) {
            None => entries.push(entry),
            Some(existing)
                if matches!(existing.node.value, Value::Map(_)) && matches!(entry.node.value, Value::Map(_)) =>
            {
                merge(&mut existing.node, entry.node, &below, mistakes);
            }
            Some(existing) => mistakes.add(
                &entry.key_place,
                &below,
                format!("already set at {}; keep one of the two", existing.key_place),
            ),
        }
    }
}

fn override_from(root: &mut Node, source: &Source<'_>, known: &[&str], mistakes: &Mistakes) {
    let prefix = format!("{}_", source.prefix);
    for (name, text) in &source.environment.0 {
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        // One underscore is a flat name of its own (MONITOR_CONFIG); two separate levels.
        let is_key = |rest| root_has(root, rest) || known.iter().any(|key| same_key(key, rest));
        // An empty variable counts as not set (compose writes `${X:-}`).
        if text.is_empty() || !(rest.contains("__") || is_key(rest)) {
            continue;
        }
        let place = Place::whole(&format!("environment {name}"));
        match value_of(&place, text) {
            Ok(value) => {
                let keys: Vec<&str> = rest.split("__").collect();
                let value = Node { place: place.clone(), value, substituted: Some(format!("${{{name}}}")) };
                set(root, &keys, value, &place);
            }
            Err(message) => mistakes.add(&place, "", message),
        }
    }
}

/// A list or mapping is written as YAML; anything else is one leaf, whose text stays as it is: a token `1e10` or `a: b`
/// must not become something else.
fn value_of(place: &Place, text: &str) -> Result<Value, String> {
    let is_nested = |open, close| text.trim().starts_with(open) && text.trim().ends_with(close);
    // `[::1]:8888` is an address.
    if is_nested('[', ']') || is_nested('{', '}') {
        return Node::parse(&place.file, text).map(|node| node.value).map_err(|(_, message)| message);
    }
    Ok(retype(text.to_owned()))
}

fn root_has(root: &Node, name: &str) -> bool {
    matches!(&root.value, Value::Map(entries) if entries.iter().any(|entry| same_key(&entry.key, name)))
}

/// `API_GATEWAY` names both `api-gateway` and `api_gateway`.
fn same_key(key: &str, variable: &str) -> bool {
    key.len() == variable.len()
        && key.chars().zip(variable.chars()).all(|(k, v)| k.to_ascii_uppercase() == v || (k == '-' && v == '_'))
}

fn set(node: &mut Node, keys: &[&str], value: Node, place: &Place) {
    let Some((first, rest)) = keys.split_first() else {
        *node = value;
        return;
    };
    if !matches!(node.value, Value::Map(_)) {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else { return };
    let index = entries.iter().position(|entry| same_key(&entry.key, first)).unwrap_or_else(|| {
        let empty = Node { place: place.clone(), value: Value::Null, substituted: None };
        entries.push(Entry { key: first.to_ascii_lowercase(), key_place: place.clone(), node: empty });
        entries.len() - 1
    });
    if let Some(entry) = entries.get_mut(index) {
        set(&mut entry.node, rest, value, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_files(files: &[(&str, &str)], environment: &Environment) -> (Node, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mistakes = Mistakes::default();
        let source = Source { path: folder.path(), environment, prefix: "MONITOR" };
        let node = load_knowing(&source, &["listen", "data_dir", "hosts"], &mistakes);
        let shown = folder.path().display().to_string();
        (node, mistakes.into_sorted().iter().map(|mistake| mistake.to_string().replace(&shown, "dir")).collect())
    }

    #[test]
    fn a_folder_is_merged_in_name_order_and_a_leaf_set_twice_is_a_mistake() {
        let files = [
            ("a.yml", "services:\n  web: { x: 1 }\nlisten: a\n"),
            ("b.yaml", "services:\n  db: { y: 2 }\nlisten: b\n"),
        ];
        let (node, mistakes) = load_files(&files, &Environment::default());
        assert!(node.child("services").unwrap().child("db").is_some());
        assert_eq!(mistakes, ["dir/b.yaml:3:1: listen: already set at dir/a.yml:3:1; keep one of the two"]);
    }

    #[test]
    fn the_environment_overrides_keys_with_dashes_too() {
        let files = [("a.yml", "listen: a\nservices:\n  api-gateway: { port: 1 }\n")];
        let environment = Environment::of([
            ("MONITOR_LISTEN", "b"),
            ("MONITOR_SERVICES__API_GATEWAY__PORT", "8000"),
            ("MONITOR_CONFIG", "x"),
        ]);
        let (node, mistakes) = load_files(&files, &environment);
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(node.child("listen").unwrap().value, Value::Text("b".to_owned()));
        assert_eq!(
            node.child("services").unwrap().child("api-gateway").unwrap().child("port").unwrap().value,
            Value::Int(8000)
        );
        assert!(node.child("config").is_none());
    }

    #[test]
    fn a_known_key_needs_no_line_in_the_file() {
        let environment = Environment::of([
            ("MONITOR_LISTEN", "[::1]:8888"),
            ("MONITOR_DATA_DIR", "/data"),
            ("MONITOR_HOSTS", "[a, b]"),
            ("MONITOR_CONFIG", "x"),
            ("MONITOR_URL", "x"),
        ]);
        let (node, mistakes) = load_files(&[("a.yml", "services: {}\n")], &environment);
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(node.child("listen").unwrap().value, Value::Text("[::1]:8888".to_owned()));
        assert_eq!(node.child("data_dir").unwrap().value, Value::Text("/data".to_owned()));
        assert!(matches!(&node.child("hosts").unwrap().value, Value::List(hosts) if hosts.len() == 2));
        assert!(node.child("config").is_none() && node.child("url").is_none());
        let environment = Environment::of([("MONITOR_LISTEN", "")]);
        let (node, _) = load_files(&[("a.yml", "listen: a\n")], &environment);
        assert_eq!(node.child("listen").unwrap().value, Value::Text("a".to_owned()));
    }

    #[test]
    fn an_overriding_text_stays_as_it_is() {
        for text in ["1e10", "a: b", "007", "~", "null", "\"x\"", "# x", "*x", "1.10", "yes", " x ", "- x", "{x", "[x"]
        {
            let environment = Environment::of([("MONITOR_A__TOKEN", text)]);
            let (node, mistakes) = load_files(&[("a.yml", "a: { token: x }\n")], &environment);
            assert_eq!(mistakes, Vec::<String>::new());
            let token = node.child("a").unwrap().child("token").unwrap();
            assert_eq!(token.scalar_text().as_deref(), Some(text));
            assert_eq!(token.shown(), "the value of ${MONITOR_A__TOKEN}");
        }
        for (text, expected) in [("true", Value::Bool(true)), ("12", Value::Int(12)), ("-3", Value::Int(-3))] {
            let environment = Environment::of([("MONITOR_A__X", text)]);
            let (node, _) = load_files(&[("a.yml", "a: { x: 1 }\n")], &environment);
            assert_eq!(node.child("a").unwrap().child("x").unwrap().value, expected);
        }
    }

    #[test]
    fn a_text_of_the_program_itself_is_read_like_a_file() {
        let mistakes = Mistakes::default();
        let environment = Environment::of([("MONITOR_LISTEN", "b")]).with("PORT", "1");
        let source = Source { path: Path::new("built-in configuration"), environment: &environment, prefix: "MONITOR" };
        let node = load_text("listen: a\nport: ${PORT}\nname: ${NONE}\n", &source, &["listen"], &mistakes);
        assert_eq!(node.child("listen").unwrap().value, Value::Text("b".to_owned()));
        assert_eq!(node.child("port").unwrap().value, Value::Int(1));
        let said = mistakes.into_sorted().iter().map(ToString::to_string).collect::<String>();
        assert!(said.starts_with("built-in configuration:3:7: name: environment variable NONE is not set"), "{said}");
    }

    #[test]
    fn an_empty_folder_and_a_missing_file_are_named() {
        let (_, mistakes) = load_files(&[], &Environment::default());
        assert_eq!(mistakes, ["dir: no configuration in this folder; put a file that ends in .yml or .yaml there"]);
    }
}
