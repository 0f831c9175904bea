//! `edit`: what a job is to hold instead, when it is redriven.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kit::cli::{AskError, at, say};
use kit::exit;
use serde_json::{Value, json};

use super::client::{Because, Daemon, in_path};
use super::letters::{held, in_a_line};

/// Edits what a letter's job is to hold when it is redriven: as another job, beside what it held.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  echo '[{\"op\": \"replace\", \"path\": \"/to\", \"value\": \"a@b.c\"}]' |\n    \
                        dlq-processor edit 5b0c… --patch - --reason 'the address was wrong'\n  \
                        dlq-processor redrive 5b0c… --reason 'the address was wrong'")]
pub(super) struct EditCommand {
    /// The letter's id.
    id: String,
    /// A file that holds a JSON Patch (RFC 6902), or - for standard input.
    #[arg(long, required_unless_present = "remove")]
    patch: Option<PathBuf>,
    /// Removes the edit: it is redriven as it was.
    #[arg(long, conflicts_with = "patch")]
    remove: bool,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &EditCommand) -> Result<ExitCode, AskError> {
    let EditCommand { id, patch, because, daemon, .. } = command;
    let (mut body, key) = because.settled();
    let word = match patch {
        Some(path) => {
            let patch = read(path).map_err(|why| AskError::Refused(format!("{}: {why}", path.display())))?;
            body.as_object_mut().map(|body| body.insert("patch".to_owned(), patch));
            "edit"
        }
        None => "unedit",
    };
    let mut answer = daemon.post(&format!("/api/v1/letters/{}/{word}", in_path(id)?), &body, &key).await?;
    answer.as_object_mut().map(|answer| answer.insert("key".to_owned(), json!(key)));
    if !daemon.is_for_people() {
        daemon.show(&answer, || ());
        return Ok(ExitCode::from(exit::YES));
    }
    let whole = daemon.get(&format!("/api/v1/letters/{id}")).await?;
    say(in_a_line(&answer));
    held(at(&whole, "data"), at(&whole, "edit"));
    say(format_args!("key: {key}"));
    Ok(ExitCode::from(exit::YES))
}

fn read(path: &Path) -> Result<Value, String> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(drop),
        _ => std::fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("it is not JSON: {error}"))
}
