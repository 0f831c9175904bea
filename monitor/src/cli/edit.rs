//! Reads and replaces files of people: whole or not at all, with the rights they had.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another program may take that edits the same folder.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest document that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Keeps other commands like this one from a file's folder until it is dropped: of two that read it, the second would write
/// over what the first wrote.
///
/// # Errors
/// One sentence if the folder cannot be opened, or somebody holds it too long.
pub(super) fn hold(file: &Path) -> Result<File, String> {
    let folder = folder_of(file);
    let failed = |error: &dyn std::fmt::Display| format!("cannot lock {}: {error}", folder.display());
    let held = File::open(folder).map_err(|error| failed(&error))?;
    let until = Instant::now() + PATIENCE;
    while let Err(error) = held.try_lock() {
        if Instant::now() > until {
            return Err(failed(&error));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(held)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a file.
///
/// # Errors
/// One sentence that names it.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let size = fs::metadata(file).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if size > MAX_BYTES {
        return Err(format!("{shown} has {size} bytes, more than the {MAX_BYTES} that are read"));
    }
    fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))
}

/// Puts a text in place of a file, by a new file and a rename: a reader sees the old or the new one.
///
/// # Errors
/// One sentence that names the file.
pub(super) fn write(file: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", file.display());
    // A link stays one: what it leads to is replaced.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = folder_of(&file);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = write_new(&fresh, &file, text).and_then(|()| fs::rename(&fresh, &file));
    written.map_err(|error| {
        let _may_not_be_there = fs::remove_file(&fresh);
        failed(error)
    })
}

fn write_new(fresh: &Path, old: &Path, text: &str) -> std::io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).open(fresh)?;
    if let Ok(metadata) = fs::metadata(old) {
        let own = out.metadata()?;
        // A daemon that reads it as another user must still be able to.
        if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
            fchown(&out, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        out.set_permissions(metadata.permissions())?;
    }
    out.write_all(text.as_bytes())?;
    out.sync_all()
}
