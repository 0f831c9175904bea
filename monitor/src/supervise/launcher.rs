//! Starts keepers, and finds those that outlived an earlier monitor.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;
use uuid::Uuid;

use super::cause::Exit;
use super::keeper::KeepOrder;
use super::process::{Held, blocking};
use super::run_files::{RunFileError, Runs};
use super::run_record::{Mode, RunRecord};
use super::settings::ProcessSettings;

/// This very binary, even after an upgrade replaced the file it was started from (`proc_pid_exe(5)`).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What a keeper says about its own trouble.
const KEEPER_LOG: &str = "keeper.log";
/// How long a keeper may take to read its order.
const ORDER_PATIENCE: Duration = Duration::from_secs(5);

/// Why no keeper holds the run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The run has no folder, so it would have no record.
    #[error("cannot make the run's folder")]
    Folder(#[from] RunFileError),
    /// The keeper did not start or did not take its order.
    #[error("cannot start the keeper")]
    Keeper(#[from] io::Error),
}

impl LaunchError {
    /// Returns the end of a run that never was.
    pub fn exit(&self) -> Exit {
        let error = match self {
            Self::Folder(RunFileError::Io { source, .. }) | Self::Keeper(source) => Some(source),
            Self::Folder(_) => None,
        };
        Exit::Keeper(error.and_then(io::Error::raw_os_error).unwrap_or(Errno::EIO as i32))
    }
}

/// Starts keepers for the services of one data folder.
#[derive(Debug, Clone)]
pub struct Launcher {
    data: PathBuf,
    mode: Mode,
    program: PathBuf,
}

impl Launcher {
    /// Makes a launcher whose runs are under `data`.
    pub fn new(data: PathBuf, mode: Mode) -> Self {
        Self { data, mode, program: OWN_PROGRAM.into() }
    }

    /// Uses another program as keeper, for tests, whose own binary is none.
    #[must_use]
    pub fn with_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// Returns what becomes of runs when the monitor ends.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns the folder of `run`.
    ///
    /// # Errors
    /// When the service's name is none.
    pub fn runs(&self, service: &str) -> Result<Runs, RunFileError> {
        Runs::of(&self.data, service)
    }

    /// Starts `run` of `service` under a new keeper, and returns once its child is on record.
    ///
    /// A command that cannot be started is no error here: the run then ends with that as its exit.
    ///
    /// # Errors
    /// When there is no folder or no keeper.
    ///
    /// # Cancel safety
    /// In mode `up` nothing is left behind; in mode `run` the run may be found by [`Launcher::adopt`].
    pub async fn launch(&self, service: &str, run: Uuid, settings: &ProcessSettings) -> Result<Held, LaunchError> {
        let runs = self.runs(service)?;
        let kept = settings.runs_kept;
        let folder = blocking(move || {
            // A run that cannot be removed is no reason not to begin another.
            let _ = runs.prune(kept.saturating_sub(1));
            runs.create(run)
        })
        .await??;
        let order = self.order(service, run, settings)?.to_line()?;
        let mut keeper = Command::new(&self.program)
            .arg0("monitor")
            .arg("keep")
            .arg(folder.path())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join(KEEPER_LOG))?)
            .process_group(0)
            .spawn()?;
        let mut control = keeper.stdin.take().ok_or_else(|| io::Error::other("the keeper has no control pipe"))?;
        timeout(ORDER_PATIENCE, control.write_all(&order)).await.map_err(io::Error::other)??;
        Ok(Held::own(run, folder, settings.stop_grace, keeper, control).await?)
    }

    /// Returns the last run of `service` if its keeper still holds it, with its record.
    ///
    /// # Errors
    /// When the service's name is none.
    pub async fn adopt(
        &self,
        service: &str,
        settings: &ProcessSettings,
    ) -> Result<Option<(Held, RunRecord)>, LaunchError> {
        let runs = self.runs(service)?;
        let found = blocking(move || {
            let (run, folder) = runs.list().pop()?;
            let record = folder.read_run().ok()?;
            // Its exit record is a keeper's last act, so with one it is as good as gone.
            let held = record.run == run && record.is_held() && folder.read_exit().is_err();
            held.then_some((folder, record))
        })
        .await?;
        Ok(found.map(|(folder, record)| (Held::adopted(folder, settings.stop_grace, &record), record)))
    }

    /// Returns the order that `launch` would give.
    ///
    /// # Errors
    /// When our own folder is gone.
    pub fn order(&self, service: &str, run: Uuid, settings: &ProcessSettings) -> io::Result<KeepOrder> {
        let ours =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(KeepOrder {
            service: service.to_owned(),
            run,
            mode: self.mode,
            command: settings.resolved_command(&std::env::current_dir()?),
            args: settings.args.clone(),
            working_dir: settings.working_dir.clone(),
            env: settings.environment(ours),
            user: settings.user,
            stop_grace_ms: u64::try_from(settings.stop_grace.as_millis()).unwrap_or(u64::MAX),
            log_limit_bytes: settings.log_limit_bytes,
        })
    }
}
