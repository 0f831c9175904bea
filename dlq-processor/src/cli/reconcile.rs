//! `reconcile`: has a daemon look at everything at once.

use std::process::ExitCode;

use comfy_table::Cell;
use kit::cli::{AskError, at, say, table, word};
use kit::exit;
use serde_json::{Value, json};

use super::client::{Because, Daemon};
use super::render::{cell, counted, harmless};

/// Has sources be looked at whole at once, and says what that found.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor reconcile --source jobs --wait --reason 'Redis was restored'\n\n\
                        Exit codes: 0 it is over, 2 it goes on.")]
pub(super) struct ReconcileCommand {
    /// This source; else all of them.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Waits until it is over, however long that takes.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &ReconcileCommand) -> Result<ExitCode, AskError> {
    let ReconcileCommand { source, wait, because, daemon } = command;
    let (mut body, key) = because.settled();
    body.as_object_mut().map(|body| body.insert("source".to_owned(), json!(source)));
    let mut asked = 0;
    let mut answer = loop {
        let key = if asked == 0 { key.clone() } else { format!("{key}.{asked}") };
        let answer = daemon.post("/api/v1/reconcile", &body, &key).await?;
        if !wait || is_done(&answer) {
            break answer;
        }
        asked += 1;
        body.as_object_mut().map(|body| body.insert("look".to_owned(), at(&answer, "look").clone()));
    };
    answer.as_object_mut().map(|answer| answer.insert("key".to_owned(), json!(key)));
    daemon.show(&answer, || shown(&answer));
    Ok(ExitCode::from(if is_done(&answer) { exit::YES } else { exit::UNDECIDED }))
}

fn is_done(answer: &Value) -> bool {
    at(answer, "is_done") == &Value::Bool(true)
}

fn shown(answer: &Value) {
    let sources = || at(answer, "sources").as_array().into_iter().flatten();
    let header = ["SOURCE", "TAKEN IN", "MISSED", "ORDERED AGAIN", "ENDED", "LOST", "NOT WELL"];
    say(table(&header, sources().map(row).collect()));
    for source in sources() {
        at(source, "orphans").as_array().into_iter().flatten().for_each(say_orphans);
    }
    if !is_done(answer) {
        say("It goes on; --wait waits for its end.");
    }
}

fn row(source: &Value) -> Vec<Cell> {
    let counts = ["taken_in", "missed", "ordered_again", "ended", "lost"];
    let mut row = vec![cell(word(source, "source"))];
    row.extend(counts.map(|what| cell(at(source, what))));
    row.push(cell(word(source, "trouble")));
    row
}

fn say_orphans(orphans: &Value) {
    let (queue, count) = (harmless(word(orphans, "queue")), at(orphans, "count").as_i64().unwrap_or_default());
    if at(orphans, "is_all") != &Value::Bool(true) {
        say(format_args!("{queue} holds too much to be looked through for jobs that are in no list of it."));
    }
    if count > 0 {
        let jobs = at(orphans, "jobs").as_array().into_iter().flatten().filter_map(Value::as_str);
        let jobs = jobs.map(harmless).collect::<Vec<_>>().join(", ");
        say(format_args!("{} in no list of {queue}, which nobody will run: {jobs}", counted(count, "job")));
    }
}
