//! The command line: `run` (the default), `check-config`, `print-config` and `healthcheck`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{FromArgMatches, Subcommand};
use kit::config::show_duration;
use kit::env::reached_at;
use kit::{cli, exit, healthcheck};
use monitor::Engine;

use crate::config::{self, BUILT_IN, LISTEN};
use crate::daemon;

/// What `--help` says of variables.
const VARIABLES: &str = "\
Environment, for the built-in configuration:
  AUTH_MONITOR_LISTEN        address to listen on; 0.0.0.0:8090 in containers [127.0.0.1:8090]
  AUTH_MONITOR_DATA_DIR      folder of its own data [data/auth-monitor]
  AUTH_MONITOR_PLATFORM_URL  platform-services [http://127.0.0.1:8007]
  AUTH_MONITOR_GATEWAY_URL   api-gateway [http://127.0.0.1:8000]
  AUTH_MONITOR_AIRTABLE_URL  airtable-gateway [http://127.0.0.1:8002]
  API_KEY                    key of services: makes the requests a watcher's, and reads the events of sign-in
  TEST_USER_EMAIL            an account to sign in with [one of its own each time]
  TEST_USER_PASSWORD         its password
  JWT_SECRET                 what access tokens are signed with, so that false ones are false in one way alone [not known]
                             (secrets may be in a file: API_KEY_FILE, TEST_USER_PASSWORD_FILE, JWT_SECRET_FILE)
  AUTH_MONITOR_LOOPBACK      allowed: localhost is asked within a container, too, since everything runs in it
  AUTH_MONITOR_INSTANCE      what it is called in the addresses of its accounts [the host's name]
  LOG_LEVEL                  error, warn, info, debug or trace [info]
  LOG_FORMAT                 human or json [human on a terminal, else json]";

const EXIT_CODES: &str = "\
Exit codes: 0 yes, 1 no, 64 usage, 71 address taken, 75 data folder in use, 78 configuration.";

#[derive(Subcommand)]
enum Command {
    /// Watches until SIGTERM or SIGINT; the default. SIGHUP, or a change of the file, has the configuration read again.
    Run(ConfigArgument),
    /// Checks a configuration and prints every mistake, or what it comes to.
    CheckConfig(ConfigArgument),
    /// Prints the built-in configuration with its comments, to start from.
    PrintConfig,
    /// Asks URL once: exit 0 if it answers 2xx, else 1. Default: /livez of this daemon.
    Healthcheck {
        /// The URL.
        url: Option<String>,
    },
}

/// Where the configuration is.
#[derive(Debug, Default, clap::Args)]
struct ConfigArgument {
    /// A YAML file, or a folder of them; without it what is built in is watched.
    #[arg(long, env = "AUTH_MONITOR_CONFIG")]
    config: Option<PathBuf>,
}

/// Does what the command line of this process says, and returns the code to exit with.
pub fn main() -> ExitCode {
    // First of all: a keeper is small and needs neither runtime nor logger nor TLS.
    if let Some(code) = monitor::supervise::keeper::keep_if_asked(std::env::args_os()) {
        return code;
    }
    kit::tls::install();
    let about = "Proves every minute that sign-in really works.";
    let program = clap::Command::new(env!("CARGO_PKG_NAME")).version(env!("CARGO_PKG_VERSION"));
    let help = format!("{VARIABLES}\n\n{}\n\n{EXIT_CODES}", kit::telemetry::variables());
    let program = program.about(about).after_help(help);
    let matches = match cli::matches(Command::augment_subcommands(program)) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    // Without a subcommand there is none to be read.
    let command = Command::from_arg_matches(&matches).unwrap_or_else(|_none| {
        Command::Run(ConfigArgument { config: std::env::var_os("AUTH_MONITOR_CONFIG").map(PathBuf::from) })
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("auth-monitor: cannot start the runtime: {error}");
            return ExitCode::from(exit::SOFTWARE);
        }
    };
    let code = runtime.block_on(async {
        match command {
            Command::Run(argument) => daemon::run(argument.config).await,
            Command::CheckConfig(argument) => check_config(argument.config.as_deref()),
            Command::PrintConfig => {
                print!("{BUILT_IN}");
                ExitCode::from(exit::YES)
            }
            Command::Healthcheck { url } => healthcheck::run(&url.unwrap_or_else(own_url), healthcheck::TIMEOUT).await,
        }
    });
    // A thread that reads a file on a disk that hangs must not keep us: whatever had to be written is.
    runtime.shutdown_background();
    code
}

fn check_config(path: Option<&Path>) -> ExitCode {
    let environment = match config::environment() {
        Ok(environment) => environment,
        Err(mistakes) => return cli::refuse(&mistakes),
    };
    let engine = match Engine::new(&config::load(path, &environment), daemon::own_kinds(&environment).1) {
        Ok(engine) => engine,
        Err(error) => return cli::refuse(&[error.to_string()]),
    };
    let plan = engine.plan();
    println!("{} services, {} checks, listening on {}", plan.services.len(), plan.checks().count(), plan.listen);
    for check in plan.checks() {
        let (id, every) = (check.question.id.to_string(), show_duration(check.cadence.every));
        println!("  {id:32} {:12} every {every:>5}  {}", check.kind, check.question.probe.target().shown);
    }
    ExitCode::from(exit::YES)
}

/// The URL of the daemon that these variables describe.
fn own_url() -> String {
    let listen = std::env::var("AUTH_MONITOR_LISTEN").unwrap_or_default();
    let written = if listen.is_empty() { LISTEN } else { &listen };
    // What is no address is not what a daemon listens on either.
    let Ok(listen) = written.parse::<SocketAddr>() else { return format!("http://{written}/livez") };
    format!("http://{}/livez", reached_at(listen))
}
