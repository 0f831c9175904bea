//! Examines what the configuration names: reads files where that may block, with a deadline, and lets the rules look.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::page::words::clip;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::compose::{self, Project, read_bounded};
use super::engine::{Seen, learn_from};
use super::examined::{Examined, Found, Looked, failed, unreadable};
use super::finding::{Finding, Sources, diagnose};
use super::footing::{self, Outcome};
use super::settings::DoctorSettings;
use super::{compose_rules, unit_rules, units};
use crate::supervise::{ImageEngine, redact};

/// Thousands of files are read and judged within one; a disk that takes longer does not answer.
const READ_PATIENCE: Duration = Duration::from_secs(20);
/// All images of a project; each has a deadline of its own too.
const IMAGES_PATIENCE: Duration = Duration::from_secs(600);
/// Of a line that is quoted, a message and a fix, at most, in characters.
const MAX_SOURCE: usize = 300;
const MAX_MESSAGE: usize = 1000;
const MAX_FIX: usize = 4000;
/// Files whose changes are watched, at most.
const MAX_WATCHED: usize = 5000;
/// What a compose file may use of our own environment: nothing secret, and nothing that only we are given.
const PASSED: [&str; 5] = ["HOME", "LANG", "PATH", "PWD", "USER"];

/// Examines again and again.
#[derive(Debug)]
pub struct Examiner {
    settings: Arc<DoctorSettings>,
    data_dir: PathBuf,
    /// One thread reads at a time: where a disk hangs, no second one is lost to it.
    reading: Arc<Semaphore>,
    seen: Seen,
    /// What the files were like when they were examined.
    mark: Option<[u8; 32]>,
}

impl Examiner {
    /// Examines nothing yet.
    pub fn new(settings: Arc<DoctorSettings>, data_dir: PathBuf) -> Self {
        Self { settings, data_dir, reading: Arc::new(Semaphore::new(1)), seen: Seen::default(), mark: None }
    }

    /// Examines as these settings say from now on.
    pub fn configure(&mut self, settings: Arc<DoctorSettings>) {
        self.settings = settings;
        self.mark = None;
    }

    /// Returns whether a file is another than when it was examined. Where that cannot be read, an examination says so.
    pub async fn has_changed(&self, before: &Examined) -> bool {
        let watched = self.watched(before);
        match self.read(move || mark(&watched)).await {
            Ok(mark) => self.mark != Some(mark),
            Err(_examined_then) => true,
        }
    }

    /// Examines everything.
    pub async fn examine(&mut self, before: &Examined) -> Examined {
        // Taken first: what changes while the rest is read is seen by the next look.
        let watched = self.watched(before);
        self.mark = self.read(move || mark(&watched)).await.ok();
        let settings = self.settings.clone();
        let mut looks = Vec::new();
        for files in &settings.projects {
            let name = names(files);
            let look = self.look_at_project(files, &name).await;
            looks.push((name, look));
        }
        if !settings.units.is_empty() {
            let name = names(&settings.units);
            let look = self.look_at_units(&name).await;
            looks.push((name, look));
        }
        if settings.own {
            looks.push(("self".to_owned(), self.look_at_self().await));
        }
        for (_, look) in &mut looks {
            self.tidy(look);
        }
        let examined = before.after(looks, jiff::Timestamp::now());
        // It met files that nobody had named, such as includes: what they were like when they were read is not known, so
        // the next look examines once more.
        if self.watched(&examined) != self.watched(before) {
            self.mark = None;
        }
        examined
    }

    async fn look_at_project(&mut self, files: &[PathBuf], name: &str) -> Result<Looked, Finding> {
        let request = compose::Request {
            files: files.to_vec(),
            env_files: self.settings.env_files.clone(),
            profiles: self.settings.profiles.clone(),
            environment: PASSED.iter().filter_map(|key| Some(((*key).to_owned(), std::env::var(key).ok()?))).collect(),
        };
        let read = self.read(move || compose::load(&request)).await.map_err(|why| failed(name, &why))?;
        let mut project = read.map_err(|words| unreadable(&words, name))?;
        if let Some(engine) = self.settings.engine.clone() {
            let learning = async {
                let engine = ImageEngine::open_at(&engine).await;
                learn_from(engine, &mut project, &mut self.seen, &|_image| {}).await;
            };
            if tokio::time::timeout(IMAGES_PATIENCE, learning).await.is_err() {
                let late = format!("images: not all were looked into within {} s", IMAGES_PATIENCE.as_secs());
                project.not_checked.push(late);
            }
        }
        let judge = move || {
            let findings = diagnose(&project, &compose_rules(), &project.sources);
            let Project { sources, not_checked, .. } = project;
            looked(findings, not_checked, &sources)
        };
        self.read(judge).await.map_err(|why| failed(name, &why))
    }

