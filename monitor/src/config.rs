//! Reads, layers, locates and reports configuration; what the keys mean is decided by the module that owns each section.

use std::fmt;
use std::path::{Path, PathBuf};

use kit::config::{Environment, Mistake, Mistakes, Node, Source, load};

/// Prefix of overriding environment variables: `MONITOR_A__B` overrides the key `a.b`.
const PREFIX: &str = "MONITOR";

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
