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
    with_one(&command.daemon, &command.id, act, &command.because).await
}

/// Does something with one letter.
pub(super) async fn with_one(daemon: &Daemon, id: &str, act: Act, because: &Because) -> Result<ExitCode, AskError> {
    let path = format!("/api/v1/letters/{}/{}", in_path(id)?, act.word());
    let (body, key) = because.settled();
    let answer = daemon.post(&path, &body, &key).await?;
    let answer = json!({ "letter": at(&answer, "letter"), "key": key });
    daemon.show(&answer, || {
        say(in_a_line(&answer));
        say(format_args!("key: {key}"));
    });
    Ok(ExitCode::from(exit::YES))
}
