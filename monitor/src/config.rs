//! Reads, layers, locates and reports configuration; what the keys mean is decided by the module that owns each section.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kit::config::{Environment, Mistake, Mistakes, Node, Source, Value, load};

/// Prefix of overriding environment variables: `MONITOR_A__B` overrides the key `a.b`.
const PREFIX: &str = "MONITOR";

/// The key that lists files to be filled with secrets by `monitor up`.
pub(crate) const MAKE_SECRETS: &str = "make_secrets";

/// A configuration that was read but not yet checked.
#[derive(Debug)]
pub struct Config {
    root: Node,
    path: PathBuf,
    found: Vec<Mistake>,
}

impl Config {
    /// Reads a file, or a folder of files, and the environment. What is wrong is kept until [`Config::decode`], so that
    /// all mistakes come at once.
    pub fn load(path: &Path, environment: &Environment) -> Self {
        let mistakes = Mistakes::default();
        let root = load(&Source { path, environment, prefix: PREFIX }, &mistakes);
        Self { root, path: path.to_owned(), found: mistakes.into_sorted() }
    }

    /// Returns the file or folder it was read from.
    pub fn path(&self) -> &Path {
        &self.path
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

/// Makes the files listed under `make_secrets:` that do not exist yet, each with 256 random bits in hexadecimal, readable
/// by their owner only. For `monitor up`: a first start on a new machine needs no set-up by hand.
///
/// # Errors
/// The file and why it could not be made.
pub fn make_secrets(path: &Path, environment: &Environment) -> Result<Vec<PathBuf>, (PathBuf, std::io::Error)> {
    // Mistakes are reported by the decoding that follows; here only what is readable counts.
    let root = load(&Source { path, environment, prefix: PREFIX }, &Mistakes::default());
    let listed = match root.child(MAKE_SECRETS).map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(Node::scalar_text).map(PathBuf::from).collect(),
        _ => Vec::new(),
    };
    let mut made = Vec::new();
    for file in listed {
        match make_secret(&file) {
            Ok(()) => made.push(file),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err((file, error)),
        }
    }
    Ok(made)
}

fn make_secret(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let secret: [u8; 32] = rand::random();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "{hex}")?;
    out.sync_all()
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
        assert_eq!(make_secrets(&config, &environment).unwrap(), [secret.clone()]);
        let first = std::fs::read_to_string(&secret).unwrap();
        assert_eq!((first.len(), std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777), (65, 0o600));
        assert!(make_secrets(&config, &environment).unwrap().is_empty());
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), first);
    }
}
