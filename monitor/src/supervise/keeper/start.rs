//! `monitor keep-start`: becomes the command, inside the child, after the steps that only the child itself can take.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, getppid, setgid, setgroups, setsid, setuid};
use serde::{Deserialize, Serialize};

use super::order::{KeepOrder, UserIds};
use crate::supervise::run_group::RunGroup;
use crate::supervise::run_record::{StartFailure, StartStep};

/// Where the child says why its command never ran. Open for as long as that is possible: `exec` closes it.
const FAILURE: &str = "start-failure.json";

/// The argument of `monitor keep-start`; it is seen in `ps`, so the environment is not in it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StartOrder {
    folder: PathBuf,
    keeper: i32,
    group: Option<PathBuf>,
    user: Option<UserIds>,
    working_dir: Option<PathBuf>,
    command: String,
    args: Vec<String>,
}

impl StartOrder {
    pub(super) fn new(folder: &Path, keeper: i32, group: Option<&RunGroup>, order: &KeepOrder) -> Self {
        Self {
            folder: folder.to_owned(),
            keeper,
            group: group.map(|group| group.path().to_owned()),
            user: order.user,
            working_dir: order.working_dir.clone(),
            command: order.command.clone(),
            args: order.args.clone(),
        }
    }
}

/// Becomes the command; returns only if that failed, after the reason is in the run's folder.
pub(super) fn start(order: &StartOrder) -> ExitCode {
    let path = order.folder.join(FAILURE);
    // Opened before the user changes, who may not write there.
    let report = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    let failure = become_command(order);
    if let (Ok(mut report), Ok(json)) = (report, serde_json::to_vec(&failure)) {
        let _ = report.write_all(&json);
    }
    ExitCode::from(u8::try_from(failure.code()).unwrap_or(u8::MAX))
}

/// Takes the report of the child in `folder`, if its command never ran.
pub(super) fn take_failure(folder: &Path) -> Option<StartFailure> {
    let path = folder.join(FAILURE);
    let report = std::fs::read(&path).ok()?;
    let _ = std::fs::remove_file(path);
    serde_json::from_slice(&report).ok()
}

/// Returns the errno of `error`; what has none, such as a NUL byte in an argument, is EINVAL.
pub(super) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::EINVAL as i32)
}

fn become_command(order: &StartOrder) -> StartFailure {
    let failed = |step, errno: Errno| StartFailure { step, errno: errno as i32 };
    // The keeper blocks signals and `exec` keeps the mask, so it is emptied for the command.
    let _ = SigSet::empty().thread_set_mask();
    // A fresh child leads no group, so this cannot fail; the session keeps a terminal's Ctrl-C and hang-up away.
    let _ = setsid();
    // Before the user changes, who may not. It runs as well in the keeper's group.
    let _ = order.group.as_deref().and_then(RunGroup::at).map(|group| group.enter());
    spare_no_more();
    if let Some(Err(errno)) = order.user.map(become_user) {
        return failed(StartStep::User, errno);
    }
    if let Some(Err(error)) = order.working_dir.as_ref().map(std::env::set_current_dir) {
        return StartFailure { step: StartStep::WorkingDir, errno: errno_of(&error) };
    }
    // After the user changed, which clears it (prctl(2), PR_SET_PDEATHSIG): a child without a keeper has no end.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    if getppid().as_raw() != order.keeper {
        return failed(StartStep::Fork, Errno::ESRCH);
    }
    let error = Command::new(&order.command).args(&order.args).exec();
    StartFailure { step: StartStep::Command, errno: errno_of(&error) }
}

/// What spares the monitor when memory runs out (`OOMScoreAdjust=`) is inherited, and is not meant for its children:
/// everybody may raise his own score (proc(5)).
fn spare_no_more() {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let is_spared =
        std::fs::read_to_string(SCORE).is_ok_and(|score| score.trim().parse::<i32>().is_ok_and(|score| score < 0));
    if is_spared {
        let _ = std::fs::write(SCORE, "0");
    }
}

fn become_user(user: UserIds) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setgroups(&[gid])?;
    setgid(gid)?;
    setuid(uid)
}
