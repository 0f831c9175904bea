//! `run.json` and `exit.json`: the frozen, versioned records that a keeper leaves for any monitor.
//!
//! Fields may be added to version 1, and readers ignore those they do not know; a field that changes its meaning makes
//! version 2.

use std::path::PathBuf;

use jiff::Timestamp;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cause::{CODE_CONFIG, CODE_NOT_EXECUTABLE, CODE_NOT_FOUND, Exit};
use super::process_table::{self, ProcessId};

/// The version this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// What becomes of a run when its monitor dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `monitor up`, a person's terminal: the run ends with the monitor, however that ends.
    Up,
    /// `monitor run`: the run goes on, and the next monitor adopts it.
    Run,
}

/// `run.json`: who holds whom since when. Written before the child starts, and again with the child in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// The service's id.
    pub service: String,
    /// The run's id.
    pub run: Uuid,
    /// What the keeper does when the monitor dies.
    pub mode: Mode,
    /// The keeper.
    pub keeper: ProcessId,
    /// The child, which leads its own session; none before it started.
    pub child: Option<ProcessId>,
    /// The boot on which the two ids mean anything.
    pub boot_id: String,
    /// When the run began.
    pub started: Timestamp,
    /// SHA-256 of command, arguments, working directory and user, in hex. The environment, which has the secrets, is
    /// not in it.
    pub command_digest: String,
    /// The cgroup of its own that the child is in, where one could be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<PathBuf>,
}

impl RunRecord {
    /// Returns whether its keeper still runs, so that the run can be adopted.
    pub fn is_held(&self) -> bool {
        self.is_this_boot() && self.keeper.is_alive()
    }

    /// Returns whether the process ids in it belong to this boot.
    pub fn is_this_boot(&self) -> bool {
        process_table::boot_id().is_ok_and(|id| id == self.boot_id)
    }
}

/// Why a keeper ended a child that would have run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The line `stop` or `kill` on the control pipe.
    Asked,
    /// The control pipe closed in mode `up`: the monitor is gone.
    MonitorGone,
    /// SIGTERM to the keeper.
    Signal,
}

/// The step at which a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartStep {
    /// `fork(2)` of the keeper.
    Fork,
    /// Changing user and groups.
    User,
    /// Changing the working directory.
    WorkingDir,
    /// `execve(2)` of the command.
    Command,
}

/// A start that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// Where.
    pub step: StartStep,
    /// Why, `errno(3)`.
    pub errno: i32,
}

impl StartFailure {
    /// Returns the code a shell would have ended with; 78 for a user or folder that the configuration has wrong.
    pub fn code(self) -> i32 {
        match (self.step, self.exit()) {
            (StartStep::User | StartStep::WorkingDir, _) => CODE_CONFIG,
            (_, Exit::Spawn(errno)) if errno == Errno::ENOENT as i32 => CODE_NOT_FOUND,
            _ => CODE_NOT_EXECUTABLE,
        }
    }

    const fn exit(self) -> Exit {
        match self.step {
            StartStep::User | StartStep::WorkingDir => Exit::Prepare(self.errno),
            StartStep::Fork | StartStep::Command => Exit::Spawn(self.errno),
        }
    }
}

/// `exit.json`: how the run ended. The keeper's last act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// The child's exit code; after a failed start the code a shell would give (127, 126).
    pub code: Option<i32>,
    /// The signal that ended the child.
    pub signal: Option<i32>,
    /// Whether the kernel wrote a core file.
    pub core_dumped: bool,
    /// Set when the command never ran.
    pub start_failure: Option<StartFailure>,
    /// When the child ended.
    pub ended: Timestamp,
    /// Set when the keeper ended it.
    pub stopped: Option<StopReason>,
    /// Processes that outlived the child and that the keeper ended.
    pub leftovers_killed: u32,
    /// Processes that outlived even SIGKILL (in uninterruptible sleep, or of another user).
    pub leftovers_alive: u32,
    /// Bytes of output that are not in the log.
    pub log_bytes_dropped: u64,
    /// Whether the kernel just killed something for want of memory where the child was.
    #[serde(default)]
    pub memory_kill: bool,
}

impl ExitRecord {
    /// Returns the fact the cause is made from.
    pub fn exit(&self) -> Exit {
        match (self.start_failure, self.code, self.signal) {
            (Some(failure), ..) => failure.exit(),
            (None, _, Some(signal)) => Exit::Signal(signal),
            (None, Some(code), None) => Exit::Code(code),
            (None, None, None) => Exit::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::cause::Cause;

    #[test]
    fn version_1_is_frozen() {
        let run = RunRecord {
            version: FORMAT_VERSION,
            service: "web".into(),
            run: Uuid::nil(),
            mode: Mode::Run,
            keeper: ProcessId { pid: 10, start_time: 20 },
            child: Some(ProcessId { pid: 11, start_time: 21 }),
            boot_id: "b".into(),
            started: "2026-03-01T12:00:00Z".parse().unwrap(),
            command_digest: "00".into(),
            group: None,
        };
        let json = r#"{"version":1,"service":"web","run":"00000000-0000-0000-0000-000000000000","mode":"run","keeper":{"pid":10,"start_time":20},"child":{"pid":11,"start_time":21},"boot_id":"b","started":"2026-03-01T12:00:00Z","command_digest":"00"}"#;
        assert_eq!(serde_json::to_string(&run).unwrap(), json);
        assert_eq!(serde_json::from_str::<RunRecord>(json).unwrap(), run);
        let failure = StartFailure { step: StartStep::Command, errno: 2 };
        let exit = ExitRecord {
            version: FORMAT_VERSION,
            code: Some(127),
            signal: None,
            core_dumped: false,
            start_failure: Some(failure),
            ended: "2026-03-01T12:00:01Z".parse().unwrap(),
            stopped: Some(StopReason::MonitorGone),
            leftovers_killed: 0,
            leftovers_alive: 0,
            log_bytes_dropped: 0,
            memory_kill: false,
        };
        let json = r#"{"version":1,"code":127,"signal":null,"core_dumped":false,"start_failure":{"step":"command","errno":2},"ended":"2026-03-01T12:00:01Z","stopped":"monitor_gone","leftovers_killed":0,"leftovers_alive":0,"log_bytes_dropped":0}"#;
        assert_eq!(serde_json::from_str::<ExitRecord>(json).unwrap(), exit);
        // What came later is behind it.
        let known = json.strip_suffix('}').unwrap();
        assert_eq!(serde_json::to_string(&exit).unwrap(), format!(r#"{known},"memory_kill":false}}"#));
    }

    #[test]
    fn a_failed_start_has_the_code_of_a_shell_and_a_cause() {
        for (step, errno, code, cause) in [
            (StartStep::Command, 2, 127, "not_found"),
            (StartStep::Command, 13, 126, "not_executable"),
            (StartStep::Fork, 11, 126, "spawn_failed"),
            (StartStep::WorkingDir, 2, 78, "config"),
            (StartStep::User, 1, 78, "config"),
        ] {
            let failure = StartFailure { step, errno };
            assert_eq!(
                (failure.code(), Cause::of(failure.exit(), false, "").name()),
                (code, cause),
                "{step:?} {errno}"
            );
        }
    }
}
