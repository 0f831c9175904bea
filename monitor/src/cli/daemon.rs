//! `monitor run` and `monitor up`: the engine with signals, reloads and, on a terminal, a live table.

use std::fs::{DirBuilder, File};
use std::io::IsTerminal;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use kit::cli::{complain, is_live, say};
use kit::config::Environment;
use kit::exit;
use kit::log::Output;
use kit::telemetry::Telemetry;
use monitor::app::{tell_systemd, watch_config};
use monitor::supervise::{Mode, bucket};
use monitor::{Config, Engine, Kinds, Options, make_secrets};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::table;

/// How the daemon is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// `run`
    Daemon,
    /// `up`
    Terminal,
}

pub(super) async fn run(path: &Path, manner: Manner) -> ExitCode {
    let environment = Environment::of_process();
    if manner == Manner::Terminal {
        match make_secrets(path, &environment) {
            Ok(made) => made.iter().for_each(|file| say(format_args!("made a secret: {}", file.display()))),
            Err((file, error)) => {
                complain(format_args!("monitor: cannot make the secret file {}: {error}", file.display()));
                return ExitCode::from(exit::SYSTEM);
            }
        }
    }
    let config = Config::load(path, &environment);
    let telemetry = Telemetry::read(&environment, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let (engine, telemetry) = match (Engine::new(&config, Kinds::standard()), telemetry) {
        (Ok(engine), Ok(telemetry)) => (engine, telemetry),
        (engine, telemetry) => {
            telemetry.err().iter().flatten().for_each(complain);
            engine.err().iter().for_each(complain);
            return ExitCode::from(exit::CONFIG);
        }
    };
    if manner == Manner::Terminal
        && is_live()
        && let Err(code) = log_beside_table(&engine.plan().data_dir)
    {
        return code;
    }
    let telemetry = telemetry.start();
    let stop = CancellationToken::new();
    let signals = kit::shutdown::on_signals(stop.clone());
    let (reloads, reload) = mpsc::channel(1);
    let watching = tokio::spawn(watch_config(Some(path.to_owned()), reloads));
    let again = path.to_owned();
    let source = Arc::new(move || Config::load(&again, &Environment::of_process()));
    let mode = if manner == Manner::Terminal { Mode::Up } else { Mode::Run };
    let until = stop.clone();
    let ready = Box::new(move |shared, address| {
        if manner == Manner::Terminal {
            tokio::spawn(table::show(shared, address, until));
        } else {
            tracing::info!(%address, "watching");
            tokio::spawn(tell_systemd(shared, until));
        }
    });
    let result = match signals {
        Ok(_task) => {
            let (keeper, listener, restarts) = (None, None, bucket::Policy::default());
            let options = Options { mode, keeper, listener, ready: Some(ready), source, reload, restarts };
            engine.run(options, stop).await
        }
        Err(error) => {
            complain(format_args!("monitor: cannot listen to signals: {error}"));
            return ExitCode::from(exit::SOFTWARE);
        }
    };
    watching.abort();
    telemetry.finish().await;
    match result {
        Ok(()) => ExitCode::from(exit::YES),
        Err(error) => {
            let code = error.exit_code();
            complain(format_args!("monitor: {:#}", anyhow::Error::from(error)));
            ExitCode::from(code)
        }
    }
}

/// Log lines would tear the live table: on the same terminal they go to a file instead.
fn log_beside_table(data: &Path) -> Result<(), ExitCode> {
    if !std::io::stderr().is_terminal() {
        return super::start_log(Output::Errors);
    }
    let file = data.join("monitor.log");
    let opened = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .and_then(|()| File::options().append(true).create(true).mode(0o600).open(&file));
    match opened {
        Ok(opened) => {
            super::start_log(Output::File(opened))?;
            say(format_args!("logging to {}", file.display()));
            Ok(())
        }
        Err(error) => {
            super::start_log(Output::Errors)?;
            tracing::warn!(%error, file = %file.display(), "cannot log to this file; logging here");
            Ok(())
        }
    }
}
