//! Kind `exec`: a program of the user's, started without a shell, in a process group of its own that ends with the probe.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Phase, ReasonCode};
use super::run::Run;

/// Output that is kept, in bytes; more is read and dropped, so that the program never blocks on us.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// After the program's end its output is complete, unless a process it left outside its group still holds it open.
const OUTPUT_WAIT: Duration = Duration::from_millis(200);
/// Variables that every program gets from our own environment; the rest needs `env_pass`, for ours holds secrets.
const ALWAYS_PASSED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

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
        let command = fields.require("command").and_then(|c| decode_command(&c));
        let args = fields.get("args").map(|c| c.texts()).unwrap_or_default();
        let env = decode_env(&fields);
        let working_dir = fields.get("working_dir").and_then(|c| c.text()).map(PathBuf::from);
        let user = match fields.get("user") {
            Some(cursor) => decode_user(&cursor).map(Some),
            None => Some(None),
        };
        fields.end();
        let (program, mut all) = command?;
        all.extend(args);
        Some(Arc::new(ExecProbe { program, args: all, env, working_dir, user: user? }))
    }
}

fn decode_command(cursor: &Cursor<'_>) -> Option<(String, Vec<String>)> {
    let items = cursor.items();
    let texts: Vec<String> = items.iter().filter_map(Cursor::text).collect();
    let single = items.len() == 1 && texts.len() == 1;
    let mut texts = texts.into_iter();
    let program = texts.next().filter(|program| !program.is_empty());
    let Some(program) = program else {
        cursor.mistake("expected a program and its arguments, like [/usr/lib/nagios/plugins/check_disk, -w, 10%]");
        return None;
    };
    if single && program.contains(char::is_whitespace) && !Path::new(&program).exists() {
        let words: Vec<&str> = program.split_whitespace().collect();
        cursor.mistake(format!(
            "there is no shell here to split {}; write [{}], or [sh, -c, …]",
            cursor.node().shown(),
            words.join(", ")
        ));
        return None;
    }
    Some((program, texts.collect()))
}

fn decode_env(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let passed = fields.get("env_pass").map(|c| c.texts()).unwrap_or_default();
    let names = ALWAYS_PASSED.iter().map(ToString::to_string).chain(passed);
    let mut env: BTreeMap<String, String> =
        names.filter_map(|name| std::env::var(&name).ok().map(|value| (name, value))).collect();
    env.extend(fields.text_map("env"));
    env
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
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    working_dir: Option<PathBuf>,
    user: Option<User>,
}

impl std::fmt::Debug for ExecProbe {
    /// Without arguments and environment: they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecProbe").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Probe for ExecProbe {
    fn target(&self) -> Target {
        let name = Path::new(&self.program).file_name().unwrap_or(self.program.as_ref());
        Target { shown: name.to_string_lossy().into_owned(), scope: Scope::Local }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            run.enter(Phase::Exec);
            let (mut child, output) = self.start(&run.traceparent).map_err(|error| self.explain(&error))?;
            let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
            let (code, body) = finish(&mut child, output, group).await?;
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

impl ExecProbe {
    /// Starts the program; its two outputs share one pipe, so that their lines stay in order.
    fn start(&self, traceparent: &str) -> io::Result<(Child, Receiver)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .env("TRACEPARENT", traceparent)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        if let Some(folder) = &self.working_dir {
            command.current_dir(folder);
        }
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        // The command holds our copy of the pipe's end; it must go, or the pipe would never end.
        let child = command.spawn()?;
        drop(command);
        Ok((child, Receiver::from_owned_fd(reader.into())?))
    }

    fn explain(&self, error: &io::Error) -> Outcome {
        let program = &self.program;
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
async fn finish(child: &mut Child, mut output: Receiver, group: Group) -> Result<(i32, Bytes), Outcome> {
    let mut kept = BytesMut::new();
    let status = {
        let reading = read_all(&mut output, &mut kept);
        tokio::pin!(reading);
        let mut all_read = false;
        loop {
            tokio::select! {
                biased;
                status = child.wait() => break status,
                () = &mut reading, if !all_read => all_read = true,
            }
        }
    };
    // Whatever the program left running in its group would hold the pipe open, and belongs to nobody any more.
    drop(group);
    let _cut_short = tokio::time::timeout(OUTPUT_WAIT, read_all(&mut output, &mut kept)).await;
    let status = status.map_err(|error| Outcome::local(format!("cannot wait for the command: {error}")))?;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok((code, kept.freeze())),
        (None, signal) => {
            let name = signal.and_then(|number| Signal::try_from(number).ok()).map_or("a signal", Signal::as_str);
            let said = if kept.is_empty() { String::new() } else { format!(": {}", excerpt(&kept)) };
            Err(Outcome::fail(ReasonCode::Exit, format!("ended by {name}{said}")))
        }
    }
}

/// Reads to the end, keeping the first [`MAX_OUTPUT_BYTES`]. Cancel safe: what was read is kept.
async fn read_all(output: &mut Receiver, kept: &mut BytesMut) {
    let mut buffer = [0; 8 * 1024];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        let room = MAX_OUTPUT_BYTES.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

/// A process group, killed when this is dropped: by the deadline, by a reload, or because the program has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // ESRCH: nobody is left in it.
            let _already_gone = killpg(group, Signal::SIGKILL);
        }
    }
}