    async fn look_at_units(&self, name: &str) -> Result<Looked, Finding> {
        let request = units::Request { paths: self.settings.units.clone(), root: self.settings.root.clone() };
        let judge = move || {
            units::load(&request).map(|set| {
                let findings = diagnose(&set, &unit_rules(), &set.sources);
                looked(findings, set.not_checked.clone(), &set.sources)
            })
        };
        let read = self.read(judge).await.map_err(|why| failed(name, &why))?;
        read.map_err(|words| unreadable(&words, name))
    }

    async fn look_at_self(&self) -> Result<Looked, Finding> {
        let (data_dir, stands_on) = (self.data_dir.clone(), self.settings.stands_on);
        let runtime = tokio::runtime::Handle::current();
        let checked = self.read(move || runtime.block_on(footing::check_here(&data_dir, stands_on))).await;
        let mut looked = Looked::default();
        for footing in checked.map_err(|why| failed("self", &why))? {
            looked.findings.extend(footing.finding().map(|finding| found(finding, &Sources::new())));
            if let Outcome::Unknown(what) = footing.outcome {
                looked.not_checked.push(what);
            }
        }
        Ok(looked)
    }

    fn tidy(&self, look: &mut Result<Looked, Finding>) {
        match look {
            Ok(looked) => {
                looked.findings.retain(|found| !self.settings.ignore.contains(found.finding.rule));
                looked.not_checked.iter_mut().for_each(|what| *what = said(what, MAX_MESSAGE));
            }
            Err(failure) => failure.message = said(&failure.message, MAX_MESSAGE),
        }
    }

    /// Runs what may block on a thread of its own.
    async fn read<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let Ok(permit) = self.reading.clone().try_acquire_owned() else {
            return Err("the last attempt to read its files has not ended yet".to_owned());
        };
        let reading = tokio::task::spawn_blocking(move || {
            let _held_until_it_ends = permit;
            read()
        });
        match tokio::time::timeout(READ_PATIENCE, reading).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(format!("examining it broke: {error}")),
            Err(_elapsed) => Err(format!("its files were not read within {} s", READ_PATIENCE.as_secs())),
        }
    }

    /// Returns the files and folders whose changes are worth an examination.
    fn watched(&self, examined: &Examined) -> BTreeSet<PathBuf> {
        let settings = &self.settings;
        let beside = |files: &Vec<PathBuf>| files.first().map(|first| first.with_file_name(".env"));
        let named = settings.projects.iter().flatten().chain(&settings.units).chain(&settings.env_files).cloned();
        let read = examined.files().map(PathBuf::from);
        named.chain(settings.projects.iter().filter_map(beside)).chain(read).take(MAX_WATCHED).collect()
    }
}

fn names(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn looked(findings: Vec<Finding>, not_checked: Vec<String>, sources: &BTreeMap<String, String>) -> Looked {
    Looked {
        findings: findings.into_iter().map(|finding| found(finding, sources)).collect(),
        not_checked,
        files: sources.keys().cloned().collect(),
    }
}

/// What is shown to many must hold no secret that stands in a file.
fn found(finding: Finding, sources: &Sources) -> Found {
    let source = finding.quote(sources).map(|line| clip(&line, MAX_SOURCE));
    let mut finding = finding.without_secrets();
    finding.message = clip(&finding.message, MAX_MESSAGE);
    finding.fix = clip(&finding.fix, MAX_FIX);
    Found { finding, source, stale: false }
}

fn said(text: &str, limit: usize) -> String {
    clip(&redact(text), limit)
}

/// Returns a hash of what stands in these files, of folders with the names of what is in them.
fn mark(watched: &BTreeSet<PathBuf>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for path in watched {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(content(path));
    }
    hasher.finalize().into()
}

fn content(path: &Path) -> Vec<u8> {
    if let Ok(entries) = std::fs::read_dir(path) {
        let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        names.sort();
        return names
            .iter()
            .flat_map(|name| name.as_os_str().as_encoded_bytes().iter().chain(b"\0"))
            .copied()
            .collect();
    }
    // Why it cannot be read is part of it: rights that come back are a change.
    read_bounded(path).unwrap_or_else(|why| why).into_bytes()
}

#[cfg(test)]
#[path = "examiner_tests.rs"]
mod tests;
