//! `stats`: how many letters there are, by state and class, and how their queues stand.

use std::process::ExitCode;

use comfy_table::Cell;
use kit::cli::{AskError, at, say, table, word};
use kit::exit;
use serde_json::{Value, json};

use super::client::Daemon;
use super::queues::standing;
use super::render::{ago, cell, state};

/// Counts letters by state and class, and says what holds queues back.
#[derive(Debug, clap::Args)]
pub(super) struct StatsCommand {
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &StatsCommand) -> Result<ExitCode, AskError> {
    let answer = ask(&command.daemon).await?;
    command.daemon.show(&answer, || say(shown(&answer)));
    Ok(ExitCode::from(exit::YES))
}

/// Asks for numbers and queues.
pub(super) async fn ask(daemon: &Daemon) -> Result<Value, AskError> {
    let numbers = daemon.get("/api/v1/numbers").await?;
    let queues = daemon.get("/api/v1/queues").await?;
    Ok(json!({
        "numbers": at(&numbers, "numbers"), "acts": at(&queues, "acts"), "sources": at(&queues, "sources"),
    }))
}

/// Returns both for people.
pub(super) fn shown(answer: &Value) -> String {
    let numbers = at(answer, "numbers").as_array().map(Vec::as_slice).unwrap_or_default();
    let letters = if numbers.is_empty() {
        "no letters".to_owned()
    } else {
        table(&["STATE", "CLASS", "LETTERS", "OLDEST"], numbers.iter().map(row).collect()).to_string()
    };
    format!("{letters}\n\n{}", standing(answer))
}

fn row(count: &Value) -> Vec<Cell> {
    let oldest = format!("{} ago", ago(at(count, "oldest_ms").as_i64()));
    let letters = at(count, "letters").as_u64().unwrap_or_default();
    vec![state(word(count, "state")), cell(word(count, "class")), cell(letters), cell(oldest)]
}
