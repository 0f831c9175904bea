//! `fingerprints`: failures that are alike, counted.

use std::process::ExitCode;

use kit::cli::{AskError, at, say, table, word};
use kit::exit;
use serde_json::Value;

use super::client::Daemon;
use super::render::{ago, cell, message};

/// Lists kinds of failures, the last seen first: how often each came, and how many of it wait for somebody.
#[derive(Debug, clap::Args)]
pub(super) struct FingerprintsCommand {
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &FingerprintsCommand) -> Result<ExitCode, AskError> {
    let answer = command.daemon.get("/api/v1/fingerprints").await?;
    command.daemon.show(&answer, || {
        let alike = at(&answer, "fingerprints").as_array().map(Vec::as_slice).unwrap_or_default();
        if alike.is_empty() {
            return say("no failures");
        }
        let header = ["LAST", "FIRST", "COUNT", "WAIT", "QUEUE", "NAME", "CLASS", "MESSAGE", "FINGERPRINT"];
        say(table(&header, alike.iter().map(row).collect()));
    });
    Ok(ExitCode::from(exit::YES))
}

fn row(alike: &Value) -> Vec<comfy_table::Cell> {
    let number = |key| at(alike, key).as_i64();
    let since = |key| cell(format!("{} ago", ago(number(key))));
    let [queue, name, class, fingerprint] = ["queue", "name", "class", "fingerprint"].map(|key| cell(word(alike, key)));
    vec![
        since("last_seen_at_ms"),
        since("first_seen_at_ms"),
        cell(number("count").unwrap_or_default()),
        cell(number("waiting").unwrap_or_default()),
        queue,
        name,
        class,
        message(word(alike, "message")),
        fingerprint,
    ]
}
