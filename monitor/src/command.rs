//! A program of the user's: started without a shell, with an environment of its own, in a process group that ends with
//! whatever it was started for. Checks and channels run theirs so.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use kit::config::{Cursor, Fields};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// After the program's end its output is complete, unless a process it left outside its group still holds it open.
const OUTPUT_WAIT: Duration = Duration::from_millis(200);
/// Variables that every program gets from our own environment; the rest needs `env_pass`, for ours holds secrets.
const ALWAYS_PASSED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

/// What to start.
pub(crate) struct Program {
    path: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl fmt::Debug for Program {
    /// Without arguments and environment: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}", self.path)
    }
}

impl Program {
    /// Decodes `command`, `env` and `env_pass`; `example` is shown to whoever wrote no command.
    pub(crate) fn decode(fields: &Fields<'_>, example: &str) -> Option<Self> {
        let command = fields.require("command").and_then(|cursor| decode_command(&cursor, example));
        let env = decode_env(fields);
        let (path, args) = command?;
        Some(Self { path, args, env })
    }

    /// Adds arguments.
    pub(crate) fn with_args(mut self, args: Vec<String>) -> Self {
        self.args.extend(args);
        self
    }

    /// Returns how it was written: a path, or a name to be found in PATH.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns its name without folders, for people.
    pub(crate) fn name(&self) -> String {
        Path::new(&self.path).file_name().unwrap_or(self.path.as_ref()).to_string_lossy().into_owned()
    }

    /// Returns the command that starts it, in a process group of its own ([`Group`]).
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).env_clear().envs(&self.env).process_group(0).kill_on_drop(true);
        command
    }
}

fn decode_command(cursor: &Cursor<'_>, example: &str) -> Option<(String, Vec<String>)> {
    let items = cursor.items();
    let texts: Vec<String> = items.iter().filter_map(Cursor::text).collect();
    if let ([item], [line]) = (items.as_slice(), texts.as_slice())
        && line.contains(char::is_whitespace)
        && !Path::new(line).exists()
    {
        let list = match item.node().substituted {
            // It may be secret.
            Some(_) => "a list".to_owned(),
            None => format!("[{}]", line.split_whitespace().collect::<Vec<_>>().join(", ")),
        };
        let shown = cursor.node().shown();
        cursor.mistake(format!("there is no shell here to split {shown}; write {list}, or [sh, -c, …]"));
        return None;
    }
    let mut texts = texts.into_iter();
    let Some(program) = texts.next().filter(|program| !program.is_empty()) else {
        cursor.mistake(format!("expected a program and its arguments, like {example}"));
        return None;
    };
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

/// A process group, killed when this is dropped: by the deadline, by a reload, or because the program has ended.
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// Takes the group of a child that [`Program::command`] has started.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // ESRCH: nobody is left in it.
            let _already_gone = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Waits for the program's end while `talking` with it; what it has still to say after that has a short time.
///
/// # Errors
/// It cannot be waited for.
pub(crate) async fn finish(
    child: &mut Child,
    group: Group,
    talking: impl Future<Output = ()>,
) -> io::Result<ExitStatus> {
    tokio::pin!(talking);
    let mut is_silent = false;
    let status = loop {
        tokio::select! {
            biased;
            status = child.wait() => break status,
            () = &mut talking, if !is_silent => is_silent = true,
        }
    };
    // Whatever it left running in its group would hold its output open, and belongs to nobody any more.
    drop(group);
    if !is_silent {
        let _cut_short = tokio::time::timeout(OUTPUT_WAIT, talking).await;
    }
    status
}

/// Reads to the end, keeping the first `limit_bytes`: the rest is dropped, so that the program never blocks on us.
///
/// # Cancel safety
/// What was read is kept.
pub(crate) async fn read_all(output: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>, limit_bytes: usize) {
    let mut buffer = [0; 8 * 1024];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        let room = limit_bytes.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

/// Returns the name of the signal that ended a program.
pub(crate) fn signal_name(status: ExitStatus) -> &'static str {
    status.signal().and_then(|number| Signal::try_from(number).ok()).map_or("a signal", Signal::as_str)
}
