//! `audit`: who did what, and why.

use std::process::ExitCode;

use comfy_table::Table;
use kit::cli::{AskError, SECONDS, at, say, table, word};
use kit::exit;
use serde_json::Value;

use super::client::Daemon;
use super::render::{cell, time};

/// Says who did what and why, the last first; for operators.
#[derive(Debug, clap::Args)]
pub(super) struct AuditCommand {
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &AuditCommand) -> Result<ExitCode, AskError> {
    let answer = command.daemon.get("/api/v1/audit").await?;
    command.daemon.show(&answer, || say(lines(at(&answer, "audit"))));
    Ok(ExitCode::from(exit::YES))
}

/// Returns lines of an audit as a table.
pub(super) fn lines(audit: &Value) -> Table {
    let row = |line: &Value| {
        let [who, what, of, why] = ["who", "what", "letter", "why"].map(|key| cell(word(line, key)));
        vec![cell(time(at(line, "at_ms").as_i64(), SECONDS)), who, what, of, why]
    };
    table(&["WHEN", "WHO", "WHAT", "OF", "WHY"], audit.as_array().into_iter().flatten().map(row).collect())
}
