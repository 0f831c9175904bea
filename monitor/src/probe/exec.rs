//! Kind `exec`: a program of the user's, started without a shell, in a process group of its own that ends with the probe.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use nix::errno::Errno;
use nix::unistd::User;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;

use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Phase, ReasonCode};
use super::run::Run;
use super::turn::Turn;
use crate::command::{Group, Program, finish, read_all, signal_name};

/// Output that is kept, in bytes.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Runs a program.
pub(crate) struct Exec;

impl Kind for Exec {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::ExitCode, Expectation::Body, Expectation::Json]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let program = Program::decode(&fields, "[/usr/lib/nagios/plugins/check_disk, -w, 10%]");
        let args = fields.get("args").map(|c| c.texts()).unwrap_or_default();
        let working_dir = fields.get("working_dir").and_then(|c| c.text()).map(PathBuf::from);
        let user = match fields.get("user") {
            Some(cursor) => decode_user(&cursor).map(Some),
            None => Some(None),
        };
        fields.end();
        let start = Start { program: program?.with_args(args), working_dir, user: user? };
        Some(Arc::new(ExecProbe { start: Arc::new(start), turn: Turn::default() }))
    }
}

fn decode_user(cursor: &Cursor<'_>) -> Option<User> {
    let name = cursor.text()?;
    let found = User::from_name(&name).ok().flatten();
    if found.is_none() {
        cursor.mistake(format!("there is no user {} on this machine", cursor.node().shown()));
    }
    found
}

struct ExecProbe {
    start: Arc<Start>,
    turn: Turn,
}

/// What is started, and how.
struct Start {
    program: Program,
    working_dir: Option<PathBuf>,
    user: Option<User>,
}

/// A program that runs; it ends, with its group, when this is dropped.
struct Started {
    child: Child,
    group: Group,
    output: Receiver,
}

impl std::fmt::Debug for ExecProbe {
    /// Without the user, whose entry may have a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecProbe").field("program", &self.start.program).finish_non_exhaustive()
    }
}

impl Probe for ExecProbe {
    fn target(&self) -> Target {
        Target { shown: self.start.program.name(), scope: Scope::Local }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            // To start waits until the program's file is read, however long its disk takes.
            let (start, traceparent) = (self.start.clone(), run.traceparent.clone());
            let starting = move || start.start(&traceparent).map_err(|error| start.explain(&error));
            let started = self.turn.look(run, self.start.program.path(), starting).await??;
            run.enter(Phase::Exec);
            let (code, body) = outcome(started).await?;
            run.leave();
            match code {
                126 => run.seen.remark("code 126 usually means that something could not be executed"),
                127 => run.seen.remark("code 127 usually means that a command was not found"),
                _ => {}
            }
            Ok(Facts { exit_code: Some(code), body: Some(body), ..Facts::default() })
        }
        .boxed()
    }
}

impl Start {
    /// Starts the program; its two outputs share one pipe, so that their lines stay in order.
    fn start(&self, traceparent: &str) -> io::Result<Started> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.program.command();
        command.env("TRACEPARENT", traceparent).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        if let Some(folder) = &self.working_dir {
            command.current_dir(folder);
        }
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        // The command holds our copy of the pipe's end; it must go, or the pipe would never end.
        let child = command.spawn()?;
        drop(command);
        Ok(Started { group: Group::of(&child), child, output: Receiver::from_owned_fd(reader.into())? })
    }

    fn explain(&self, error: &io::Error) -> Outcome {
        let program = self.program.path();
        if let Some(folder) = self.working_dir.as_ref().filter(|folder| !folder.is_dir()) {
            return Outcome::fail(ReasonCode::Exit, format!("working_dir {} is not a folder", folder.display()));
        }
        let why = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) if program.contains('/') => "there is no such file, or its interpreter (#!) is missing",
            Some(Errno::ENOENT) => "it is not in PATH; write its full path",
            Some(Errno::EACCES) => "it is not executable for this user (chmod +x)",
            Some(Errno::ENOEXEC) => "it is neither a program nor a script that begins with #!",
            Some(Errno::EPERM) => "this user may not start it",
            _ => return Outcome::local(format!("cannot start {program}: {error}")),
        };
        Outcome::fail(ReasonCode::Exit, format!("cannot run {program}: {why}"))
    }
}

/// Waits for the end of the program and takes its output.
async fn outcome(started: Started) -> Result<(i32, Bytes), Outcome> {
    let Started { mut child, group, mut output } = started;
    let mut kept = Vec::new();
    let status = finish(&mut child, group, read_all(&mut output, &mut kept, MAX_OUTPUT_BYTES)).await;
    let status = status.map_err(|error| Outcome::local(format!("cannot wait for the command: {error}")))?;
    match status.code() {
        Some(code) => Ok((code, kept.into())),
        None => {
            let said = if kept.is_empty() { String::new() } else { format!(": {}", excerpt(&kept)) };
            Err(Outcome::fail(ReasonCode::Exit, format!("ended by {}{said}", signal_name(status))))
        }
    }
}
