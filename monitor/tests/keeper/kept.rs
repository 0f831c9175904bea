//! A keeper under test, the search for what it left behind, and waiting with a limit.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use monitor::supervise::keeper::{Environment, KeepOrder};
use monitor::supervise::process_table::ProcessId;
use monitor::supervise::run_files::RunFolder;
use monitor::supervise::run_record::{ExitRecord, Mode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use uuid::Uuid;

/// The built program, which is its own keeper.
pub(crate) const MONITOR: &str = env!("CARGO_BIN_EXE_monitor");
/// Ten times what anything here should take, and more on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `holds`, and fails after the limit.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the order to run `script` in a shell; every process of its family has `TOKEN` in its environment.
pub(crate) fn order(script: &str) -> KeepOrder {
    let run = Uuid::now_v7();
    let path = std::env::var("PATH").unwrap();
    let env = [("PATH".to_owned(), path), ("TOKEN".to_owned(), run.to_string())];
    KeepOrder {
        service: "tested".into(),
        run,
        mode: Mode::Up,
        command: "sh".into(),
        args: vec!["-c".into(), script.into()],
        working_dir: None,
        env: Environment(env.into()),
        user: None,
        stop_grace_ms: 10_000,
        log_limit_bytes: 1 << 20,
    }
}

/// Returns the living processes that carry the token of this run.
pub(crate) fn family(order: &KeepOrder) -> Vec<i32> {
    let token = format!("TOKEN={}", order.run);
    let has_token = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == token.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // A dead process has no environment; one that is about to be is asked about again by `eventually`.
    pids.filter(has_token).collect()
}

/// A running keeper.
pub(crate) struct Kept {
    pub(crate) order: KeepOrder,
    pub(crate) keeper: Child,
    pub(crate) control: Option<ChildStdin>,
    pub(crate) folder: RunFolder,
    /// Removed when the test ends.
    _place: TempDir,
}

impl Kept {
    /// Starts a keeper on `order` whose control pipe this test holds.
    pub(crate) fn start(order: KeepOrder) -> Self {
        Self::start_as(Path::new(MONITOR), order)
    }

    /// Starts it with another program.
    pub(crate) fn start_as(program: &Path, order: KeepOrder) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut keeper = command(program, &place).stdin(Stdio::piped()).spawn().unwrap();
        let mut control = keeper.stdin.take().unwrap();
        control.write_all(&order.to_line().unwrap()).unwrap();
        let folder = RunFolder::at(place.path().to_owned());
        Self { order, keeper, control: Some(control), folder, _place: place }
    }

    /// Starts a keeper whose control pipe another process holds, which stands in for the monitor; returns both.
    pub(crate) fn start_under_stand_in(order: KeepOrder) -> (Self, Child) {
        let place = tempfile::tempdir().unwrap();
        let line = place.path().join("order");
        fs::write(&line, order.to_line().unwrap()).unwrap();
        let mut stand_in = Command::new("sh");
        stand_in.args(["-c", "cat \"$0\"; exec sleep 1000"]).arg(&line).stdout(Stdio::piped());
        let mut stand_in = stand_in.spawn().unwrap();
        let keeper = command(Path::new(MONITOR), &place).stdin(stand_in.stdout.take().unwrap()).spawn().unwrap();
        let folder = RunFolder::at(place.path().to_owned());
        (Self { order, keeper, control: None, folder, _place: place }, stand_in)
    }

    /// Waits until the child has printed `line`.
    pub(crate) fn wait_for_line(&self, line: &str) {
        eventually(line, || self.folder.last_lines(100, 1 << 16).unwrap().iter().any(|printed| printed == line));
    }

    /// Sends a line down the control pipe.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.control.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a signal to the keeper.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.keeper.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the keeper and returns its record; nothing of the family may be left by then.
    pub(crate) fn end(&mut self) -> ExitRecord {
        let mut status = None;
        eventually("the keeper ends", || {
            status = self.keeper.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0));
        assert_eq!(family(&self.order), Vec::<i32>::new(), "left behind");
        self.folder.read_exit().unwrap()
    }

    /// Returns the child on record.
    pub(crate) fn child(&self) -> ProcessId {
        let mut child = None;
        eventually("the child is on record", || {
            child = self.folder.read_run().ok().and_then(|record| record.child);
            child.is_some()
        });
        child.unwrap()
    }
}

impl Drop for Kept {
    /// A failed test leaves nothing either: closing the pipe is not enough in mode `run`, SIGTERM is.
    fn drop(&mut self) {
        if self.keeper.try_wait().is_ok_and(|status| status.is_none()) {
            self.control = None;
            self.signal(Signal::SIGTERM);
            let _ = self.keeper.wait();
        }
    }
}

fn command(program: &Path, place: &TempDir) -> Command {
    let mut command = Command::new(program);
    command.arg("keep").arg(place.path());
    command
}
