//! Reads unit files and folders of them: sections, continued lines, drop-ins, resets by an empty value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kit::config::Place;

use crate::doctor::compose::read_bounded;

/// More units than any host has.
const MAX_UNITS: usize = 4096;
/// What is read of a folder.
const KINDS: [&str; 6] = ["service", "timer", "socket", "target", "path", "mount"];

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Unit files, and folders of them.
    pub paths: Vec<PathBuf>,
    /// Where programs are looked for; without it they are not.
    pub root: Option<PathBuf>,
}

/// One `Key=value` line.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its section, without brackets.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value; continued lines are joined.
    pub value: String,
    /// Where it stands.
    pub place: Place,
}

/// A unit with its drop-ins.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name with its suffix.
    pub name: String,
    /// Its file.
    pub place: Place,
    /// What is set, in order.
    pub settings: Vec<Setting>,
}

impl Unit {
    /// Returns what a key is set to: the last counts.
    pub fn setting(&self, section: &str, key: &str) -> Option<&Setting> {
        self.all(section, key).into_iter().next_back()
    }

    /// Returns the text of a setting, empty if it is not set.
    pub fn text(&self, section: &str, key: &str) -> &str {
        self.setting(section, key).map_or("", |setting| setting.value.as_str())
    }

    /// Returns every value of a key since the last reset by an empty one.
    pub fn all(&self, section: &str, key: &str) -> Vec<&Setting> {
        let mut found = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.section == section && setting.key == key) {
            if setting.value.is_empty() {
                found.clear();
            } else {
                found.push(setting);
            }
        }
        found
    }

    /// Returns the words of every value of a key, such as the units of `After=`.
    pub fn words(&self, section: &str, key: &str) -> Vec<(&str, &Place)> {
        let all = self.all(section, key);
        all.into_iter()
            .flat_map(|setting| setting.value.split_whitespace().map(|word| (word, &setting.place)))
            .collect()
    }

    /// Returns where a section begins to be set, or the file.
    pub fn section_place(&self, section: &str) -> &Place {
        self.settings.iter().find(|setting| setting.section == section).map_or(&self.place, |setting| &setting.place)
    }

    /// Returns true if it is a service that stays.
    pub fn is_daemon(&self) -> bool {
        self.name.ends_with(".service") && self.text("Service", "Type") != "oneshot"
    }
}

/// All units that were read.
#[derive(Debug, Clone, Default)]
pub struct UnitSet {
    /// The units, by name.
    pub units: Vec<Unit>,
    /// Text of the files, by their names.
    pub sources: BTreeMap<String, String>,
    /// Programs named with a whole path that are not under the root.
    pub missing_programs: Vec<String>,
    /// What could not be looked into.
    pub not_checked: Vec<String>,
}

impl UnitSet {
    /// Returns a unit by its name.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.name == name)
    }
}

/// Reads units.
///
/// # Errors
/// The first file that cannot be read or parsed, with its line.
pub fn load(request: &Request) -> Result<UnitSet, String> {
    let mut set = UnitSet::default();
    for path in &request.paths {
        for file in files_of(path)? {
            if set.units.len() >= MAX_UNITS {
                set.not_checked.push(format!("{}: more than {MAX_UNITS} units; name fewer", path.display()));
                break;
            }
            let unit = read_unit(&file, &mut set.sources)?;
            set.units.push(unit);
        }
    }
    if let Some(root) = &request.root {
        set.missing_programs = missing_programs(&set, root);
    }
    Ok(set)
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries =
        std::fs::read_dir(path).map_err(|error| format!("{}: cannot read this folder: {error}", path.display()))?;
    let is_unit = |file: &PathBuf| {
        let kind = file.extension().map(|kind| kind.to_string_lossy().into_owned()).unwrap_or_default();
        file.is_file() && KINDS.contains(&kind.as_str())
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_unit).collect();
    files.sort();
    Ok(files)
}

