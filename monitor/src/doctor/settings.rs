//! Reads `doctor:`: what a running monitor examines by itself, and how often.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kit::config::{Cursor, Fields, Value, suggest};

use super::footing::StandsOn;
use super::{can_be_ignored, texts};
use crate::supervise::EngineAddress;

/// Files that are named, at most: a generator gone wrong, not a host.
const MAX_FILES: usize = 64;

/// What a running monitor examines by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorSettings {
    /// Compose projects, each with its files, the later laid over the earlier.
    pub projects: Vec<Vec<PathBuf>>,
    /// Profiles of theirs that are active, `*` for all.
    pub profiles: Vec<String>,
    /// Files of variables, instead of the `.env` beside a project's first file.
    pub env_files: Vec<PathBuf>,
    /// The engine whose images are looked into; without it nothing is asked of anybody.
    pub engine: Option<EngineAddress>,
    /// Unit files, and folders of them.
    pub units: Vec<PathBuf>,
    /// Where programs of the units are looked for; without it they are not.
    pub root: Option<PathBuf>,
    /// Whether the monitor looks at what it stands on itself. Default true: it costs a few system calls.
    pub own: bool,
    /// What that is, for the rest of the configuration decides it.
    pub stands_on: StandsOn,
    /// How often everything is examined. Default 1 h: what changes a file is seen sooner, see [`DoctorSettings::look_every`].
    pub every: Duration,
    /// Rules that are left out.
    pub ignore: BTreeSet<&'static str>,
    /// Whether errors are a ticket. Default true.
    pub ticket: bool,
}

impl DoctorSettings {
    /// Images and the footing change without a file of ours; an hour is soon enough for what no incident tells.
    pub const EVERY: Duration = Duration::from_secs(3600);
    /// Files are read this often to see whether they changed: whoever mends one looks at the page within the minute.
    const LOOK_EVERY: Duration = Duration::from_secs(30);

    /// Returns how often files are looked at for changes.
    pub fn look_every(&self) -> Duration {
        self.every.min(Self::LOOK_EVERY)
    }
}

impl Default for DoctorSettings {
    fn default() -> Self {
        Self {
            projects: Vec::new(),
            profiles: Vec::new(),
            env_files: Vec::new(),
            engine: None,
            units: Vec::new(),
            root: None,
            own: true,
            stands_on: StandsOn::default(),
            every: Self::EVERY,
            ignore: BTreeSet::new(),
            ticket: true,
        }
    }
}

/// Checks `doctor:`; reports every mistake through the cursor.
pub fn decode_doctor(cursor: Option<Cursor<'_>>, stands_on: StandsOn) -> DoctorSettings {
    let standard = DoctorSettings { stands_on, ..DoctorSettings::default() };
    let Some(fields) = cursor.and_then(|c| c.fields()) else { return standard };
    let texts = |key| fields.get(key).map(|c: Cursor<'_>| c.texts()).unwrap_or_default();
    let flag = |key, default| fields.get(key).and_then(|c: Cursor<'_>| c.bool()).unwrap_or(default);
    let (second, week) = (Duration::from_secs(1), Duration::from_secs(7 * 86_400));
    let settings = DoctorSettings {
        projects: fields.get("compose").map(|c| projects(&c)).unwrap_or_default(),
        profiles: texts("profiles"),
        env_files: files(fields.get("env_files")),
        engine: EngineAddress::decode(&fields).filter(|_| fields.has("engine")),
        units: files(fields.get("units")),
        root: fields.get("root").and_then(|c| c.text()).map(PathBuf::from),
        own: flag("self", standard.own),
        stands_on,
        every: fields.get("every").and_then(|c| c.duration(second..=week)).unwrap_or(standard.every),
        ignore: fields.get("ignore").map(|c| ignored(&c)).unwrap_or_default(),
        ticket: flag("ticket", standard.ticket),
    };
    for key in ["profiles", "env_files", "engine"] {
        refuse_alone(&fields, key, "compose", "[docker-compose.yml]");
    }
    refuse_alone(&fields, "root", "units", "[/etc/systemd/system/app.service]");
    fields.end();
    settings
}

/// A key that says how to read files says nothing without files.
fn refuse_alone(fields: &Fields<'_>, key: &'static str, of: &'static str, example: &str) {
    if let Some(alone) = fields.get(key).filter(|_| fields.get(of).is_none()) {
        alone.mistake(format!("nothing is read with this; write \"{of}: {example}\" too"));
    }
}

/// A plain list is one project, as with `docker compose --file`; a list within the list is a project of its own.
fn projects(cursor: &Cursor<'_>) -> Vec<Vec<PathBuf>> {
    let (mut whole, mut own) = (Vec::new(), Vec::new());
    for item in cursor.items() {
        match item.node().value {
            Value::List(_) => own.push(files(Some(item))),
            _ => whole.extend(file(&item)),
        }
    }
    if !whole.is_empty() {
        own.insert(0, whole);
    }
    let count: usize = own.iter().map(Vec::len).sum();
    if count > MAX_FILES {
        cursor.mistake(format!("{count} files, more than {MAX_FILES}"));
    }
    own.retain(|files| !files.is_empty());
    own
}

fn files(cursor: Option<Cursor<'_>>) -> Vec<PathBuf> {
    let Some(cursor) = cursor else { return Vec::new() };
    let items = cursor.items();
    if items.len() > MAX_FILES {
        cursor.mistake(format!("{} files, more than {MAX_FILES}; name a folder of them", items.len()));
    }
    items.iter().filter_map(file).collect()
}

fn file(cursor: &Cursor<'_>) -> Option<PathBuf> {
    let path = cursor.text()?;
    if path.trim().is_empty() {
        cursor.mistake("no file is named here; write its path, like /srv/app/docker-compose.yml");
        return None;
    }
    Some(path.into())
}

fn ignored(cursor: &Cursor<'_>) -> BTreeSet<&'static str> {
    let known: Vec<&'static str> = texts().iter().map(|text| text.id).filter(|id| can_be_ignored(id)).collect();
    let mut found = BTreeSet::new();
    for item in cursor.items() {
        let Some(name) = item.text() else { continue };
        match known.iter().find(|known| **known == name) {
            Some(known) => {
                found.insert(*known);
            }
            None if texts().iter().any(|text| text.id == name) => {
                item.mistake(format!("{name:?} cannot be ignored: it says that something was not examined"));
            }
            None => {
                let near = suggest(&name, known.iter().copied());
                item.mistake(format!("{name:?} is no rule; `monitor doctor rules` lists them{near}"));
            }
        }
    }
    found
}
