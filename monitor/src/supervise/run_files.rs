//! The folder of one run: all that a keeper tells a monitor.
//!
//! `<data>/runs/<service>/<run id>/` holds `run.json`, `exit.json` once the run is over, and the log. Files only: a
//! monitor that starts later reads the same as the one that was there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::run_log;
use super::run_record::{ExitRecord, FORMAT_VERSION, RunRecord};

/// Runs kept per service: the last good one and a whole crash loop up to giving up.
pub const RUNS_KEPT: usize = 10;

const RUN: &str = "run.json";
const EXIT: &str = "exit.json";

/// Why a file of a run could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// It is not there: not written yet, or its writer died first.
    #[error("{0} is not there")]
    Missing(PathBuf),
    /// It is not whole, or not JSON of this format.
    #[error("{path} is torn")]
    Torn {
        /// The file.
        path: PathBuf,
        /// What the parser met.
        #[source]
        source: serde_json::Error,
    },
    /// A newer program wrote it.
    #[error("{path} has version {version}, this program reads up to {FORMAT_VERSION}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version it says it has.
        version: u32,
    },
    /// The name cannot be a folder of its own.
    #[error("service name {0:?} must be lower-case letters, digits and dashes")]
    ServiceName(String),
    /// The file system said no.
    #[error("{path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// The runs of one service on disk.
#[derive(Debug, Clone)]
pub struct Runs {
    folder: PathBuf,
}

impl Runs {
    /// Returns the runs of `service` under the data folder `data`; touches nothing.
    ///
    /// # Errors
    /// [`RunFileError::ServiceName`] when the name could lead out of the folder.
    pub fn of(data: &Path, service: &str) -> Result<Self, RunFileError> {
        // A replica has its number behind a dot; nothing leads out of the folder.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if service.is_empty() || service.starts_with('.') || !service.bytes().all(plain) {
            return Err(RunFileError::ServiceName(service.to_owned()));
        }
        Ok(Self { folder: data.join("runs").join(service) })
    }

    /// Makes the folder of a new run, for our eyes only.
    ///
    /// # Errors
    /// [`RunFileError::Io`].
    pub fn create(&self, run: Uuid) -> Result<RunFolder, RunFileError> {
        let path = self.folder.join(run.to_string());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| RunFileError::Io { path: path.clone(), source })?;
        Ok(RunFolder { path })
    }

    /// Names the folder of `run`, which need not exist.
    pub fn folder(&self, run: Uuid) -> RunFolder {
        RunFolder { path: self.folder.join(run.to_string()) }
    }

    /// Returns the runs, oldest first (a UUIDv7 begins with its time, RFC 9562 section 5.7).
    pub fn list(&self) -> Vec<(Uuid, RunFolder)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let run_of = |entry: fs::DirEntry| {
            let run = Uuid::parse_str(entry.file_name().to_str()?).ok()?;
            Some((run, RunFolder { path: entry.path() }))
        };
        let mut runs: Vec<(Uuid, RunFolder)> = entries.flatten().filter_map(run_of).collect();
        runs.sort_by_key(|(run, _)| *run);
        runs
    }

    /// Removes all but the last `keep` runs, and returns how many; a run that is still held stays.
    ///
    /// # Errors
    /// [`RunFileError::Io`] at the first folder that cannot be removed.
    pub fn prune(&self, keep: usize) -> Result<usize, RunFileError> {
        let runs = self.list();
        let surplus = runs.len().saturating_sub(keep);
        let mut removed = 0;
        for (_, folder) in runs.into_iter().take(surplus) {
            if folder.read_exit().is_err() && folder.read_run().is_ok_and(|record| record.is_held()) {
                continue;
            }
            let path = folder.path;
            fs::remove_dir_all(&path).map_err(|source| RunFileError::Io { path, source })?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// The folder of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Names an existing folder.
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// Every [`RunFileError`] but the one for names.
    pub fn read_run(&self) -> Result<RunRecord, RunFileError> {
        read(self.path.join(RUN))
    }

    /// Reads `exit.json`.
    ///
    /// # Errors
    /// As [`RunFolder::read_run`]; `Missing` means that the run is not over, or that its keeper was killed.
    pub fn read_exit(&self) -> Result<ExitRecord, RunFileError> {
        read(self.path.join(EXIT))
    }

    /// Writes `run.json`, whole or not at all.
    ///
    /// # Errors
    /// [`RunFileError::Io`].
    pub fn write_run(&self, record: &RunRecord) -> Result<(), RunFileError> {
        write(&self.path, RUN, record)
    }

    /// Writes `exit.json`, whole or not at all.
    ///
    /// # Errors
    /// [`RunFileError::Io`].
    pub fn write_exit(&self, record: &ExitRecord) -> Result<(), RunFileError> {
        write(&self.path, EXIT, record)
    }

    /// Returns the last lines of this run's output, see [`run_log::last_lines`].
    ///
    /// # Errors
    /// [`RunFileError::Io`].
    pub fn last_lines(&self, lines: usize, limit_bytes: u64) -> Result<Vec<String>, RunFileError> {
        let read = run_log::last_lines(&self.path, lines, limit_bytes);
        read.map_err(|source| RunFileError::Io { path: self.path.clone(), source })
    }
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn read<T: DeserializeOwned>(path: PathBuf) -> Result<T, RunFileError> {
    let text = match fs::read(&path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(RunFileError::Missing(path)),
        Err(source) => return Err(RunFileError::Io { path, source }),
        Ok(text) => text,
    };
    match serde_json::from_slice::<Version>(&text) {
        Ok(Version { version }) if version > FORMAT_VERSION => return Err(RunFileError::Newer { path, version }),
        _ => {}
    }
    serde_json::from_slice(&text).map_err(|source| RunFileError::Torn { path, source })
}

fn write(folder: &Path, name: &str, record: &impl Serialize) -> Result<(), RunFileError> {
    let path = folder.join(name);
    let text = serde_json::to_vec(record).map_err(io::Error::from);
    text.and_then(|text| kit::private_file::replace(&path, &text)).map_err(|source| RunFileError::Io { path, source })
}

#[cfg(test)]
#[path = "run_files_tests.rs"]
mod tests;
