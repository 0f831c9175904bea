//! `auth-monitor run`: the engine with its own kinds, metrics and ledger, until a signal.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use kit::config::Environment;
use kit::log::Output;
use kit::telemetry::Telemetry;
use kit::{cli, exit};
use monitor::app::{Embedding, tell_systemd, watch_config};
use monitor::export::Program;
use monitor::supervise::{Mode, bucket};
use monitor::{Engine, Kinds, Options};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::kinds::{Means, kept_from_here, kinds, may_be_meant};
use crate::metrics::AuthMetrics;

const PROGRAM: Program = Program { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };

/// Returns the kinds of a daemon with these variables, and what they share.
pub(crate) fn own_kinds(environment: &Environment) -> (Means, Kinds) {
    let instance = environment.get("AUTH_MONITOR_INSTANCE").map_or_else(host_name, str::to_owned);
    let means = Means::new(&instance);
    let kinds = kinds(&means);
    let kinds = if may_be_meant(environment) { kinds } else { kept_from_here(kinds) };
    (means, kinds)
}

/// The kernel's own name for this host (proc_sys_kernel(5)).
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

pub(crate) async fn run(path: Option<PathBuf>) -> ExitCode {
    let environment = Environment::of_process();
    let (level, format) = (environment.get("LOG_LEVEL"), environment.get("LOG_FORMAT"));
    if let Err(message) = kit::log::start(PROGRAM.name, Output::Standard, level, format) {
        return cli::refuse(&[message]);
    }
    let telemetry = Telemetry::read(&environment, PROGRAM.name, PROGRAM.version);
    let (environment, telemetry) = match (config::environment(), telemetry) {
        (Ok(environment), Ok(telemetry)) => (environment, telemetry),
        (environment, telemetry) => {
            let lists = [environment.err(), telemetry.err()];
            return cli::refuse(&lists.into_iter().flatten().flatten().collect::<Vec<_>>());
        }
    };
    let (means, kinds) = own_kinds(&environment);
    let engine = match Engine::new(&config::load(path.as_deref(), &environment), kinds) {
        Ok(engine) => engine,
        Err(error) => return cli::refuse(&[error.to_string()]),
    };
    let data = engine.plan().data_dir.clone();
    if let Err(error) = means.open(&data) {
        eprintln!("auth-monitor: cannot read the ledger of accounts in {}: {error}", data.display());
        return ExitCode::from(exit::SYSTEM);
    }
    let mut embedding = Embedding::new(PROGRAM);
    embedding.observer = Arc::new(AuthMetrics::of(&embedding.metrics, means.ledger));
    let telemetry = telemetry.start();
    let code = watch(engine.within(embedding), path, environment).await;
    telemetry.finish().await;
    code
}

async fn watch(engine: Engine, path: Option<PathBuf>, environment: Environment) -> ExitCode {
    let stop = CancellationToken::new();
    if let Err(error) = kit::shutdown::on_signals(stop.clone()) {
        eprintln!("auth-monitor: cannot listen to signals: {error}");
        return ExitCode::from(exit::SOFTWARE);
    }
    let (reloads, reload) = mpsc::channel(1);
    let watching = tokio::spawn(watch_config(path.clone(), reloads));
    let source = Arc::new(move || {
        let now = config::environment().unwrap_or_else(|mistakes| {
            tracing::error!(?mistakes, "secrets cannot be read again; those of the start stay");
            environment.clone()
        });
        config::load(path.as_deref(), &now)
    });
    let until = stop.clone();
    let ready = Box::new(move |shared, address| {
        tracing::info!(%address, "watching");
        tokio::spawn(tell_systemd(shared, until));
    });
    let (mode, keeper, listener, restarts) = (Mode::Run, None, None, bucket::Policy::default());
    let result =
        engine.run(Options { mode, keeper, listener, ready: Some(ready), source, reload, restarts }, stop).await;
    watching.abort();
    match result {
        Ok(()) => ExitCode::from(exit::YES),
        Err(error) => {
            let code = error.exit_code();
            eprintln!("auth-monitor: {}", kit::chain::Chain(&error));
            ExitCode::from(code)
        }
    }
}
