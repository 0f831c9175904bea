//! `monitor run` and `monitor up`: the engine with signals, reloads and, on a terminal, a live table.

use std::fs::{DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IsTerminal;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kit::config::Environment;
use kit::exit;
use monitor::app::StartError;
use monitor::export::Shared;
use monitor::supervise::{Mode, bucket};
use monitor::{Config, Engine, Kinds, Options, make_secrets};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::output::{complain, say};
use super::table;

/// The file is looked at this often; a content hash sees what file events miss (swapped symbolic links).
const LOOK_EVERY: Duration = Duration::from_secs(5);

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
    let engine = match Engine::new(&config, Kinds::standard()) {
        Ok(engine) => engine,
        Err(error) => {
            complain(&error);
            return ExitCode::from(exit::CONFIG);
        }
    };
    if manner == Manner::Terminal
        && table::is_live()
        && let Err(code) = log_beside_table(&engine.plan().data_dir)
    {
        return code;
    }
    let stop = CancellationToken::new();
    let signals = kit::shutdown::on_signals(stop.clone());
    let (reloads, reload) = mpsc::channel(1);
    let watching = tokio::spawn(watch(path.to_owned(), reloads));
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
    match result {
        Ok(()) => ExitCode::from(exit::YES),
        Err(error) => {
            let code = match &error {
                StartError::Folder(monitor::record::LockError::Held { .. }) => exit::BUSY,
                StartError::Folder(_) | StartError::Listen { .. } | StartError::Resolver(_) | StartError::Thread(_) => {
                    exit::SYSTEM
                }
                StartError::Data(_) => exit::CONFIG,
            };
            complain(format_args!("monitor: {:#}", anyhow::Error::from(error)));
            ExitCode::from(code)
        }
    }
}

/// Says that the daemon is ready, and that it is alive as long as its loop turns; ends with the program.
async fn tell_systemd(shared: Arc<Shared>, stop: CancellationToken) {
    let services = shared.board().wholes().count();
    kit::notify::ready(format!("watches {services} services")).await;
    tokio::select! {
        () = stop.cancelled() => kit::notify::stopping().await,
        () = kit::notify::keep_alive(|| shared.figures.stands_since().is_none()) => {
            stop.cancelled().await;
            kit::notify::stopping().await;
        }
    }
}

/// Log lines would tear the live table: on the same terminal they go to a file instead.
fn log_beside_table(data: &Path) -> Result<(), ExitCode> {
    if !std::io::stderr().is_terminal() {
        return super::start_log(None);
    }
    let file = data.join("monitor.log");
    let opened = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .and_then(|()| File::options().append(true).create(true).mode(0o600).open(&file));
    match opened {
        Ok(opened) => {
            super::start_log(Some(opened))?;
            say(format_args!("logging to {}", file.display()));
            Ok(())
        }
        Err(error) => {
            super::start_log(None)?;
            tracing::warn!(%error, file = %file.display(), "cannot log to this file; logging here");
            Ok(())
        }
    }
}

/// Has the configuration read again on SIGHUP and when its content changes.
async fn watch(path: PathBuf, reloads: mpsc::Sender<()>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::error!("cannot listen to SIGHUP; changes of the file are still seen");
        return;
    };
    let mut known = content(&path).await;
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let found = content(&path).await;
        if !asked && found == known {
            continue;
        }
        known = found;
        if reloads.send(()).await.is_err() {
            return;
        }
    }
}

/// A hash of the file's bytes, or of every file's in a folder.
async fn content(path: &Path) -> u64 {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = DefaultHasher::new();
        let files = if path.is_dir() {
            let mut files: Vec<PathBuf> =
                std::fs::read_dir(&path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.sort();
            files
        } else {
            vec![path]
        };
        // A pipe would never end.
        for file in files.into_iter().filter(|file| file.is_file()) {
            file.hash(&mut hasher);
            std::fs::read(&file).unwrap_or_default().hash(&mut hasher);
        }
        hasher.finish()
    });
    hashed.await.unwrap_or(0)
}
