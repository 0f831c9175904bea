//! Finds the files that a path means: one, or those of a folder whose names match.

use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kit::config::Cursor;
use regex::Regex;

use crate::probe::observation::{Outcome, ReasonCode};

/// Names of a folder that are read at most: a look has a deadline.
const MAX_NAMES: usize = 100_000;

/// A path whose last part may hold `*` and `?`.
#[derive(Debug)]
pub(super) struct Pattern {
    path: PathBuf,
    /// For the names in the folder above; none if the path is one file's.
    names: Option<Names>,
}

/// Names as a shell means them: those that begin with a dot are meant only by what begins with one.
#[derive(Debug)]
struct Names {
    regex: Regex,
    hidden: bool,
}

/// The newest match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) modified: SystemTime,
    pub(super) size: u64,
    /// How many there are.
    pub(super) count: usize,
}

impl Found {
    /// `1 match` or `2 matches`
    pub(super) fn matches(&self) -> String {
        if self.count == 1 { "1 match".to_owned() } else { format!("{} matches", self.count) }
    }
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gap {
    /// It is not there.
    Missing(String),
    /// We could not look.
    Blind(String),
}

impl Gap {
    /// What is not there is a fail, what we may not see is unknown.
    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Self::Missing(text) => Outcome::fail(ReasonCode::Limit, text),
            Self::Blind(text) => Outcome::local(text),
        }
    }
}

impl Pattern {
    /// Decodes `path`.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let path = PathBuf::from(cursor.text()?);
        let is_glob = |part: &Path| part.to_string_lossy().contains(['*', '?']);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            cursor.mistake(format!("{} is no path of a file; write one like /backup/*.dump", cursor.node().shown()));
            return None;
        };
        if is_glob(folder) {
            cursor
                .mistake("\"*\" and \"?\" may stand in the last part of the path alone; write a check for each folder");
            return None;
        }
        let names = is_glob(Path::new(name)).then(|| Names::parse(&name.to_string_lossy()));
        let names = match names {
            None => None,
            Some(Ok(names)) => Some(names),
            Some(Err(error)) => {
                cursor.mistake(format!("{} cannot be matched: {error}", cursor.node().shown()));
                return None;
            }
        };
        Some(Self { path, names })
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Looks. May block for as long as a file system hangs.
    pub(super) fn find(&self) -> Result<Found, Gap> {
        match &self.names {
            None => self.find_one(),
            Some(names) => self.find_among(names),
        }
    }

    fn find_one(&self) -> Result<Found, Gap> {
        let shown = self.path.display();
        let seen = fs::metadata(&self.path).map_err(|error| gap(&self.path, &error, "file"))?;
        if !seen.is_file() {
            return Err(Gap::Missing(format!("{shown} is {}, not a file", name_of(seen.file_type()))));
        }
        let modified = seen.modified().map_err(|error| gap(&self.path, &error, "file"))?;
        Ok(Found { path: self.path.clone(), modified, size: seen.len(), count: 1 })
    }

    fn find_among(&self, names: &Names) -> Result<Found, Gap> {
        // A name alone is one of the folder where we stand.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let entries = fs::read_dir(folder).map_err(|error| gap(folder, &error, "folder"))?;
        let (mut newest, mut count): (Option<Found>, usize) = (None, 0);
        for (place, entry) in entries.enumerate() {
            if place >= MAX_NAMES {
                let text =
                    format!("{} holds more than {MAX_NAMES} names; let old files go elsewhere", folder.display());
                return Err(Gap::Blind(text));
            }
            let entry = entry.map_err(|error| gap(folder, &error, "folder"))?;
            if !names.fit(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let path = entry.path();
            let seen = match fs::metadata(&path) {
                Ok(seen) => seen,
                // It went meanwhile, or is a link to nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(gap(&path, &error, "file")),
            };
            let Some(modified) = seen.modified().ok().filter(|_| seen.is_file()) else { continue };
            count += 1;
            if newest.as_ref().is_none_or(|newest| modified > newest.modified) {
                newest = Some(Found { path, modified, size: seen.len(), count: 0 });
            }
        }
        let found = newest.map(|newest| Found { count, ..newest });
        found.ok_or_else(|| Gap::Missing(format!("no file matches {}", self.path.display())))
    }
}

impl Names {
    fn parse(pattern: &str) -> Result<Self, regex::Error> {
        let part = |c: char| match c {
            '*' => ".*".to_owned(),
            '?' => ".".to_owned(),
            c => regex::escape(&c.to_string()),
        };
        let regex = Regex::new(&format!("^(?s:{})$", pattern.chars().map(part).collect::<String>()))?;
        Ok(Self { regex, hidden: pattern.starts_with('.') })
    }

    fn fit(&self, name: &str) -> bool {
        self.hidden == name.starts_with('.') && self.regex.is_match(name)
    }
}

fn gap(path: &Path, error: &io::Error, what: &str) -> Gap {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Gap::Missing(format!("there is no {what} {shown}")),
        io::ErrorKind::NotADirectory => Gap::Missing(format!("{shown} is not in a folder, but below a file")),
        io::ErrorKind::PermissionDenied => {
            let rights = if what == "folder" { "rx" } else { "x on each folder of it" };
            Gap::Blind(format!("we may not look at {shown}; give the monitor's user {rights}, as with setfacl"))
        }
        _ => Gap::Blind(format!("cannot look at {shown}: {error}")),
    }
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_are_those_of_a_shell() {
        for (pattern, name, fits) in [
            ("*.dump", "a.dump", true),
            ("*.dump", ".dump", false),
            ("*.dump", ".a.dump", false),
            (".*.dump", ".a.dump", true),
            ("a?c*", "abc", true),
            ("?b", "ab", true),
            ("?b", ".b", false),
            ("a+b*", "a+b.c", true),
            ("a+b*", "aab", false),
            ("*", "a\nb", true),
        ] {
            assert_eq!(Names::parse(pattern).unwrap().fit(name), fits, "{pattern} {name:?}");
        }
    }
}
