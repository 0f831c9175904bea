//! The real binary under `strace`, which can end it exactly before a system call, or make the call fail.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::eventually;

use crate::harness::{LIMIT, TOKEN};

/// A system call on one file of the data folder, or on any socket: one kind of step on the way of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its name.
    pub(crate) name: &'static str,
    /// The file; none for what goes to the receiver.
    pub(crate) file: Option<&'static str>,
}

/// What happens at a call.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The call.
    pub(crate) call: Call,
    /// Which one of its kind, from 1.
    pub(crate) nth: usize,
    /// What happens, in the words of strace(1), `--inject`.
    pub(crate) what: What,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The monitor dies before the call is made.
    Dies,
    /// This one call fails.
    FailsOnce(&'static str),
    /// It and every later one fail.
    FailsFromThenOn(&'static str),
}

/// A monitor under `strace`.
pub(crate) struct Traced {
    strace: Child,
    trace: PathBuf,
}

impl Traced {
    /// Starts `monitor run` with one thread for everything but files, so that its sends have numbers: `strace` counts the
    /// calls of each thread. A store writes on one thread of its own.
    pub(crate) fn start(config: &Path, fault: Option<&Fault>) -> Self {
        let folder = config.parent().unwrap();
        let trace = folder.join("trace");
        let mut strace = Command::new("strace");
        // Not with --seccomp-bpf: then a call that is to be the last is still made.
        strace.args(["--follow-forks", "--quiet=all", "--decode-fds=path", "--output"]).arg(&trace);
        match fault {
            None => strace.arg("--trace=pwrite64,fsync,ftruncate,unlink,writev"),
            Some(Fault { call, nth, what }) => {
                let path = call.file.map(|file| folder.join("data").join(file));
                strace.args(path.map(|path| format!("--trace-path={}", path.display())));
                strace.arg(format!("--trace={}", call.name)).arg(match what {
                    What::Dies => format!("--inject={}:signal=SIGKILL:when={nth}", call.name),
                    What::FailsOnce(error) => format!("--inject={}:error={error}:when={nth}", call.name),
                    What::FailsFromThenOn(error) => format!("--inject={}:error={error}:when={nth}+", call.name),
                })
            }
        };
        let strace = strace
            .arg(env!("CARGO_BIN_EXE_monitor"))
            .args(["run", "--config"])
            .arg(config)
            .env("TOKEN", TOKEN)
            .env("LOG_LEVEL", "warn")
            .env("TOKIO_WORKER_THREADS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is installed; see compose/e2e/setup");
        Self { strace, trace }
    }

    /// Waits until `came_true`; returns false if the monitor died first.
    pub(crate) async fn lives_until(&mut self, what: &str, came_true: impl Fn() -> bool) -> bool {
        eventually(what, LIMIT, async || {
            let is_over = self.strace.try_wait().unwrap().is_some();
            (is_over || came_true()).then_some(!is_over)
        })
        .await
    }

    /// Asks it to end, and waits for that; returns false if it was killed on the way.
    pub(crate) async fn ends(&mut self) -> bool {
        if let Some(monitor) = self.monitor() {
            kill(monitor, Signal::SIGTERM).unwrap();
        }
        let status = self.ended().await;
        assert!(status.code() == Some(0) || status.signal() == Some(Signal::SIGKILL as i32), "{status}");
        status.success()
    }

    /// Waits for its end, whatever leads to it; `strace` ends as what it traced did.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the traced monitor to end", LIMIT, async || self.strace.try_wait().unwrap()).await
    }

    /// Returns every call so far, in order.
    pub(crate) fn trace(&self) -> Trace {
        let text = std::fs::read_to_string(&self.trace).unwrap();
        Trace(text.lines().map(str::to_owned).collect())
    }

    /// The only child of `strace`; none once it is over.
    fn monitor(&self) -> Option<Pid> {
        let id = self.strace.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // Still there only when the test failed. Without its tracer it would run on.
        if let Ok(None) = self.strace.try_wait() {
            let _ended = self.monitor().map(|monitor| kill(monitor, Signal::SIGKILL));
            let _reaped = self.strace.wait();
        }
    }
}

/// The calls of one life, a line each.
pub(crate) struct Trace(Vec<String>);

impl Trace {
    /// Returns the places of the lines that tell of a call's beginning.
    fn places(&self, call: Call) -> impl Iterator<Item = usize> {
        let begins = format!("{}(", call.name);
        let file = call.file.map(|file| format!("/{file}"));
        self.0.iter().enumerate().filter_map(move |(place, line)| {
            // `PID  pwrite64(16</tmp/x/data/state.db-wal>, …`, or `PID  unlink("/tmp/x/data/state.db-wal") = 0`.
            let (_, rest) = line.split_once(' ')?;
            let is_about = |file: &String| ['>', '"'].iter().any(|end| rest.contains(&format!("{file}{end}")));
            (rest.trim_start().starts_with(&begins) && file.as_ref().is_none_or(is_about)).then_some(place)
        })
    }

    /// Returns how many there were.
    pub(crate) fn count(&self, call: Call) -> usize {
        self.places(call).count()
    }

    /// Returns how many of a call there were before the `nth` other one.
    pub(crate) fn count_before(&self, call: Call, border: Call, nth: usize) -> usize {
        let place = self.places(border).nth(nth - 1).unwrap();
        self.places(call).filter(|known| *known < place).count()
    }
}
