//! A service as a process: settings from the environment, a listener, signals, systemd, exit codes.

use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Environment;
use crate::http::bind;
use crate::{cli, exit, log, notify, shutdown};

/// Settings of a service, read whole from the environment.
pub trait Settings: Sized {
    /// Reads them.
    ///
    /// # Errors
    /// Every mistake, one line each; none shows a secret.
    fn read(environment: &Environment) -> Result<Self, Vec<String>>;

    /// Where to listen.
    fn address(&self) -> SocketAddr;
}

/// Starts logging, reads the settings, listens, and has `run` serve until SIGTERM or SIGINT. Returns the code to exit with:
/// [`exit::CONFIG`] for mistakes in the environment, [`exit::SYSTEM`] when the port or the signal handlers cannot be had.
pub async fn start<S: Settings>(
    environment: &Environment,
    run: impl AsyncFnOnce(TcpListener, S, CancellationToken),
) -> ExitCode {
    let logging = log::start(environment.get("LOG_LEVEL"), environment.get("LOG_FORMAT"));
    let settings = match (S::read(environment), logging) {
        (Ok(settings), Ok(())) => settings,
        (settings, logging) => {
            let mistakes: Vec<String> = logging.err().into_iter().chain(settings.err().unwrap_or_default()).collect();
            return cli::refuse(&mistakes);
        }
    };
    match run_until_signal(settings, run).await {
        Ok(()) => ExitCode::from(exit::YES),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(exit::SYSTEM)
        }
    }
}

async fn run_until_signal<S: Settings>(
    settings: S,
    run: impl AsyncFnOnce(TcpListener, S, CancellationToken),
) -> Result<(), String> {
    let stop = CancellationToken::new();
    let _watching =
        shutdown::on_signals(stop.clone()).map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let address = settings.address();
    let listener = bind(address).await?;
    notify::ready(format!("listens on {address}")).await;
    let alive = tokio::spawn(notify::keep_alive(|| true));
    run(listener, settings, stop).await;
    notify::stopping().await;
    alive.abort();
    Ok(())
}
