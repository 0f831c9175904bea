//! `monitor add`: asks a target once, and writes a check of it into the configuration.

mod insert;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use kit::cli::{complain, say};
use kit::config::{Environment, Node};
use kit::exit;
use monitor::app::Plan;
use monitor::probe::{Question, Vantage, Why, observe};
use monitor::{Config, Kinds};
use serde_json::{Map, Value as Json, json};

use super::edit;
use super::probe::show;
use super::scratch::Scratch;

/// Asks a target once, and writes a check of it into the configuration; a running monitor takes it up by itself.
#[derive(Debug, clap::Args)]
pub(super) struct AddCommand {
    /// What it will be called: `service/check`. The service may be there already.
    name: String,
    /// What it asks, as for `monitor probe`: https://example.com/health, redis://cache, ping://10.0.0.1 …
    url: String,
    /// A setting of the check: every=30s, expect.status=200, http.method=POST. Values are YAML.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The file, or the folder of files, that is added to; it may be new.
    #[arg(long, env = "MONITOR_CONFIG", default_value = "monitor.yml")]
    config: PathBuf,
    /// Writes it without asking the target first.
    #[arg(long)]
    no_probe: bool,
    /// Shows the file as it would be, and writes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Why nothing was added: the exit code and what to say.
type Refusal = (u8, String);

pub(super) async fn run(command: &AddCommand) -> ExitCode {
    match add(command).await {
        Ok(()) => ExitCode::from(exit::YES),
        Err((code, message)) => {
            complain(format_args!("monitor: {message}"));
            ExitCode::from(code)
        }
    }
}

async fn add(command: &AddCommand) -> Result<(), Refusal> {
    let usage = |message: String| (exit::USAGE, message);
    let (service, check) = command
        .name
        .split_once('/')
        .ok_or_else(|| usage(format!("{:?} is not service/check; write it like shop/page", command.name)))?;
    let settings = settings(command).map_err(usage)?;
    let file = file_for(&command.config, service).map_err(usage)?;
    let shown = file.display();
    if !command.no_probe {
        let (_, question) = prepare(command, &file, (service, check), &settings)?;
        let vantage = Vantage::of_system()
            .map_err(|error| (exit::SYSTEM, format!("cannot read the resolver configuration: {error}")))?;
        let observation = observe(Arc::new(vantage), &question, Why::Asked, true).await;
        say(show(&question, &observation).trim_end());
    }
    // The file is read again: it may have changed while the target was asked.
    let _held = edit::hold(&file).map_err(|message| (exit::SYSTEM, message))?;
    let (changed, _) = prepare(command, &file, (service, check), &settings)?;
    if command.dry_run {
        say(changed.trim_end());
        return Ok(());
    }
    edit::write(&file, &changed).map_err(|message| (exit::SYSTEM, message))?;
    say(format_args!("added {} to {shown}", command.name));
    Ok(())
}

/// Returns the file as it would be, and the new check's question.
fn prepare(
    command: &AddCommand,
    file: &Path,
    (service, check): (&str, &str),
    settings: &Json,
) -> Result<(String, Question), Refusal> {
    let text = if file.exists() { edit::read(file).map_err(|message| (exit::USAGE, message))? } else { String::new() };
    let wrong = |message: String| (exit::CONFIG, message);
    let root = Node::parse(&file.display().to_string(), &text)
        .map_err(|(place, message)| wrong(format!("{place}: {message}")))?;
    let changed = insert::check(&text, &root, service, check, settings).map_err(wrong)?;
    let question = compare(command, file, &changed).map_err(wrong)?;
    Ok((changed, question))
}

/// The check as it is written: its kind by the URL, and what `--set` says.
fn settings(command: &AddCommand) -> Result<Json, String> {
    let (kind, settings) = Kinds::standard().by_url(&command.url)?;
    let mut check = Map::new();
    check.insert(kind.to_owned(), settings.into());
    for setting in &command.settings {
        let (path, value) = setting
            .split_once('=')
            .filter(|(path, _)| path.split('.').all(|key| !key.is_empty()))
            .ok_or_else(|| format!("{setting:?} is no setting; write it like every=30s or expect.status=200"))?;
        let value = Node::parse("--set", value).map_err(|(_, message)| format!("{setting:?}: {message}"))?.to_json();
        set(&mut check, path, value).map_err(|key| format!("{setting:?}: {key:?} is no mapping"))?;
    }
    Ok(check.into())
}

/// Sets what stands at a dotted path.
fn set<'a>(map: &mut Map<String, Json>, path: &'a str, value: Json) -> Result<(), &'a str> {
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value);
            Ok(())
        }
        Some((key, rest)) => {
            let inner = map.entry(key).or_insert_with(|| json!({})).as_object_mut();
            set(inner.ok_or(key)?, rest, value)
        }
    }
}

