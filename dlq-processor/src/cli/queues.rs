//! `queues`, `breaker` and `adopt`: what is at work, what holds it back, and a person's word on that.

use std::process::ExitCode;

use clap::Subcommand;
use comfy_table::{Cell, Color, Table};
use kit::cli::{AskError, SECONDS, at, complain, say, table, word};
use kit::exit;
use serde_json::{Value, json};

use super::client::{Because, Daemon};
use super::render::{cell, harmless, time, tinted};

/// Shows sources and queues, and what holds them back.
#[derive(Debug, clap::Args)]
pub(super) struct QueuesCommand {
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Subcommand)]
pub(super) enum BreakerCommand {
    /// Stops redrives of jobs of a name; after a while some are let through to see.
    Open(Breaker),
    /// Lets them go on.
    Close(Breaker),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor breaker open --source jobs --queue mails --name send \
                        --reason 'the mail server is patched'")]
pub(super) struct Breaker {
    /// The source.
    #[arg(long)]
    source: String,
    /// The queue.
    #[arg(long)]
    queue: String,
    /// The jobs' name.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    daemon: Daemon,
}

const ADOPT: &str = "\
A later ledger than this one acted in the queues. Whoever adopts them says that it is gone for good: what only it knew is
forgotten. Letters that it redrove are redriven once more if this ledger still has them as waiting, and what it was told to
discard comes back. If the later ledger still exists, restore that one instead.";

/// Has this ledger act where a later one did that is gone; for admins.
#[derive(Debug, clap::Args)]
#[command(after_help = ADOPT)]
pub(super) struct AdoptCommand {
    #[command(flatten)]
    because: Because,
    /// Does it; without it only what it means is said.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &QueuesCommand) -> Result<ExitCode, AskError> {
    let answer = command.daemon.get("/api/v1/queues").await?;
    command.daemon.show(&answer, || say(standing(&answer)));
    Ok(ExitCode::from(exit::YES))
}

/// Returns how sources and queues stand, as lines for people.
pub(super) fn standing(answer: &Value) -> String {
    if at(answer, "acts") != &Value::Bool(true) {
        return "another dlq-processor acts; ask that one".to_owned();
    }
    let sources = at(answer, "sources").as_array().into_iter().flatten();
    rows_table(sources.flat_map(source_rows).collect()).to_string()
}

fn rows_table(rows: Vec<Vec<Cell>>) -> Table {
    table(&["SOURCE", "QUEUE", "STANDS", "WHY"], rows)
}

fn source_rows(source: &Value) -> Vec<Vec<Cell>> {
    let name = word(source, "source");
    let row = |queue: &str, mark, tint, why: &str| vec![cell(name), cell(queue), tinted(mark, tint), cell(why)];
    let mut rows = Vec::new();
    for (key, mark) in [("trouble", "✕ does not get on"), ("hazard", "✕ nothing is redriven")] {
        rows.extend(at(source, key).as_str().map(|why| row("", mark, Color::Red, why)));
    }
    rows.extend(at(source, "waits").as_str().map(|why| row("", "– not made yet", Color::DarkGrey, why)));
    for (queue, stands) in at(source, "queues").as_object().into_iter().flatten() {
        rows.extend(at(stands, "held").as_str().map(|why| row(queue, "! held back", Color::Yellow, why)));
        let slowed_to = at(stands, "slowed_to").as_f64().map(|share| (share * 100.0).clamp(1.0, 99.0));
        rows.extend(slowed_to.map(|percent| {
            let why = format!("at {percent:.0} % of its rate: too much is asked");
            row(queue, "! slower", Color::Yellow, &why)
        }));
        for peril in at(stands, "perils").as_array().into_iter().flatten() {
            rows.push(row(queue, "✕ unsafe", Color::Red, word(peril, "why")));
        }
        for capped in at(stands, "capped").as_array().into_iter().flatten() {
            let until = time(at(capped, "until_ms").as_i64(), SECONDS);
            let why =
                format!("letters of {} until {until}: too many were redriven in vain", word(capped, "fingerprint"));
            rows.push(row(queue, "! held back", Color::Yellow, &why));
        }
        for breaker in at(stands, "breakers").as_array().into_iter().flatten() {
            let until = at(breaker, "until_ms").as_i64();
            let until = until.map(|until| format!(" until {}", time(Some(until), SECONDS))).unwrap_or_default();
            let why = format!("breaker of {} is {}{until}", word(breaker, "name"), word(breaker, "state"));
            rows.push(row(queue, "! held back", Color::Yellow, &why));
        }
    }
    if rows.is_empty() {
        rows.push(row("", "✓ all well", Color::Green, ""));
    }
    rows
}

pub(super) async fn set_breaker(command: &BreakerCommand) -> Result<ExitCode, AskError> {
    let (Breaker { source, queue, name, because, daemon }, state) = match command {
        BreakerCommand::Open(breaker) => (breaker, "open"),
        BreakerCommand::Close(breaker) => (breaker, "closed"),
    };
    let (_, key) = because.settled();
    let wanted = json!({ "source": source, "queue": queue, "name": name, "state": state, "reason": because.reason() });
    let answer = daemon.post("/api/v1/breakers", &wanted, &key).await?;
    let answer = json!({ "source": at(&answer, "source"), "key": key });
    daemon.show(&answer, || {
        say(format_args!("the breaker of {} in {} is {state}", harmless(name), harmless(queue)));
        say(format_args!("key: {key}"));
    });
    Ok(ExitCode::from(exit::YES))
}

pub(super) async fn adopt(command: &AdoptCommand) -> Result<ExitCode, AskError> {
    if !command.yes {
        complain(format_args!("{ADOPT}\n\nNothing is done yet; to do it: add --yes"));
        return Ok(ExitCode::from(exit::NO));
    }
    let (body, key) = command.because.settled();
    let answer = command.daemon.post("/api/v1/adopt", &body, &key).await?;
    command
        .daemon
        .show(&answer, || say(format_args!("this ledger acts from now on, as epoch {}", at(&answer, "epoch"))));
    Ok(ExitCode::from(exit::YES))
}
