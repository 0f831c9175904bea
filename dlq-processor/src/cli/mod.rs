//! The command line: the daemon (`run`, the default), what looks at a configuration, and what asks a running daemon.

mod acts;
mod audit;
mod check_config;
mod client;
mod doctor;
mod edit;
mod export;
mod filter;
mod fingerprints;
mod import;
mod letters;
mod plan;
mod plan_shown;
mod policy;
mod progress;
mod queues;
mod reconcile;
mod redrive;
mod render;
mod simulate;
mod stats;
mod wait;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{FromArgMatches, Subcommand};
use kit::cli::{AskError, matches};
use kit::config::Environment;
use kit::service::Program;
use kit::{healthcheck, telemetry};

use crate::app::{self, SERVICE, VERSION};
use crate::folders::prepare;
use crate::ledger::Act;
use crate::reload::Read;
use crate::settings::{PORT, Settings};

const ABOUT: &str = "Keeps dead letters from being lost, and redrives them when that is safe.";
const HELP: &str = "\
Examples:
  dlq-processor run --config dlq-processor.yml
  dlq-processor doctor
  dlq-processor ls --queue mails --state parked --failed-after 2h
  dlq-processor redrive 5b0c… --reason 'the address was mended'
  dlq-processor redrive --class malformed --reason 'release 7 mends it'   # says what would be done
  dlq-processor redrive --class malformed --reason 'release 7 mends it' --yes --wait

Environment:
  DLQ_CONFIG       the configuration, instead of --config
  DLQ_A__B         overrides the key a.b of the configuration
  DLQ_URL          the daemon that is asked, instead of --url [http://127.0.0.1:8091]
  DLQ_TOKEN_FILE   a file with its token, instead of --token-file; or the token itself in DLQ_TOKEN
  LOG_LEVEL        error, warn, info, debug or trace [info]
  LOG_FORMAT       human or json [human on a terminal, else json]";
const EXIT_CODES: &str =
    "Exit codes: 0 yes, 1 no, 2 not over yet, 64 usage, 69 daemon unreachable, 71 address taken, 78 configuration.";

#[derive(Subcommand)]
enum Command {
    /// Works until SIGTERM or SIGINT; the default.
    Run(ConfigArgument),
    /// Checks a configuration and prints every mistake, or what it comes to.
    CheckConfig(ConfigArgument),
    /// Looks at sources and ledger without a daemon: exit 1 if something must be mended.
    Doctor(doctor::DoctorCommand),
    /// Tries the policy out.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Asks URL once: exit 0 if it answers 2xx, else 1. Default: /livez of this daemon.
    Healthcheck {
        /// The URL.
        url: Option<String>,
    },
    Ls(letters::ListCommand),
    Show(letters::ShowCommand),
    Stats(stats::StatsCommand),
    Fingerprints(fingerprints::FingerprintsCommand),
    Queues(queues::QueuesCommand),
    Watch(watch::WatchCommand),
    Audit(audit::AuditCommand),
    Redrive(Box<redrive::RedriveCommand>),
    Edit(edit::EditCommand),
    /// Has a letter wait.
    Park(acts::ActCommand),
    /// Has a letter wait until somebody releases it.
    Quarantine(acts::ActCommand),
    /// Redrives a letter in quarantine.
    Release(acts::ActCommand),
    Discard(acts::DiscardCommand),
    Export(Box<export::ExportCommand>),
    Import(import::ImportCommand),
    /// Does something with many letters: made first, then applied.
    #[command(subcommand)]
    Plan(plan::PlanCommand),
    /// Stops redrives of a kind, or lets them go on.
    #[command(subcommand)]
    Breaker(queues::BreakerCommand),
    Reconcile(reconcile::ReconcileCommand),
    Adopt(queues::AdoptCommand),
}

/// Where the configuration is.
#[derive(Debug, Default, clap::Args)]
struct ConfigArgument {
    /// A YAML file, or a folder of them.
    #[arg(long, env = "DLQ_CONFIG", default_value = "dlq-processor.yml")]
    config: PathBuf,
}

impl ConfigArgument {
    fn load(&self, environment: &Environment) -> Result<Settings, Vec<String>> {
        Settings::load(&self.config, environment)
    }
}

/// Does what the command line of this process says, and returns the code to exit with.
pub async fn main() -> ExitCode {
    kit::tls::install();
    let help = format!("{HELP}\n\n{}\n\n{EXIT_CODES}", telemetry::variables());
    let program = clap::Command::new(SERVICE).version(VERSION).about(ABOUT).after_help(help);
    let matches = match matches(Command::augment_subcommands(program)) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let environment = Environment::of_process();
    // Without a subcommand there is none to be read.
    let command = Command::from_arg_matches(&matches).unwrap_or_else(|_none| {
        let config = environment.get("DLQ_CONFIG").unwrap_or("dlq-processor.yml").into();
        Command::Run(ConfigArgument { config })
    });
    match command {
        Command::Run(argument) => run(&argument, &environment).await,
        Command::CheckConfig(argument) => check_config::run(&argument, &environment),
        Command::Doctor(command) => doctor::run(&command, &environment).await,
        Command::Policy(command) => policy::run(&command, &environment).await,
        Command::Healthcheck { url } => {
            let own = format!("http://127.0.0.1:{PORT}/livez");
            healthcheck::run(&url.unwrap_or(own), healthcheck::TIMEOUT).await
        }
        asking => ask(asking).await.unwrap_or_else(|error| error.report(SERVICE)),
    }
}

async fn run(argument: &ConfigArgument, environment: &Environment) -> ExitCode {
    let program = Program { name: SERVICE, version: VERSION, environment };
    let (path, variables) = (argument.config.clone(), environment.clone());
    let read: Read = Arc::new(move || Settings::load(&path, &variables));
    let serve = async |listener, settings, stop| app::run(listener, settings, read, stop).await;
    program.serve(argument.load(environment), prepare, serve).await
}

/// Does what a running daemon is asked for.
async fn ask(command: Command) -> Result<ExitCode, AskError> {
    match command {
        Command::Ls(command) => letters::list(&command).await,
        Command::Show(command) => letters::show(&command).await,
        Command::Stats(command) => stats::run(&command).await,
        Command::Fingerprints(command) => fingerprints::run(&command).await,
        Command::Queues(command) => queues::run(&command).await,
        Command::Watch(command) => watch::run(&command).await,
        Command::Audit(command) => audit::run(&command).await,
        Command::Redrive(command) => redrive::run(&command).await,
        Command::Edit(command) => edit::run(&command).await,
        Command::Park(command) => acts::run(&command, Act::Park).await,
        Command::Quarantine(command) => acts::run(&command, Act::Quarantine).await,
        Command::Release(command) => acts::run(&command, Act::Release).await,
        Command::Discard(command) => acts::discard(&command).await,
        Command::Export(command) => export::run(&command).await,
        Command::Import(command) => import::run(&command).await,
        Command::Plan(command) => plan::run(&command).await,
        Command::Breaker(command) => queues::set_breaker(&command).await,
        Command::Reconcile(command) => reconcile::run(&command).await,
        Command::Adopt(command) => queues::adopt(&command).await,
        Command::Run(_)
        | Command::CheckConfig(_)
        | Command::Doctor(_)
        | Command::Policy(_)
        | Command::Healthcheck { .. } => unreachable!("dealt with before"),
    }
}
