//! `monitor import`: turns another tool's configuration into ours, and says what has no equivalent.

mod alertmanager;
mod blackbox;
mod cel;
mod channels;
mod gatus;
mod keys;
mod kuma;
mod names;
mod receivers;
mod request;
mod routes;
mod secrets;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use kit::cli::{complain, say};
use kit::config::{parse_duration, show_duration};
use kit::exit;

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
    /// Scrape jobs of a Prometheus that ask blackbox_exporter, as checks. To keep them, see the section `blackbox`.
    Blackbox {
        /// Its configuration, such as prometheus.yml.
        file: PathBuf,
        /// The modules of blackbox_exporter.
        #[arg(long, default_value = "/etc/prometheus/blackbox.yml")]
        modules: PathBuf,
        /// Where secrets that stand in them are written, each in a file of its own (0600).
        #[arg(long, default_value = "data/secrets/imported")]
        secrets: PathBuf,
    },
    /// Endpoints, suites and alerting of a Gatus, as services and channels. What is stricter here is said.
    Gatus {
        /// Its configuration: config.yaml, or the folder of its files.
        file: PathBuf,
        /// Where secrets that stand in its configuration are written, each in a file of its own (0600).
        #[arg(long, default_value = "data/secrets/imported")]
        secrets: PathBuf,
    },
    /// Monitors and notifications of an Uptime Kuma, as services and channels. It may go on running.
    Kuma {
        /// Its database (kuma.db), or a backup of version 1 (JSON).
        file: PathBuf,
        /// Where secrets that stand in it are written, each in a file of its own (0600).
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
    /// What means something else here, one line each.
    changed: Vec<String>,
}

/// A duration as it is written in a configuration: as people write it, if that says all of it.
fn written_duration(length: Duration) -> String {
    let shown = show_duration(length);
    if parse_duration(&shown) == Ok(length) { shown } else { format!("{}ms", length.as_millis()) }
}

pub(super) async fn run(command: &ImportCommand) -> ExitCode {
    let imported = match &command.source {
        Source::Alertmanager { file, secrets, .. } => alertmanager::import(file, secrets),
        Source::Blackbox { file, modules, secrets } => blackbox::import(file, modules, secrets),
        Source::Gatus { file, secrets } => gatus::import(file, secrets),
        Source::Kuma { file, secrets } => kuma::import(file, secrets).await,
    };
    let imported = match imported {
        Ok(imported) => imported,
        Err(why) => return fail(&why),
    };
    let text = yaml::write(&imported.config);
    let to_mend = match &command.source {
        // Its routes and channels belong into a configuration that has services.
        Source::Alertmanager { .. } => Ok(Vec::new()),
        _ => trial::mistakes(&text),
    };
    let to_mend = match to_mend {
        Ok(mistakes) => mistakes,
        Err(why) => return fail(&why),
    };
    say(text);
    if let Source::Alertmanager { silences: Some(file), .. } = &command.source {
        match alertmanager::silences(file) {
            Ok(commands) => commands.iter().for_each(|line| say(format_args!("# {line}"))),
            Err(why) => return fail(&why),
        }
    }
    imported.changed.iter().for_each(|line| complain(format_args!("changed: {line}")));
    imported.left_out.iter().for_each(|line| complain(format_args!("left out: {line}")));
    to_mend.iter().for_each(|line| complain(format_args!("to mend: {line}")));
    ExitCode::from(exit::YES)
}

fn fail(why: &str) -> ExitCode {
    complain(format_args!("monitor: {why}"));
    ExitCode::from(exit::CONFIG)
}
