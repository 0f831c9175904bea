//! `monitor doctor`: finds mistakes in compose files, in units and in our own footing, before they run.

mod human;
mod own;
mod sarif;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use kit::cli::{complain, is_colourful, say};
use kit::exit;
use monitor::doctor::{Diagnosis, Severity, compose, compose_rules, diagnose, look_into, texts, unit_rules, units};

/// Where Docker listens. Nobody there is no mistake, unless it was asked for.
const DEFAULT_ENGINE: &str = "unix:///var/run/docker.sock";

/// Finds the mistakes that make services restart for ever or look unhealthy.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing found, 1 findings, 64 usage, 78 a file that cannot be read.\n\
                        A comment `# doctor: ignore RULE reason` on the line or above leaves one finding out.")]
pub(super) struct DoctorCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reads a Docker Compose project.
    #[command(after_help = "Examples:\n  monitor doctor compose compose.yml compose.override.yml --profile '*'\n  \
                            monitor doctor compose compose.yml --engine none --format sarif > doctor.sarif\n  \
                            monitor doctor compose compose.yml --deny error")]
    Compose(ComposeArguments),
    /// Reads systemd units and their drop-ins.
    Units(UnitsArguments),
    /// Checks what the monitor itself stands on, from where it runs.
    #[command(name = "self")]
    Own(OwnArguments),
    /// Lists every rule.
    Rules,
}

#[derive(Debug, clap::Args)]
struct ComposeArguments {
    /// Compose files, the later laid over the earlier.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Variables, instead of the .env beside the first file.
    #[arg(long)]
    env_file: Vec<PathBuf>,
    /// A profile that is active; `*` for all.
    #[arg(long)]
    profile: Vec<String>,
    /// The container engine whose images are looked into, or `none`.
    #[arg(long, env = "DOCKER_HOST", default_value = DEFAULT_ENGINE)]
    engine: String,
    /// The folder with ca.pem, cert.pem and key.pem for an engine over TCP.
    #[arg(long, env = "DOCKER_CERT_PATH")]
    certificates: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArguments,
}

#[derive(Debug, clap::Args)]
struct UnitsArguments {
    /// Unit files, and folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Where the programs of the units are looked for, such as `/` on their own host.
    #[arg(long)]
    root: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArguments,
}

#[derive(Debug, clap::Args)]
struct OwnArguments {
    /// The monitor's configuration, whose targets are asked too.
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArguments,
}

#[derive(Debug, clap::Args)]
struct ReportArguments {
    /// How the findings are written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// The least severity that makes the exit code 1.
    #[arg(long, value_enum, default_value = "warning")]
    deny: Deny,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// One object with findings and what was not checked.
    Json,
    /// SARIF 2.1.0, which code hosts show beside the lines.
    Sarif,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Deny {
    Warning,
    Error,
}

/// Runs the command: 0 no finding, 1 findings, 78 a file that cannot be read.
pub(super) async fn run(command: &DoctorCommand) -> ExitCode {
    match &command.what {
        What::Compose(arguments) => look_at_compose(arguments).await,
        What::Units(arguments) => look_at_units(arguments),
        What::Own(arguments) => own::look(arguments).await,
        What::Rules => {
            say(human::rules(&texts()));
            ExitCode::from(exit::YES)
        }
    }
}

async fn look_at_compose(arguments: &ComposeArguments) -> ExitCode {
    let request = compose::Request {
        files: arguments.files.clone(),
        env_files: arguments.env_file.clone(),
        profiles: arguments.profile.clone(),
        environment: std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
    };
    match compose::load(&request) {
        Ok(mut project) => {
            let is_there = Path::new(arguments.engine.trim_start_matches("unix://")).exists();
            if arguments.engine != "none" && (is_there || arguments.engine != DEFAULT_ENGINE) {
                look_into(&mut project, &arguments.engine, arguments.certificates.as_deref(), &tell).await;
            }
            let findings = diagnose(&project, &compose_rules(), &project.sources);
            let diagnosis = Diagnosis { findings, not_checked: project.not_checked.clone(), ..Diagnosis::default() };
            report(diagnosis, &project.sources, &arguments.report)
        }
        Err(message) => refuse(&message),
    }
}

fn look_at_units(arguments: &UnitsArguments) -> ExitCode {
    let request = units::Request { paths: arguments.paths.clone(), root: arguments.root.clone() };
    match units::load(&request) {
        Ok(set) => {
            let findings = diagnose(&set, &unit_rules(), &set.sources);
            let diagnosis = Diagnosis { findings, not_checked: set.not_checked.clone(), ..Diagnosis::default() };
            report(diagnosis, &set.sources, &arguments.report)
        }
        Err(message) => refuse(&message),
    }
}

/// Says on a terminal what takes a while.
fn tell(image: &str) {
    if std::io::stderr().is_terminal() {
        complain(format_args!("looking into {image} …"));
    }
}

fn refuse(message: &str) -> ExitCode {
    complain(format_args!("monitor doctor: {}", monitor::supervise::redact(message)));
    ExitCode::from(exit::CONFIG)
}

fn report(diagnosis: Diagnosis, sources: &BTreeMap<String, String>, arguments: &ReportArguments) -> ExitCode {
    let diagnosis = &diagnosis.without_secrets();
    match arguments.format {
        Format::Human => say(human::report(diagnosis, sources, is_colourful())),
        Format::Json => say(serde_json::to_string_pretty(diagnosis).unwrap_or_default()),
        Format::Sarif => say(sarif::log(diagnosis, &texts())),
    }
    let least = match arguments.deny {
        Deny::Warning => Severity::Warning,
        Deny::Error => Severity::Error,
    };
    let is_denied = diagnosis.findings.iter().any(|finding| finding.severity >= least);
    ExitCode::from(if is_denied { exit::NO } else { exit::YES })
}
