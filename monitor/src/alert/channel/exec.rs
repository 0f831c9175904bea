//! `exec`: a program of the user's, started without a shell in a process group of its own that ends with the delivery.
//! It gets the message as JSON on its standard input; its exit code is the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::post::shorten;
use super::{Accepted, Channel, ChannelKind, EvidenceLevel, SendError, words};
use crate::alert::message::Message;

/// "Temporary failure" (sysexits.h): the program asks to be started again later.
const EX_TEMPFAIL: i32 = 75;
/// Output that is kept, in bytes; more is read and dropped, so that the program never blocks on us.
const MAX_OUTPUT_BYTES: usize = 16 * 1024;
/// After the program's end its output is complete, unless a process it left outside its group still holds it open.
const OUTPUT_WAIT: Duration = Duration::from_millis(200);
/// Variables that every program gets from our own environment; the rest needs `env_pass`, for ours holds secrets.
const ALWAYS_PASSED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];
/// Longest title in the environment, in characters.
const MAX_TITLE_CHARS: usize = 500;

/// The kind.
pub(super) struct Exec;

impl ChannelKind for Exec {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        let fields = cursor.fields()?;
        let command = fields.require("command").and_then(|c| command(&c));
        let env = environment(&fields);
        fields.end();
        let (program, args) = command?;
        Some(Arc::new(Program { program, args, env }))
    }

    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Full
    }
}

fn command(cursor: &Cursor<'_>) -> Option<(String, Vec<String>)> {
    let items = cursor.items();
    let texts: Vec<String> = items.iter().filter_map(Cursor::text).collect();
    let is_line = matches!(texts.as_slice(), [only] if only.contains(char::is_whitespace) && !Path::new(only).exists());
    let mut texts = texts.into_iter();
    match texts.next().filter(|program| !program.is_empty()) {
        Some(_) if is_line => {
            let shown = cursor.node().shown();
            cursor.mistake(format!("there is no shell here to split {shown}; write a list, or [sh, -c, …]"));
            None
        }
        Some(program) => Some((program, texts.collect())),
        None => {
            cursor.mistake("expected a program and its arguments, like [/usr/local/bin/tell, --team, ops]");
            None
        }
    }
}

fn environment(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let passed = fields.get("env_pass").map(|c| c.texts()).unwrap_or_default();
    let names = ALWAYS_PASSED.iter().map(ToString::to_string).chain(passed);
    let mut env: BTreeMap<String, String> =
        names.filter_map(|name| std::env::var(&name).ok().map(|value| (name, value))).collect();
    env.extend(fields.text_map("env"));
    env
}

struct Program {
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl fmt::Debug for Program {
    /// Without arguments and environment: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exec of {}", self.program)
    }
}

impl Channel for Program {
    fn target(&self) -> String {
        Path::new(&self.program).file_name().unwrap_or(self.program.as_ref()).to_string_lossy().into_owned()
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let json = serde_json::to_vec(message).map_err(|error| SendError::Refused(error.to_string()))?;
            let failed = |error: io::Error| SendError::Failed(format!("cannot run {}: {error}", self.program));
            let mut child = self.start(message).map_err(|error| self.explain(&error))?;
            let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
            let (status, said, complaint) = finish(&mut child, &json, group).await.map_err(failed)?;
            self.judge(status, &said, &complaint)
        })
    }
}

impl Program {
    fn start(&self, message: &Message) -> io::Result<Child> {
        let service = message.alerts.first().and_then(|part| part.service.as_deref()).unwrap_or_default();
        let title = words::line(&message.title).chars().take(MAX_TITLE_CHARS).collect::<String>();
        Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .env("MONITOR_TITLE", title)
            .env("MONITOR_STATUS", message.status.as_str())
            .env("MONITOR_SEVERITY", message.severity.as_str())
            .env("MONITOR_SERVICE", words::line(service))
            .env("MONITOR_KEY", &message.key)
            .env("MONITOR_DRILL", message.drill.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// What is not there or may not be run is a mistake in the settings; anything else is our own trouble.
    fn explain(&self, error: &io::Error) -> SendError {
        let text = format!("cannot run {}: {error}", self.program);
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => SendError::Refused(text),
            _ => SendError::Failed(text),
        }
    }

    /// Judges by the exit code. A program that was killed, or that the shell could not find, may be there again later.
    fn judge(&self, status: ExitStatus, said: &str, complaint: &str) -> Result<Accepted, SendError> {
        let first = |text: &str| shorten(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default());
        let why = |how: String| match first(complaint) {
            line if line.is_empty() => format!("{} {how}", self.target()),
            line => format!("{} {how}: {line}", self.target()),
        };
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(Accepted { answer: first(said), partly: None }),
            (Some(EX_TEMPFAIL), _) => Err(SendError::Failed(why("asks for another try".to_owned()))),
            (Some(code), _) => Err(SendError::Refused(why(format!("exited with code {code}")))),
            (None, signal) => {
                let name = signal.and_then(|number| Signal::try_from(number).ok()).map_or("a signal", Signal::as_str);
                Err(SendError::Failed(why(format!("was ended by {name}"))))
            }
        }
    }
}

/// Writes the message, reads both outputs and waits for the end.
async fn finish(child: &mut Child, json: &[u8], group: Group) -> io::Result<(ExitStatus, String, String)> {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let writing = async {
        if let Some(mut input) = input {
            // A program may end without reading it all; its exit code decides.
            let _not_read = input.write_all(json).await;
        }
    };
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let status = {
        let talking = async { tokio::join!(writing, read(output, &mut said), read(errors, &mut complaint)) };
        tokio::pin!(talking);
        let mut is_silent = false;
        let status = loop {
            tokio::select! {
                biased;
                status = child.wait() => break status,
                _ = &mut talking, if !is_silent => is_silent = true,
            }
        };
        // Whatever it left running in its group would hold the pipes open, and belongs to nobody any more.
        drop(group);
        if !is_silent {
            let _cut_short = tokio::time::timeout(OUTPUT_WAIT, talking).await;
        }
        status?
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status, text(said), text(complaint)))
}

/// Reads to the end, keeping the first [`MAX_OUTPUT_BYTES`].
async fn read(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    let mut buffer = [0; 4 * 1024];
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
