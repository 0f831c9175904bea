//! `monitor import`: turns another tool's configuration into ours, and says what has no equivalent.

mod alertmanager;
mod receivers;
mod secrets;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use kit::exit;

use super::output::{complain, say};
use super::yaml;

/// Writes an equivalent monitor.yml to standard output, and to standard error what has no equivalent.
#[derive(Debug, clap::Args)]
pub(super) struct ImportCommand {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// Routes, receivers and silences of an Alertmanager.
    Alertmanager {
        /// Its configuration, such as alertmanager.yml.
        file: PathBuf,
        /// Its silences, as `GET /api/v2/silences` answers: printed as commands.
        #[arg(long)]
        silences: Option<PathBuf>,
        /// Where secrets that stand in its configuration are written, each in a file of its own (0600).
        #[arg(long, default_value = "data/secrets/imported")]
        secrets: PathBuf,
    },
}

/// What was made of a configuration.
#[derive(Debug, Default)]
struct Imported {
    /// Our configuration.
    config: serde_json::Map<String, serde_json::Value>,
    /// What has no equivalent, one line each.
    left_out: Vec<String>,
}

pub(super) fn run(command: &ImportCommand) -> ExitCode {
    let Source::Alertmanager { file, silences, secrets } = &command.source;
    match alertmanager::import(file, secrets) {
        Ok(imported) => {
            say(yaml::write(&imported.config));
            let commands = silences.as_ref().map(|file| alertmanager::silences(file));
            match commands {
                Some(Ok(commands)) => commands.iter().for_each(|line| say(format_args!("# {line}"))),
                Some(Err(why)) => return fail(&why),
                None => {}
            }
            imported.left_out.iter().for_each(|line| complain(format_args!("left out: {line}")));
            ExitCode::from(exit::YES)
        }
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    complain(format_args!("monitor: {why}"));
    ExitCode::from(exit::CONFIG)
}