/// Returns the file of a folder that names the service, or a new one of its name; a file is itself.
fn file_for(config: &Path, service: &str) -> Result<PathBuf, String> {
    if !config.is_dir() {
        return Ok(config.to_owned());
    }
    for file in files(config)? {
        let text = edit::read(&file)?;
        let root = Node::parse(&file.display().to_string(), &text).map_err(|(place, why)| format!("{place}: {why}"))?;
        if root.child("services").and_then(|services| services.child(service)).is_some() {
            return Ok(file);
        }
    }
    Ok(config.join(format!("{service}.yml")))
}

/// What a folder's configuration is read from.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    Ok(paths.into_iter().filter(is_yaml).collect())
}

/// Reads the configuration as it is and as it would be; returns the new check's question if that is all that changes.
fn compare(command: &AddCommand, file: &Path, changed: &str) -> Result<Question, String> {
    let environment = Environment::of_process();
    let plan = |path: &Path| Plan::of(&Config::load(path, &environment), &Kinds::standard());
    let before = match file.exists() || command.config.is_dir() {
        true => plan(&command.config).map_err(|error| error.to_string())?.checks().map(id).collect(),
        false => BTreeSet::new(),
    };
    let folder = command.config.is_dir().then_some(command.config.as_path());
    let trial = Trial::new(folder, file, changed)?;
    let after = plan(trial.path()).map_err(|error| trial.shown(&error.to_string(), command))?;
    let mut expected = before;
    expected.insert(command.name.clone());
    if after.checks().map(id).collect::<BTreeSet<_>>() != expected {
        return Err(format!(
            "{} is written in a way that this command cannot add to; add the check by hand (--dry-run --no-probe with a new \
             --config shows it)",
            file.display()
        ));
    }
    let added = after.checks().find(|check| id(check) == command.name);
    added.map(|check| check.question.clone()).ok_or_else(|| format!("{} is not there", command.name))
}

fn id(check: &monitor::app::CheckPlan) -> String {
    check.question.id.to_string()
}

/// A copy of the configuration with the change, which is read and thrown away.
struct Trial {
    path: PathBuf,
    _scratch: Scratch,
}

impl Trial {
    fn new(folder: Option<&Path>, file: &Path, changed: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot try the change: {error}");
        let scratch = Scratch::new().map_err(failed)?;
        let name = |path: &Path| scratch.file(path.file_name().unwrap_or_default());
        for other in folder.map(files).transpose()?.unwrap_or_default() {
            std::fs::copy(&other, name(&other)).map_err(failed)?;
        }
        std::fs::write(name(file), changed).map_err(failed)?;
        let path = if folder.is_some() { scratch.folder().to_owned() } else { name(file) };
        Ok(Self { path, _scratch: scratch })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// A message about the copy, as one about the original.
    fn shown(&self, message: &str, command: &AddCommand) -> String {
        message.replace(&*self.path.to_string_lossy(), &command.config.to_string_lossy())
    }
}
