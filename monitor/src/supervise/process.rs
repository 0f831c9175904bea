//! A run as the monitor holds it, through its keeper: waits for its end, stops it, reads what is on record.

use std::io;
use std::time::Duration;

use kit::clock::Stamp;
use nix::sys::signal::{Signal, kill};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::cause::{Cause, Exit};
use super::oom::was_killed_for_memory;
use super::process_table::{self, ProcessId};
use super::run_files::RunFolder;
use super::run_group::RunGroup;
use super::run_record::{ExitRecord, RunRecord, StopReason};

/// How long a keeper may take to put its child on record; it takes about 5 ms.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);
/// How long the control pipe may be full: never, as it holds 64 KiB and we write five bytes.
const PIPE_PATIENCE: Duration = Duration::from_secs(1);
/// Beyond the grace, before the keeper itself is killed: its own limits (SIGKILL 5 s, output 2 s) come first.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How often an adopted keeper, which is not our child, is looked after.
const ADOPTED_LOOK_EVERY: Duration = Duration::from_millis(200);
/// Evidence read after an end.
const EVIDENCE_LINES: usize = 50;
/// The most bytes of evidence.
const EVIDENCE_BYTES: u64 = 16 << 10;

/// A run that a keeper holds. Dropped in mode `up`, the run ends; in mode `run` it goes on.
#[derive(Debug)]
pub struct Held {
    run: Uuid,
    folder: RunFolder,
    child: Option<ProcessId>,
    keeper: Keeper,
    grace: Duration,
}

#[derive(Debug)]
enum Keeper {
    Own { process: Box<Child>, control: ChildStdin },
    Adopted(ProcessId),
}

/// The end of a run, with what a person wants to see first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The bare fact.
    pub exit: Exit,
    /// What fact and evidence mean.
    pub cause: Cause,
    /// When.
    pub at: Stamp,
    /// Why the keeper ended it, if it did.
    pub stopped: Option<StopReason>,
    /// The last lines of this run's output.
    pub last_lines: Vec<String>,
    /// The keeper's record, if it could write one.
    pub record: Option<ExitRecord>,
}

impl Held {
    /// Takes over a keeper that was just given its order, and waits until its child is on record or the run is over.
    pub(super) async fn own(
        run: Uuid,
        folder: RunFolder,
        grace: Duration,
        process: Child,
        control: ChildStdin,
    ) -> io::Result<Self> {
        let keeper = Keeper::Own { process: Box::new(process), control };
        let mut held = Self { run, folder, child: None, keeper, grace };
        held.wait_for_record().await?;
        Ok(held)
    }

    /// Takes over the keeper of `record`, which an earlier monitor started.
    pub(super) const fn adopted(folder: RunFolder, grace: Duration, record: &RunRecord) -> Self {
        Self { run: record.run, folder, child: record.child, keeper: Keeper::Adopted(record.keeper), grace }
    }

    /// Returns the run's id.
    pub const fn run(&self) -> Uuid {
        self.run
    }

    /// Returns the child's process id; none if it never came on record.
    pub fn pid(&self) -> Option<i32> {
        self.child.map(|child| child.pid)
    }

    /// Returns the run's folder.
    pub const fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Waits until the keeper is gone, and returns what it left on record.
    ///
    /// # Cancel safety
    /// Safe: the end is found again by the next call.
    pub async fn wait(&mut self) -> Ending {
        self.wait_for_keeper().await;
        read_ending(self.folder.clone(), self.child).await
    }

    /// Asks the run to end, waits for it, and in the last resort kills the keeper too.
    ///
    /// # Cancel safety
    /// Safe: asked once it ends anyway, but then nobody sees to the last resort.
    pub async fn stop(&mut self) -> Ending {
        self.ask_to_stop().await;
        if timeout(self.grace.saturating_add(STOP_PATIENCE), self.wait_for_keeper()).await.is_err() {
            self.kill_keeper().await;
        }
        read_ending(self.folder.clone(), self.child).await
    }

    async fn ask_to_stop(&mut self) {
        match &mut self.keeper {
            Keeper::Own { control, .. } => {
                // If the keeper is gone already, the pipe is closed, and waiting finds out why.
                let _ = timeout(PIPE_PATIENCE, control.write_all(b"stop\n")).await;
            }
            Keeper::Adopted(keeper) if keeper.is_alive() => {
                let _ = kill(keeper.as_pid(), Signal::SIGTERM);
            }
            Keeper::Adopted(_) => {}
        }
    }

    async fn wait_for_keeper(&mut self) {
        match &mut self.keeper {
            Keeper::Own { process, .. } => {
                // The exit code says no more than the record; an error means that there is nothing to wait for.
                let _ = process.wait().await;
            }
            Keeper::Adopted(keeper) => {
                while keeper.is_alive() {
                    sleep(ADOPTED_LOOK_EVERY).await;
                }
            }
        }
    }

    async fn kill_keeper(&mut self) {
        match &mut self.keeper {
            Keeper::Own { process, .. } => {
                let _ = process.kill().await;
            }
            Keeper::Adopted(keeper) => {
                let _ = kill(keeper.as_pid(), Signal::SIGKILL);
            }
        }
    }

    /// Waits until the child is on record or the run is over already.
    async fn wait_for_record(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + RECORD_PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            let folder = self.folder.clone();
            self.child = blocking(move || folder.read_run().ok().and_then(|record| record.child)).await?;
            let over = match &mut self.keeper {
                Keeper::Own { process, .. } => process.try_wait()?.is_some(),
                Keeper::Adopted(_) => true,
            };
            if self.child.is_some() || over || Instant::now() >= deadline {
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// Returns how the run in `folder` ended; without a record, its keeper was killed, and what is left of it is ended here.
pub async fn read_ending(folder: RunFolder, child: Option<ProcessId>) -> Ending {
    let read = blocking(move || {
        let record = folder.read_exit().ok();
        let group = folder.read_run().ok().and_then(|run| RunGroup::at(&run.group?));
        let last_lines = folder.last_lines(EVIDENCE_LINES, EVIDENCE_BYTES).unwrap_or_default();
        if let (None, Some(child)) = (&record, child) {
            kill_session(child);
        }
        // Its keeper did so, unless that was killed itself.
        group.iter().for_each(RunGroup::end);
        let exit = record.as_ref().map_or(Exit::Lost, ExitRecord::exit);
        let by_us = record.as_ref().is_some_and(|record| record.stopped.is_some());
        let counted = record.as_ref().is_some_and(|record| record.memory_kill);
        let is_killed = exit == Exit::Signal(Signal::SIGKILL as i32) && !by_us;
        let oom = is_killed && (counted || child.is_some_and(was_killed_for_memory));
        let now = Stamp::now();
        let at = record.as_ref().map_or(now, |record| now.stamp_of(record.ended));
        let cause = Cause::of(exit, oom, &last_lines.join("\n"));
        Ending { exit, cause, at, stopped: record.as_ref().and_then(|record| record.stopped), last_lines, record }
    });
    let lost = |_| Ending {
        exit: Exit::Lost,
        cause: Cause::Lost,
        at: Stamp::now(),
        stopped: None,
        last_lines: Vec::new(),
        record: None,
    };
    read.await.unwrap_or_else(lost)
}

/// The child itself died with its keeper; what stayed in its session is orphaned and would hold ports and locks.
fn kill_session(child: ProcessId) {
    for process in process_table::session(child) {
        let _ = kill(process.as_pid(), Signal::SIGKILL);
    }
}

/// Runs `work`, which touches files, off the runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)
}
