//! Reads, layers, locates and reports configuration; what the keys mean is decided by the module that owns each section.

mod matrix;

use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use kit::config::{Cursor, Entry, Environment, Mistake, Mistakes, Node, Place, Source, Value, load_knowing, load_text};
use secrecy::{ExposeSecret, SecretString};

/// Prefix of overriding environment variables: `MONITOR_A__B` overrides the key `a.b`.
const PREFIX: &str = "MONITOR";

/// The key that lists files to be filled with secrets by `monitor up`.
pub(crate) const MAKE_SECRETS: &str = "make_secrets";

/// The top-level keys: `MONITOR_LISTEN` sets `listen`, while `MONITOR_URL` is another program's business.
const KEYS: [&str; 23] = [
    "listen",
    "data_dir",
    "operator_token",
    "operator_token_file",
    "hosts",
    "access",
    "anchors",
    "store",
    "defaults",
    "history",
    "channels",
    "routes",
    "windows",
    "hours_of_work",
    "public_url",
    "links",
    "drill",
    "dead_man",
    "services",
    "discover",
    "doctor",
    "blackbox",
    MAKE_SECRETS,
];

/// A configuration that was read but not yet checked.
#[derive(Debug)]
pub struct Config {
    root: Node,
    path: PathBuf,
    environment: Environment,
    found: Vec<Mistake>,
}

impl Config {
    /// Reads a file, or a folder of files, and the environment. What is wrong is kept until [`Config::decode`], so that
    /// all mistakes come at once.
    pub fn load(path: &Path, environment: &Environment) -> Self {
        Self::load_of(&Source { path, environment, prefix: PREFIX })
    }

    /// As [`Config::load`], for a program whose overriding variables begin with another prefix than `MONITOR`.
    pub fn load_of(source: &Source<'_>) -> Self {
        Self::read(source, load_knowing)
    }

    /// As [`Config::load_of`], of a text that the program itself holds: the source's path is only what messages call it.
    pub fn parse(text: &str, source: &Source<'_>) -> Self {
        Self::read(source, |source, keys, mistakes| load_text(text, source, keys, mistakes))
    }

    fn read(source: &Source<'_>, read: impl FnOnce(&Source<'_>, &[&str], &Mistakes) -> Node) -> Self {
        let mistakes = Mistakes::default();
        let root = matrix::expand(&read(source, &KEYS, &mistakes), &mistakes);
        let (path, environment) = (source.path.to_owned(), source.environment.clone());
        Self { root, path, environment, found: mistakes.into_sorted() }
    }

    /// Sets a top-level key that nothing else sets: what holds in this program where the configuration says nothing.
    #[must_use]
    pub fn or_set(mut self, key: &str, text: &str) -> Self {
        if let Value::Map(entries) = &mut self.root.value
            && !entries.iter().any(|entry| entry.key == key)
        {
            let place = Place::whole("built-in default");
            let node = Node { place: place.clone(), value: Value::Text(text.to_owned()), substituted: None };
            entries.push(Entry { key: key.to_owned(), key_place: place, node });
        }
        self
    }

    /// Returns the file or folder it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the variables it was read with.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Lets `decode` check the tree.
    ///
    /// # Errors
    /// Every mistake of reading and of checking, in file order.
    pub fn decode<T>(&self, decode: impl FnOnce(&Node, &Mistakes) -> Option<T>) -> Result<T, ConfigError> {
        let mistakes = Mistakes::default();
        for mistake in &self.found {
            mistakes.add(&mistake.place, &mistake.path, mistake.message.clone());
        }
        let decoded = decode(&self.root, &mistakes);
        let mistakes = mistakes.into_sorted();
        match decoded {
            Some(decoded) if mistakes.is_empty() => Ok(decoded),
            _ => Err(ConfigError { mistakes }),
        }
    }
}

/// Everything that is wrong in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In file order, never empty.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Checks the name of a service, a check or a channel: it stands in ids, paths, metrics and idempotency keys. At most 63
/// characters and no dash at an end, as in host names (RFC 1123 section 2.1).
pub(crate) fn check_name(cursor: &Cursor<'_>, what: &str, name: &str) {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(valid) || name.starts_with('-') || name.ends_with('-') {
        cursor.mistake(format!("{what} names are 1 to 63 lower-case letters, digits and dashes, not {name:?}"));
    }
}

/// Makes the files listed under `make_secrets:` that do not exist yet or are empty, each with 256 random bits in hexadecimal, readable
/// by their owner only. For `monitor up`: a first start on a new machine needs no set-up by hand.
///
/// # Errors
/// The file and why it could not be made.
pub fn make_secrets(path: &Path, environment: &Environment) -> Result<Vec<PathBuf>, (PathBuf, std::io::Error)> {
    // Mistakes are reported by the decoding that follows; here only what is readable counts.
    let root = load_knowing(&Source { path, environment, prefix: PREFIX }, &KEYS, &Mistakes::default());
    let listed = match root.child(MAKE_SECRETS).map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(Node::scalar_text).map(PathBuf::from).collect(),
        _ => Vec::new(),
    };
    let mut made = Vec::new();
    for file in listed {
        match make_secret(&file) {
            Ok(true) => made.push(file),
            Ok(false) => {}
            Err(error) => return Err((file, error)),
        }
    }
    Ok(made)
}

/// Returns whether the file was made. It appears under its name only when it is whole and on the disk.
fn make_secret(file: &Path) -> std::io::Result<bool> {
    let is_empty = match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => true,
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".secret-{}.tmp", HEXLOWER.encode(&rand::random::<[u8; 8]>())));
    let made = write_secret(&draft).and_then(|()| {
        if is_empty {
            return std::fs::rename(&draft, file).map(|()| true);
        }
        // Unlike a rename, a link never replaces what somebody else made meanwhile.
        match std::fs::hard_link(&draft, file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    });
    let _renamed_away = std::fs::remove_file(&draft);
    std::fs::File::open(folder)?.sync_all()?;
    made
}

fn write_secret(file: &Path) -> std::io::Result<()> {
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(out, "{}", fresh_token().expose_secret())?;
    out.sync_all()
}

/// Makes a token of 256 random bits in hexadecimal.
pub fn fresh_token() -> SecretString {
    HEXLOWER.encode(&rand::random::<[u8; 32]>()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_secret_is_made_once_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let (config, secret) = (folder.path().join("m.yml"), folder.path().join("secrets/key"));
        std::fs::write(&config, format!("make_secrets: [{}]\n", secret.display())).unwrap();
        let environment = Environment::default();
        assert_eq!(make_secrets(&config, &environment).unwrap(), std::slice::from_ref(&secret));
        let first = std::fs::read_to_string(&secret).unwrap();
        assert_eq!((first.len(), std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777), (65, 0o600));
        assert!(make_secrets(&config, &environment).unwrap().is_empty());
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), first);
    }

    #[test]
    fn an_empty_secret_is_filled_and_no_draft_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("key");
        std::fs::write(&secret, "").unwrap();
        assert!(make_secret(&secret).unwrap());
        assert!(!make_secret(&secret).unwrap());
        assert_eq!(std::fs::read_to_string(&secret).unwrap().trim().len(), 64);
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_starts_at_once_make_one_secret() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("key");
        let made = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| make_secret(&secret).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).filter(|made| *made).count()
        });
        assert_eq!(made, 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
