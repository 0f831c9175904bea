//! `park`, `quarantine`, `release`, `discard`, and `redrive` of one letter.

use std::process::ExitCode;

use kit::cli::{AskError, at, say};
use kit::exit;
use serde_json::json;

use super::client::{Because, Daemon, in_path};
use super::letters::in_a_line;
use crate::ledger::Act;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor park 5b0c… --reason 'waits for release 7'")]
pub(super) struct ActCommand {
    /// The letter's id.
    id: String,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &ActCommand, act: Act) -> Result<ExitCode, AskError> {
    with_one(&command.daemon, &command.id, act, None, &command.because).await
}

/// Does something with one letter; what is redriven goes into the queue `to`, if that is given.
pub(super) async fn with_one(
    daemon: &Daemon,
    id: &str,
    act: Act,
    to: Option<&str>,
    because: &Because,
) -> Result<ExitCode, AskError> {
    let path = format!("/api/v1/letters/{}/{}", in_path(id)?, act.word());
    let (mut body, key) = because.settled();
    if let (Some(to), Some(body)) = (to, body.as_object_mut()) {
        body.insert("to".to_owned(), json!(to));
    }
    let answer = daemon.post(&path, &body, &key).await?;
    let answer = json!({ "letter": at(&answer, "letter"), "key": key });
    daemon.show(&answer, || {
        say(in_a_line(&answer));
        say(format_args!("key: {key}"));
    });
    Ok(ExitCode::from(exit::YES))
}
