//! `redrive`: one letter, or all that filters name.

use std::process::ExitCode;

use kit::cli::{AskError, at, say, word};
use kit::exit;
use serde_json::json;

use super::acts;
use super::client::{Because, Daemon};
use super::plan::{DraftArguments, make, take_step};
use super::plan_shown::made;
use crate::ledger::{Act, Step};

/// Redrives a letter; or, with filters instead of an id, says what would be redriven, and does it with --yes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dlq-processor redrive 5b0c… --reason 'the address was mended'\n  \
                        dlq-processor redrive 5b0c… --to mails-slow --reason 'it takes too long'\n  \
                        dlq-processor redrive --class malformed --reason 'addresses were mended'\n  \
                        dlq-processor redrive --class malformed --reason 'addresses were mended' --yes --wait")]
pub(super) struct RedriveCommand {
    /// The letter's id.
    id: Option<String>,
    /// Puts it into this queue, as another job, instead of where it failed.
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    #[command(flatten)]
    because: Because,
    /// Redrives what filters name; without it only what that is is said.
    #[arg(long, conflicts_with = "id")]
    yes: bool,
    /// Waits until all of that has been redriven.
    #[arg(long, requires = "yes")]
    wait: bool,
    #[command(flatten)]
    draft: DraftArguments,
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &RedriveCommand) -> Result<ExitCode, AskError> {
    let RedriveCommand { id, to, because, yes, wait, draft, daemon } = command;
    match id {
        Some(id) if draft.is_about_all() => {
            return acts::with_one(daemon, id, Act::Redrive, to.as_deref(), because).await;
        }
        Some(_) => return Err(AskError::Refused("name one letter, or say which with filters; not both".to_owned())),
        None if draft.is_about_all() => {
            let message = "name a letter, or say which with --queue, --class, --fingerprint and the like";
            return Err(AskError::Refused(message.to_owned()));
        }
        None => {}
    }
    let mut plan = make(daemon, draft, Act::Redrive, to.as_deref(), because).await?;
    let total = at(at(&plan, "plan"), "total").as_i64().unwrap_or_default();
    if !yes || total == 0 {
        daemon.show(&plan, || say(made(&plan)));
        return Ok(ExitCode::from(exit::YES));
    }
    if daemon.is_for_people() {
        plan.as_object_mut().map(|plan| plan.remove("apply"));
        say(format_args!("{}\n", made(&plan)));
    }
    let body = json!({ "reason": because.reason() });
    // Whoever repeats the command under its key has the same plan applied once.
    let key = format!("{}.apply", word(&plan, "key"));
    take_step(daemon, word(at(&plan, "plan"), "id"), Step::Apply, &body, &key, *wait).await
}
