//! A service as a process: its command line, settings from the environment, a listener, signals, systemd, exit codes.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::process::ExitCode;

use clap::{FromArgMatches, Subcommand};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Environment;
use crate::env::Variables;
use crate::http::bind;
use crate::log::{self, Output};
use crate::telemetry::{self, Telemetry};
use crate::{cli, exit, healthcheck, notify, shutdown, tls};

/// A service and its settings, read whole from the environment.
pub trait Settings: Sized {
    /// The service's name.
    const NAME: &'static str;
    /// Its version.
    const VERSION: &'static str;
    /// What it is, for `--help`.
    const ABOUT: &'static str;
    /// Its variables, for `--help`.
    const VARIABLES: &'static str;
    /// Where it listens if `PORT` says nothing else.
    const PORT: NonZeroU16;

    /// Reads them.
    ///
    /// # Errors
    /// Every mistake, one line each; none shows a secret.
    fn read(environment: &Environment) -> Result<Self, Vec<String>>;

    /// Where to listen.
    fn address(&self) -> SocketAddr;
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT; the default.
    Run,
    /// Asks URL once: exit 0 if it answers 2xx, else 1. Default: /livez of the service that these variables describe.
    Healthcheck {
        /// The URL.
        url: Option<String>,
    },
}

/// Does what the command line of this process says, and has `run` serve until SIGTERM or SIGINT. Returns the code to exit
/// with: [`exit::USAGE`] for a wrong command line, [`exit::CONFIG`] for mistakes in the environment, [`exit::SYSTEM`] when
/// the port or the signal handlers cannot be had.
pub async fn main<S: Settings>(run: impl AsyncFnOnce(TcpListener, S, CancellationToken)) -> ExitCode {
    tls::install();
    let variables = format!("{}\n\n{}", S::VARIABLES, telemetry::variables());
    let program = clap::Command::new(S::NAME).version(S::VERSION).about(S::ABOUT).after_help(variables);
    let matches = match cli::matches(Command::augment_subcommands(program)) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let environment = Environment::of_process();
    // Without a subcommand there is none to be read.
    let url = match Command::from_arg_matches(&matches) {
        Ok(Command::Healthcheck { url }) => url,
        Ok(Command::Run) | Err(_) => {
            let program = Program { name: S::NAME, version: S::VERSION, environment: &environment };
            return program.serve(S::read(&environment), |settings| Ok(settings.address()), run).await;
        }
    };
    let own_url = || {
        let variables = Variables::new(&environment);
        let url = variables.own_url(S::PORT, "/livez");
        variables.finish(url)
    };
    match url.map_or_else(own_url, Ok) {
        Ok(url) => healthcheck::run(&url, healthcheck::TIMEOUT).await,
        Err(mistakes) => cli::refuse(&mistakes),
    }
}

/// What serves, and what its environment says.
pub struct Program<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its variables.
    pub environment: &'a Environment,
}

impl Program<'_> {
    /// Starts the log and what else leaves the process, and has `run` serve with `settings` until SIGTERM or SIGINT, where
    /// `prepare` says. Returns the code to exit with, as [`main`] does; every mistake of the settings and of the environment is
    /// told at once.
    pub async fn serve<S>(
        &self,
        settings: Result<S, Vec<String>>,
        prepare: impl FnOnce(&S) -> Result<SocketAddr, String>,
        run: impl AsyncFnOnce(TcpListener, S, CancellationToken),
    ) -> ExitCode {
        let Self { name, version, environment } = *self;
        let (level, format) = (environment.get("LOG_LEVEL"), environment.get("LOG_FORMAT"));
        let logging = log::start(name, Output::Standard, level, format);
        let telemetry = Telemetry::read(environment, name, version);
        let (settings, telemetry) = match (settings, telemetry, logging) {
            (Ok(settings), Ok(telemetry), Ok(())) => (settings, telemetry),
            (settings, telemetry, logging) => {
                let lists = [settings.err(), telemetry.err()].into_iter().flatten().flatten();
                let mistakes: Vec<String> = logging.err().into_iter().chain(lists).collect();
                return cli::refuse(&mistakes);
            }
        };
        let telemetry = telemetry.start();
        let ended = run_until_signal(settings, prepare, run).await;
        telemetry.finish().await;
        match ended {
            Ok(()) => ExitCode::from(exit::YES),
            Err(message) => {
                eprintln!("{message}");
                ExitCode::from(exit::SYSTEM)
            }
        }
    }
}

async fn run_until_signal<S>(
    settings: S,
    prepare: impl FnOnce(&S) -> Result<SocketAddr, String>,
    run: impl AsyncFnOnce(TcpListener, S, CancellationToken),
) -> Result<(), String> {
    let stop = CancellationToken::new();
    let _watching =
        shutdown::on_signals(stop.clone()).map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let address = prepare(&settings)?;
    let listener = bind(address).await?;
    notify::ready(format!("listens on {address}")).await;
    let alive = tokio::spawn(notify::keep_alive(|| true));
    run(listener, settings, stop).await;
    notify::stopping().await;
    alive.abort();
    Ok(())
}
