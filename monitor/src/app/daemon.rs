//! An engine as a process: signals, files that change, systemd, exit codes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::exit;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::StartError;
use crate::export::Shared;
use crate::record::LockError;

/// The file is looked at this often; a content hash sees what file events miss (swapped symbolic links).
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl StartError {
    /// Returns the code that a process exits with for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Folder(LockError::Held { .. }) => exit::BUSY,
            Self::Folder(_) | Self::Listen { .. } | Self::Resolver(_) | Self::Thread(_) => exit::SYSTEM,
            Self::Data(_) => exit::CONFIG,
        }
    }
}

/// Says that the daemon is ready, and that it is alive as long as its loop turns; ends with the program.
pub async fn tell_systemd(shared: Arc<Shared>, stop: CancellationToken) {
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

/// Has the configuration read again on SIGHUP and, where it is in files, when their content changes.
pub async fn watch_config(path: Option<PathBuf>, reloads: mpsc::Sender<()>) {
    let hangup = signal(SignalKind::hangup());
    let not_heard = |error: &_| tracing::error!(%error, "cannot listen to SIGHUP; changes of the file are still seen");
    let mut hangup = hangup.inspect_err(not_heard).ok();
    let mut known = content(path.as_deref()).await;
    loop {
        let asked_for = async {
            match &mut hangup {
                Some(hangup) => _ = hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let asked = tokio::select! {
            () = asked_for => true,
            () = tokio::time::sleep(LOOK_EVERY), if path.is_some() => false,
        };
        let found = content(path.as_deref()).await;
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
async fn content(path: Option<&Path>) -> u64 {
    let Some(path) = path.map(Path::to_owned) else { return 0 };
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
