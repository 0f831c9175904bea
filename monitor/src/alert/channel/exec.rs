//! `exec`: a program of the user's, started without a shell in a process group of its own that ends with the delivery.
//! It gets the message as JSON on its standard input; its exit code is the answer.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::config::Cursor;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::process::Child;

use super::post::shorten;
use super::{Accepted, Channel, ChannelKind, EvidenceLevel, SendError, words};
use crate::alert::message::Message;
use crate::command::{Group, Program, finish, read_all, signal_name};

/// "Temporary failure" (sysexits.h): the program asks to be started again later.
const EX_TEMPFAIL: i32 = 75;
/// Codes that no further try can change: wrong usage, data, rights or configuration (sysexits.h), not executable, not
/// there (POSIX shell, 2.8.2). Anything else may be a server that was away for a second.
const HOPELESS: [i32; 6] = [64, 65, 77, 78, 126, 127];
/// Output that is kept, in bytes.
const MAX_OUTPUT_BYTES: usize = 16 * 1024;
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
        let program = Program::decode(&fields, "[/usr/local/bin/tell, --team, ops]");
        fields.end();
        Some(Arc::new(ExecChannel(program?)))
    }

    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Full
    }
}

#[derive(Debug)]
struct ExecChannel(Program);

impl Channel for ExecChannel {
    fn target(&self) -> String {
        self.0.name()
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let json = serde_json::to_vec(message).map_err(|error| SendError::Refused(error.to_string()))?;
            let failed = |error: io::Error| SendError::Failed(format!("cannot run {}: {error}", self.0.path()));
            let mut child = self.start(message).map_err(|error| self.explain(&error))?;
            let (status, said, complaint) = hand_over(&mut child, &json).await.map_err(failed)?;
            self.judge(status, &said, &complaint)
        })
    }
}

impl ExecChannel {
    fn start(&self, message: &Message) -> io::Result<Child> {
        let service = message.alerts.first().and_then(|part| part.service.as_deref()).unwrap_or_default();
        let title = words::line(&message.title).chars().take(MAX_TITLE_CHARS).collect::<String>();
        self.0
            .command()
            .env("MONITOR_TITLE", title)
            .env("MONITOR_STATUS", message.status.as_str())
            .env("MONITOR_SEVERITY", message.severity.as_str())
            .env("MONITOR_SERVICE", words::line(service))
            .env("MONITOR_KEY", &message.key)
            .env("MONITOR_DRILL", message.drill.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// What is not there or may not be run is a mistake in the settings; anything else is our own trouble.
    fn explain(&self, error: &io::Error) -> SendError {
        let text = format!("cannot run {}: {error}", self.0.path());
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
        match status.code() {
            Some(0) => Ok(Accepted { answer: first(said), partly: None }),
            Some(EX_TEMPFAIL) => Err(SendError::Failed(why("asks for another try".to_owned()))),
            Some(code) if HOPELESS.contains(&code) => Err(SendError::Refused(why(format!("exited with code {code}")))),
            Some(code) => Err(SendError::Failed(why(format!("exited with code {code}")))),
            None => Err(SendError::Failed(why(format!("was ended by {}", signal_name(status))))),
        }
    }
}

/// Writes the message, reads both outputs and waits for the end.
async fn hand_over(child: &mut Child, json: &[u8]) -> io::Result<(ExitStatus, String, String)> {
    let group = Group::of(child);
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let writing = async {
        if let Some(mut input) = input {
            // A program may end without reading it all; its exit code decides.
            let _not_read = input.write_all(json).await;
        }
    };
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let talking = async {
        tokio::join!(writing, read(output, &mut said), read(errors, &mut complaint));
    };
    let status = finish(child, group, talking).await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status, text(said), text(complaint)))
}

async fn read(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    if let Some(mut output) = output {
        read_all(&mut output, kept, MAX_OUTPUT_BYTES).await;
    }
}
