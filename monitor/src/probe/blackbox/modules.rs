//! The file of modules, unchanged as blackbox_exporter reads it, checked whole: what is wrong, and what is not supported here,
//! is said at once, with its place.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::config::{Cursor, Environment, Fields, Node, Value};

use super::file::duration;
use super::{Prober, dns, grpc, http, icmp, shown, tcp, unix, websocket};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// One module.
pub struct Module {
    /// Its key.
    pub name: String,
    /// How long it may take at most, if it says so.
    pub timeout: Option<Duration>,
    pub(super) prober: Box<dyn Prober>,
    /// As it is written, without secrets.
    shown: String,
}

impl Module {
    /// Returns it as it is written, without secrets, as YAML.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the name that it asks for whatever the target is, if it does.
    pub fn hostname(&self) -> Option<&str> {
        self.prober.hostname()
    }
}

impl fmt::Debug for Module {
    /// As it is shown: what is sent, such as a body, may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name).field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// Every module, by its key.
#[derive(Debug, Default)]
pub struct Modules {
    modules: BTreeMap<String, Arc<Module>>,
    /// The file they were read from, if they do not stand in our own.
    pub file: Option<PathBuf>,
}

impl Modules {
    /// Decodes the path of a file, or the modules themselves; the environment says which proxies there are.
    pub fn decode(cursor: &Cursor<'_>, environment: &Environment) -> Option<Self> {
        if let Value::Text(path) = &cursor.node().value {
            let file = PathBuf::from(path);
            let node = read(&file, cursor)?;
            let fields = cursor.with(&node).fields()?;
            let modules = fields.get("modules").map(|modules| decode_all(&modules, environment));
            fields.end();
            return Some(Self { modules: modules.unwrap_or(Some(BTreeMap::new()))?, file: Some(file) });
        }
        Some(Self { modules: decode_all(cursor, environment)?, file: None })
    }

    /// Finds a module.
    pub fn find(&self, name: &str) -> Option<&Arc<Module>> {
        self.modules.get(name)
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.modules.len()
    }

    /// Returns all of them as they are written, without secrets, as YAML.
    pub fn shown(&self) -> String {
        let mut out = "modules:\n".to_owned();
        for module in self.modules.values() {
            let _infallible = writeln!(out, "  {}:", shown::key(&module.name));
            for line in module.shown.lines() {
                let _infallible = writeln!(out, "    {line}");
            }
        }
        out
    }
}

/// The variables of ours mean nothing there: `${1}` is what a regular expression has found.
fn read(file: &Path, cursor: &Cursor<'_>) -> Option<Node> {
    let shown = file.display().to_string();
    let read = std::fs::metadata(file).and_then(|about| {
        if !about.is_file() || about.len() > MAX_FILE_BYTES {
            return Err(std::io::Error::other(format!("it is no file of at most {MAX_FILE_BYTES} bytes")));
        }
        std::fs::read_to_string(file)
    });
    let text = read.map_err(|error| cursor.mistake(format!("cannot read {shown}: {error}"))).ok()?;
    match Node::parse(&shown, &text) {
        Ok(node) => Some(node),
        Err((place, message)) => {
            let broken = Node { place, value: Value::Null, substituted: None };
            cursor.with(&broken).mistake(message);
            None
        }
    }
}

fn decode_all(cursor: &Cursor<'_>, environment: &Environment) -> Option<BTreeMap<String, Arc<Module>>> {
    let decoded: Vec<Option<Module>> =
        cursor.entries()?.into_iter().map(|(name, cursor)| decode(name, &cursor, environment)).collect();
    let modules = decoded.into_iter().collect::<Option<Vec<Module>>>()?;
    Some(modules.into_iter().map(|module| (module.name.clone(), Arc::new(module))).collect())
}

/// Decodes the options of one prober.
type Decode = fn(&Fields<'_>, &Environment) -> Option<Box<dyn Prober>>;

const PROBERS: [(&str, Decode); 7] = [
    ("http", http::decode),
    ("tcp", |fields, _| tcp::decode(fields)),
    ("icmp", |fields, _| icmp::decode(fields)),
    ("dns", |fields, _| dns::decode(fields)),
    ("grpc", |fields, _| grpc::decode(fields)),
    ("unix", |fields, _| unix::decode(fields)),
    ("websocket", |fields, _| websocket::decode(fields)),
];

fn decode(name: &str, cursor: &Cursor<'_>, environment: &Environment) -> Option<Module> {
    let fields = cursor.fields()?;
    let known: Vec<(&str, usize)> = PROBERS.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let chosen = fields.require("prober").and_then(|c| c.one_of(&known));
    let timeout = match fields.get("timeout") {
        Some(cursor) => duration(&cursor).map(Some),
        None => Some(None),
    };
    let mut prober = None;
    // Options of other probers are checked too: that exporter does, and a typing mistake is one wherever it stands.
    for (at, (key, decode)) in PROBERS.iter().enumerate() {
        let written = fields.get(key);
        let empty = Node { place: cursor.place().clone(), value: Value::Null, substituted: None };
        let is_chosen = chosen == Some(at);
        if written.is_none() && !is_chosen {
            continue;
        }
        let written = written.unwrap_or_else(|| cursor.with(&empty));
        let decoded = written.fields().and_then(|options| {
            let decoded = decode(&options, environment);
            options.end();
            decoded
        });
        if is_chosen {
            prober = decoded;
        }
    }
    fields.end();
    let timeout = timeout?.filter(|timeout| !timeout.is_zero());
    Some(Module { name: name.to_owned(), timeout, prober: prober?, shown: shown::yaml(cursor.node(), 0) })
}

#[cfg(test)]
mod tests {
    use kit::config::{Environment, Mistakes};

    use super::*;

    #[test]
    fn what_is_sent_is_in_neither_debug_nor_what_is_shown() {
        let text = "web: { prober: http, http: { body: a=pw1, basic_auth: { username: me, password: pw2 } } }\n\
                    talk: { prober: tcp, tcp: { query_response: [{ send: PASS pw3, expect: ^ok }] } }\n";
        let node = Node::parse("m.yml", text).unwrap();
        let mistakes = Mistakes::default();
        let modules = Modules::decode(&Cursor::top(&node, &mistakes), &Environment::default()).unwrap();
        let shown = format!("{modules:?} {}", modules.shown());
        assert!(!shown.contains("pw") && shown.contains("expect: \"^ok\""), "{shown}");
    }
}
