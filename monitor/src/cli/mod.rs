//! The command line: one file a command, exit codes from `kit::exit`.

mod add;
mod alerts;
mod announce;
mod backup;
mod check_config;
mod client;
mod daemon;
mod discover;
mod doctor;
mod drill;
mod edit;
mod findings;
mod gate;
mod healing;
mod import;
mod probe;
mod render;
mod report;
mod scratch;
mod status;
mod table;
mod token;
mod yaml;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use kit::cli::complain;
use kit::exit;
use kit::log::Output;

/// Knows whether every service really works, and says why it does not.
#[derive(Debug, Parser)]
#[command(name = "monitor", version, after_help = after_help())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watches as a daemon; the processes it runs outlive it.
    Run(ConfigArgument),
    /// Watches from this terminal with a live table; the processes it runs end with it.
    Up(ConfigArgument),
    /// Checks a configuration and prints every mistake.
    CheckConfig(check_config::CheckConfig),
    Probe(probe::ProbeCommand),
    Add(add::AddCommand),
    Status(status::StatusCommand),
    Gate(gate::GateCommand),
    Cursor(gate::CursorCommand),
    Alerts(alerts::AlertsCommand),
    Healing(healing::HealingCommand),
    Announce(announce::AnnounceCommand),
    Drill(drill::DrillCommand),
    Findings(findings::FindingsCommand),
    Report(report::ReportCommand),
    Import(import::ImportCommand),
    Discover(discover::DiscoverCommand),
    Doctor(doctor::DoctorCommand),
    Token(token::TokenCommand),
    /// Copies the monitor's data, also while it runs.
    Backup(backup::CopyCommand),
    /// Puts a backup back; no monitor may be running on the data.
    Restore(backup::CopyCommand),
    /// Asks a URL once: exit code 0 if it answers 2xx. For container health checks.
    Healthcheck {
        /// What to ask.
        #[arg(default_value = "http://127.0.0.1:8888/livez")]
        url: String,
        /// How long to wait.
        #[arg(long, default_value = "5s", value_parser = kit::config::parse_duration)]
        timeout: Duration,
    },
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// A YAML file, or a folder of them.
    #[arg(long, env = "MONITOR_CONFIG", default_value = "monitor.yml")]
    config: PathBuf,
}

/// What `--help` says of variables and exit codes.
fn after_help() -> String {
    let variables = kit::telemetry::variables();
    format!(
        "\
Log of run and up:
  LOG_LEVEL                    error, warn, info, debug or trace [info]
  LOG_FORMAT                   human or json [human on a terminal, else json]

{variables}

Exit codes: 0 yes, 1 no, 2 undecided in time, 64 usage, 69 daemon unreachable, 71 address taken, 75 data folder in use, \
78 configuration."
    )
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _closed_output = error.print();
            return if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    // What draws on this terminal chooses itself where its log goes, once it knows the data folder.
    let is_live = matches!(arguments.command, Command::Up(_)) && kit::cli::is_live();
    // A daemon has no results but its log.
    let output = if matches!(arguments.command, Command::Run(_)) { Output::Standard } else { Output::Errors };
    if !is_live && let Err(code) = start_log(output) {
        return code;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("monitor: cannot start the runtime: {error}"));
            return ExitCode::from(exit::SOFTWARE);
        }
    };
    let code = runtime.block_on(async {
        match arguments.command {
            Command::Run(argument) => daemon::run(&argument.config, daemon::Manner::Daemon).await,
            Command::Up(argument) => daemon::run(&argument.config, daemon::Manner::Terminal).await,
            Command::CheckConfig(command) => check_config::run(&command),
            Command::Backup(command) => backup::back_up(&command).await,
            Command::Restore(command) => backup::put_back(&command).await,
            Command::Probe(command) => probe::run(&command).await,
            Command::Status(command) => status::run(&command).await,
            Command::Gate(command) => gate::run(&command).await,
            Command::Cursor(command) => gate::begin(&command).await,
            Command::Alerts(command) => alerts::run(&command).await,
            Command::Healing(command) => healing::run(&command).await,
            Command::Announce(command) => announce::run(&command).await,
            Command::Drill(command) => drill::run(&command).await,
            Command::Findings(command) => findings::run(&command).await,
            Command::Add(command) => add::run(&command).await,
            Command::Report(command) => report::run(&command).await,
            Command::Import(command) => import::run(&command).await,
            Command::Discover(command) => discover::run(&command).await,
            Command::Doctor(command) => doctor::run(&command).await,
            Command::Token(command) => token::run(&command),
            Command::Healthcheck { url, timeout } => kit::healthcheck::run(&url, timeout).await,
        }
    });
    // A thread that reads a file on a disk that hangs must not keep us: whatever had to be written is.
    runtime.shutdown_background();
    code
}

/// Starts logging as the environment says.
fn start_log(output: Output) -> Result<(), ExitCode> {
    let variable = |name| std::env::var(name).ok();
    let (level, format) = (variable("LOG_LEVEL"), variable("LOG_FORMAT"));
    kit::log::start(env!("CARGO_PKG_NAME"), output, level.as_deref(), format.as_deref()).map_err(|message| {
        complain(format_args!("monitor: {message}"));
        ExitCode::from(exit::CONFIG)
    })
}
