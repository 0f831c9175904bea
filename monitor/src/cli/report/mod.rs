//! `monitor report`: a status section for a document, and whether what documents say of services is true.

mod claims;
mod prose;
mod section;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use kit::cli::{complain, say};
use kit::exit;
use monitor::export::Status;

use super::client::{Daemon, report};
use super::edit;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a status section in Markdown, or checks that what documents say of services is true.
#[derive(Debug, clap::Args)]
pub(super) struct ReportCommand {
    #[command(flatten)]
    daemon: Daemon,
    /// Prints the section; this is what happens when nothing else is asked for.
    #[arg(long)]
    markdown: bool,
    /// Puts the section into a document: in place of the one it has, or else at its end.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Reads documents and tells every claim that is not true, with its line; exit code 1 if there is one.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["write", "markdown"])]
    check: Vec<PathBuf>,
}

pub(super) async fn run(command: &ReportCommand) -> ExitCode {
    let asked = command.daemon.ask::<Status>(Method::GET, "/api/v1/status", PATIENCE).await;
    let status = match asked {
        Ok((_, status)) => status,
        Err(error) => return report(error),
    };
    if !command.check.is_empty() {
        return check_all(&command.check, &status);
    }
    let section = section::of(&status, Timestamp::now());
    if command.markdown || command.write.is_none() {
        say(&section);
    }
    match command.write.as_ref().map(|file| write(file, &section)) {
        None | Some(Ok(())) => ExitCode::from(exit::YES),
        Some(Err(why)) => {
            complain(format_args!("monitor: {why}"));
            ExitCode::from(exit::USAGE)
        }
    }
}

fn write(file: &Path, section: &str) -> Result<(), String> {
    let document = edit::read(file)?;
    let changed = section::put(&document, section).map_err(|why| format!("{}: {why}", file.display()))?;
    edit::write(file, &changed)?;
    complain(format_args!("{}: the status section is as of now", file.display()));
    Ok(())
}

fn check_all(files: &[PathBuf], status: &Status) -> ExitCode {
    let mut code = exit::YES;
    for file in files {
        let document = match edit::read(file) {
            Ok(document) => document,
            Err(why) => {
                complain(format_args!("monitor: {why}"));
                return ExitCode::from(exit::USAGE);
            }
        };
        let checked = claims::check(&document, status);
        for wrong in &checked.wrong {
            say(format_args!("{}:{}: {}", file.display(), wrong.line, wrong.text));
            code = exit::NO;
        }
        if checked.claims == 0 {
            let file = file.display();
            complain(format_args!(
                "monitor: {file} says of no service how it stands; `monitor report --write {file}` adds a section that does"
            ));
            return ExitCode::from(exit::USAGE);
        }
        if checked.wrong.is_empty() {
            say(format_args!("{}: {} claims, all true", file.display(), checked.claims));
        }
    }
    ExitCode::from(code)
}
