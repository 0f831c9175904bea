//! `park`, `quarantine`, `release`, `discard` (also for good), and `redrive` of one letter.

use std::process::ExitCode;

use kit::cli::{AskError, at, say, word};
use kit::exit;
use serde_json::json;

use super::client::{Because, Daemon, in_path};
use super::letters::in_a_line;
use super::render::harmless;
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

/// Gives a letter up; what it held is kept for a while.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dlq-processor discard 5b0c… --reason 'nobody needs it'\n  \
                        dlq-processor discard 5b0c… --hard --yes --reason 'she wants to be forgotten'")]
pub(super) struct DiscardCommand {
    /// Removes what it holds at once and for good, also of what ended or was discarded before; for admins.
    #[arg(long)]
    hard: bool,
    /// Does that; without it only what it means is said.
    #[arg(long, requires = "hard")]
    yes: bool,
    #[command(flatten)]
    act: ActCommand,
}

const HARD: &str = "\
What its job held, its stack trace, its edits and what its source kept of it are removed from the ledger at once and for good:
it can never be redriven. That it was there, its job's id and name, its message, and who removed it and why stay. What its queue
itself still has is not touched.";

pub(super) async fn discard(DiscardCommand { hard, yes, act }: &DiscardCommand) -> Result<ExitCode, AskError> {
    let ActCommand { id, because, daemon } = act;
    if !hard {
        return with_one(daemon, id, Act::Discard, None, because).await;
    }
    let path = format!("/api/v1/letters/{}", in_path(id)?);
    if !yes {
        let found = daemon.get(&path).await?;
        let answer = json!({ "letter": at(&found, "letter"), "note": HARD, "is_dry": true });
        daemon.show(&answer, || {
            say(format_args!("{}\n\n{HARD}\n\nNothing is done yet; to do it: add --yes", in_a_line(&found)));
        });
        return Ok(ExitCode::from(exit::YES));
    }
    let (mut body, key) = because.settled();
    body.as_object_mut().map(|body| body.insert("hard".to_owned(), json!(true)));
    let answer = daemon.post(&format!("{path}/discard"), &body, &key).await?;
    let answer = json!({ "letter": at(&answer, "letter"), "note": at(&answer, "note"), "is_dry": false, "key": key });
    daemon.show(&answer, || {
        say(format_args!("{}, and what it held is removed", in_a_line(&answer)));
        if !at(&answer, "note").is_null() {
            say(harmless(word(&answer, "note")));
        }
        say(format_args!("key: {key}"));
    });
    Ok(ExitCode::from(exit::YES))
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
