//! The command line: `run` (the default), `check-config`, `policy test` and `healthcheck`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{FromArgMatches, Subcommand};
use jiff::Timestamp;
use kit::config::{Environment, show_duration};
use kit::service::Program;
use kit::{cli, exit, healthcheck, telemetry};

use crate::app::{self, SERVICE, VERSION};
use crate::policy::{Action, ErrorFacts, Letter, Past};
use crate::settings::{PORT, Settings};

const ABOUT: &str = "Keeps dead letters from being lost, and redrives them when that is safe.";
const VARIABLES: &str = "\
Environment:
  DLQ_CONFIG       the configuration, instead of --config
  DLQ_A__B         overrides the key a.b of the configuration
  LOG_LEVEL        error, warn, info, debug or trace [info]
  LOG_FORMAT       human or json [human on a terminal, else json]";
const EXIT_CODES: &str = "Exit codes: 0 yes, 1 no, 64 usage, 71 address taken, 78 configuration.";

#[derive(Subcommand)]
enum Command {
    /// Works until SIGTERM or SIGINT; the default.
    Run(ConfigArgument),
    /// Checks a configuration and prints every mistake, or what it comes to.
    CheckConfig(ConfigArgument),
    /// Tries the policy out.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Asks URL once: exit 0 if it answers 2xx, else 1. Default: /livez of this daemon.
    Healthcheck {
        /// The URL.
        url: Option<String>,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Says what would be done with a failure.
    Test(Failure),
}

#[derive(Debug, Default, clap::Args)]
struct ConfigArgument {
    /// A YAML file, or a folder of them.
    #[arg(long, env = "DLQ_CONFIG", default_value = "dlq-processor.yml")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Failure {
    #[command(flatten)]
    config: ConfigArgument,
    /// The queue.
    #[arg(long, default_value = "jobs")]
    queue: String,
    /// The job's name.
    #[arg(long)]
    name: String,
    /// What the queue says of the failure.
    #[arg(long)]
    reason: Option<String>,
    /// The first line of its stack trace, such as `ValidationError: no address`.
    #[arg(long)]
    stack: Option<String>,
    /// How often its worker was not heard of again.
    #[arg(long, default_value_t = 0)]
    stalls: u32,
    /// How often it was redriven before.
    #[arg(long, default_value_t = 0)]
    redrives: u32,
}

/// Does what the command line of this process says, and returns the code to exit with.
pub async fn main() -> ExitCode {
    kit::tls::install();
    let help = format!("{VARIABLES}\n\n{}\n\n{EXIT_CODES}", telemetry::variables());
    let program = clap::Command::new(SERVICE).version(VERSION).about(ABOUT).after_help(help);
    let matches = match cli::matches(Command::augment_subcommands(program)) {
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
        Command::Run(argument) => run(&argument.config, &environment).await,
        Command::CheckConfig(argument) => check_config(&argument.config, &environment),
        Command::Policy(PolicyCommand::Test(failure)) => test_policy(&failure, &environment),
        Command::Healthcheck { url } => {
            let own = format!("http://127.0.0.1:{PORT}/livez");
            healthcheck::run(&url.unwrap_or(own), healthcheck::TIMEOUT).await
        }
    }
}

async fn run(config: &Path, environment: &Environment) -> ExitCode {
    let program = Program { name: SERVICE, version: VERSION, environment };
    program.serve(Settings::load(config, environment), app::prepare, app::run).await
}

fn check_config(config: &Path, environment: &Environment) -> ExitCode {
    let settings = match Settings::load(config, environment) {
        Ok(settings) => settings,
        Err(mistakes) => return cli::refuse(&mistakes),
    };
    println!(
        "{} sources, {} rules, listening on {}",
        settings.sources.len(),
        settings.policy.rules.len(),
        settings.listen
    );
    for source in &settings.sources {
        let queues: Vec<&str> = source.queues.iter().map(|queue| queue.as_str()).collect();
        println!("  {:16} {:7} {}", source.name, source.kind, queues.join(", "));
    }
    for queue in &settings.queues {
        let mode = if queue.acts { "act" } else { "observe" };
        println!("  {:16} {mode:7} {}/s", queue.queue.as_str(), queue.rate);
    }
    if !settings.queues.iter().any(|queue| queue.acts) {
        println!("Nothing is redriven: no queue has mode: act.");
    }
    ExitCode::from(exit::YES)
}

fn test_policy(failure: &Failure, environment: &Environment) -> ExitCode {
    let settings = match Settings::load(&failure.config.config, environment) {
        Ok(settings) => settings,
        Err(mistakes) => return cli::refuse(&mistakes),
    };
    let now = Timestamp::now();
    let letter = Letter {
        queue: failure.queue.clone(),
        name: failure.name.clone(),
        error: ErrorFacts::read(failure.reason.as_deref(), failure.stack.as_deref()),
        stalls: failure.stalls,
        is_in_flow: false,
        failed_at: now,
        seen_at: now,
    };
    let past = Past { redrives: failure.redrives, first_failed_at: now };
    let decision = settings.policy.decide(&letter, past, now, 1.0);
    let ErrorFacts { class, codes, http, .. } = &letter.error;
    let class = class.iter().map(|class| format!("class {class}"));
    let codes = codes.iter().map(|code| format!("code {code}"));
    let of_error: Vec<String> =
        class.chain(codes).chain(http.iter().map(|status| format!("status {status}"))).collect();
    println!(
        "error     {}",
        if of_error.is_empty() { "nothing but its words".to_owned() } else { of_error.join(", ") }
    );
    println!("rule      {}", decision.rule.as_deref().unwrap_or("none knows it"));
    println!("class     {}", decision.class.word());
    let action = match decision.action {
        Action::Redrive(wait) => format!("redrive within {}", show_duration(wait)),
        action => action.word().to_owned(),
    };
    println!("action    {action} ({})", decision.reason.word());
    println!("wakes     {}", decision.alarm.word());
    if matches!(decision.action, Action::Redrive(_)) && !settings.of_queue(&failure.queue).acts {
        println!("Nothing is redriven in {}: it has no mode: act.", failure.queue);
    }
    ExitCode::from(exit::YES)
}