fn read_unit(file: &Path, sources: &mut BTreeMap<String, String>) -> Result<Unit, String> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let shown = file.display().to_string();
    let mut unit =
        Unit { name: name.clone(), place: Place { file: shown.into(), line: 1, column: 1 }, settings: Vec::new() };
    let mut files = vec![file.to_owned()];
    if let Ok(entries) = std::fs::read_dir(file.with_file_name(format!("{name}.d"))) {
        let mut over: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        over.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        over.sort();
        files.extend(over);
    }
    for file in files {
        let text = read_bounded(&file)?;
        let shown = file.display().to_string();
        unit.settings.extend(parse(&shown, &text)?);
        sources.insert(shown, text);
    }
    Ok(unit)
}

fn parse(file: &str, text: &str) -> Result<Vec<Setting>, String> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut section = String::new();
    let mut is_continued = false;
    for (line, text) in (1..).zip(text.lines()) {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            // Comments within a continued line are left out, and it goes on behind them.
            is_continued &= !trimmed.is_empty();
            continue;
        }
        let (own, continues) = trimmed.strip_suffix('\\').map_or((trimmed, false), |own| (own.trim_end(), true));
        if is_continued && let Some(last) = settings.last_mut() {
            last.value = format!("{} {own}", last.value);
        } else if let Some(name) = own.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else {
            let (key, value) = own
                .split_once('=')
                .ok_or_else(|| format!("{file}:{line}:1: {own:?} is neither a [Section] nor Key=value"))?;
            let place = Place { file: file.into(), line, column: 1 };
            settings.push(Setting {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                place,
            });
        }
        is_continued = continues;
    }
    Ok(settings)
}

/// Returns the program of a command line without the signs before it (systemd.service(5), table 1).
pub(in crate::doctor) fn program_of(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default().trim_start_matches(['-', '@', ':', '+', '!', '|'])
}

fn missing_programs(set: &UnitSet, root: &Path) -> Vec<String> {
    let commands = set.units.iter().flat_map(|unit| unit.all("Service", "ExecStart"));
    let programs = commands
        .map(|setting| program_of(&setting.value))
        .filter(|program| program.starts_with('/') && !program.contains('%'));
    programs.filter(|program| !root.join(program.trim_start_matches('/')).exists()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_continued_lines_and_resets_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.service");
        std::fs::write(
            &file,
            "# x\n[Service]\nExecStart=/bin/a \\\n  # between\n  --b\nEnvironment=A=1\nEnvironment=B=2\n",
        )
        .unwrap();
        std::fs::create_dir(folder.path().join("a.service.d")).unwrap();
        std::fs::write(
            folder.path().join("a.service.d/10.conf"),
            "[Service]\nEnvironment=\nEnvironment=C=3\nRestart=always\n",
        )
        .unwrap();
        let set = load(&Request { paths: vec![folder.path().to_owned()], root: None }).unwrap();
        let unit = set.unit("a.service").unwrap();
        assert_eq!(unit.text("Service", "ExecStart"), "/bin/a --b");
        let words: Vec<&str> = unit.words("Service", "Environment").into_iter().map(|(word, _)| word).collect();
        assert_eq!(words, ["C=3"]);
        let restart = unit.setting("Service", "Restart").unwrap();
        assert!(restart.place.to_string().ends_with("a.service.d/10.conf:4:1"), "{}", restart.place);
    }

    #[test]
    fn what_is_no_unit_is_named_with_its_line() {
        assert_eq!(
            parse("a.service", "[Service]\nRestart always\n").unwrap_err(),
            "a.service:2:1: \"Restart always\" is neither a [Section] nor Key=value"
        );
    }

    #[test]
    fn programs_are_looked_for_under_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.service");
        std::fs::write(&file, "[Service]\nExecStart=-/no/such --x\n").unwrap();
        let request = Request { paths: vec![file], root: Some(folder.path().to_owned()) };
        assert_eq!(load(&request).unwrap().missing_programs, ["/no/such"]);
    }
}
