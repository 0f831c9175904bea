//! Secrets that stand in another tool's configuration are moved into files of their own.

use std::cell::RefCell;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Where they go.
pub(super) struct Secrets<'a> {
    folder: &'a Path,
    /// The first secret that could not be kept, and why.
    failure: RefCell<Option<String>>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, failure: RefCell::new(None) }
    }

    /// Writes a secret into the file `name`; returns its path. A file that is there already is left as it is, if it says
    /// the same.
    ///
    /// # Errors
    /// One sentence without the secret.
    pub(super) fn keep(&self, name: &str, secret: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        let failed = |error: std::io::Error| format!("cannot write the secret file {}: {error}", path.display());
        if let Ok(known) = std::fs::read_to_string(&path) {
            let is_same = known.trim() == secret.trim();
            return if is_same {
                Ok(path)
            } else {
                Err(format!("{} holds another secret; move it away", path.display()))
            };
        }
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder).map_err(failed)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        writeln!(file, "{}", secret.trim()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(path)
    }

    /// Puts a secret under `key`: as `key_file` and its file, or as it stands if it is written with a variable.
    ///
    /// # Errors
    /// As [`Secrets::keep`].
    pub(super) fn put(&self, into: &mut Map<String, Value>, key: &str, name: &str, secret: &str) -> Result<(), String> {
        let key = if has_variable(secret) { key.to_owned() } else { format!("{key}_file") };
        into.insert(key, self.place(name, secret)?.into());
        Ok(())
    }

    /// Returns the file that a secret was moved into, or the variable that holds it.
    ///
    /// # Errors
    /// As [`Secrets::keep`].
    pub(super) fn place(&self, name: &str, secret: &str) -> Result<String, String> {
        if has_variable(secret) {
            return Ok(secret.to_owned());
        }
        // In the file it is what it was; only in ours a `${` that is a text is written so.
        let kept = self.keep(name, &secret.replace("$${", "${"));
        if let Err(why) = &kept {
            self.failure.borrow_mut().get_or_insert_with(|| why.clone());
        }
        Ok(kept?.display().to_string())
    }

    /// Returns why an import has to be refused as a whole: a secret could not be kept.
    ///
    /// # Errors
    /// That one.
    pub(super) fn all_kept(&self) -> Result<(), String> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }
}

/// Writes every `${`, which is a text where there are no variables, as ours has such.
pub(super) fn without_variables(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("${") => *text = text.replace("${", "$${"),
        Value::Array(items) => items.iter_mut().for_each(without_variables),
        Value::Object(map) => map.values_mut().for_each(without_variables),
        _ => {}
    }
}

/// True of `${NAME}` as ours has it, and not of `$${`, which is a text.
pub(super) fn has_variable(text: &str) -> bool {
    text.replace("$${", "").contains("${")
}

/// True of names whose values are secret: of headers, of parameters and of what stands in bodies.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["passw", "secret", "token", "credential", "auth", "cookie", "session", "signature"]
        .iter()
        .any(|word| name.contains(word))
        || name.ends_with("key")
        || name == "pwd"
        || name == "sig"
}
