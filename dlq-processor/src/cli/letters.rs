//! `ls` and `show`: letters, and one with all that is known of it.

use std::process::ExitCode;

use comfy_table::Cell;
use kit::cli::{AskError, MINUTES, SECONDS, at, read, say, table, word};
use kit::exit;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::audit;
use super::client::{Daemon, in_path};
use super::filter::FilterArguments;
use super::render::{cell, counted, harmless, message, state, time};
use crate::ledger::is_removed;

/// Letters that the daemon gives at once, at most.
const PAGE: usize = 500;

/// Lists letters, the last taken in first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dlq-processor ls --state parked --failed-after 2h\n  \
                        dlq-processor ls --queue mails --message refused --json --limit 1000 | jq '.letters[].id'")]
pub(super) struct ListCommand {
    /// How many, at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    filter: FilterArguments,
    #[command(flatten)]
    daemon: Daemon,
}

/// Shows a letter; for whoever may see it with its payload and its audit.
#[derive(Debug, clap::Args)]
pub(super) struct ShowCommand {
    /// Its id.
    id: String,
    /// Also what is hidden of it, for administrators; that is written down.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// A letter, as the API gives it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) queue: String,
    pub(super) job: String,
    pub(super) name: String,
    pub(super) failed_at_ms: i64,
    pub(super) message: String,
    pub(super) fingerprint: String,
    pub(super) class: String,
    pub(super) rule: Option<String>,
    pub(super) action: String,
    pub(super) reason: String,
    pub(super) state: String,
    pub(super) due_at_ms: Option<i64>,
    pub(super) changed_at_ms: i64,
    pub(super) redrives: u32,
    pub(super) attempts: u32,
    pub(super) stalls: u32,
    pub(super) stack: Option<String>,
    pub(super) found_in: Option<String>,
    pub(super) to_queue: Option<String>,
    pub(super) new_job: Option<String>,
    pub(super) edited_at_ms: Option<i64>,
    pub(super) cold: Option<String>,
}

impl Shown {
    /// Whether what it held was removed for good.
    fn is_removed(&self) -> bool {
        is_removed(&self.state, &self.reason)
    }
}

/// Fetches letters page by page, at most so many, and says where the next one would begin.
pub(super) async fn fetch(
    daemon: &Daemon,
    filter: &FilterArguments,
    most: usize,
) -> Result<(Vec<Value>, Option<i64>), AskError> {
    let (mut letters, mut next) = (Vec::new(), None);
    loop {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(filter.to_query());
        query.append_pair("limit", &(most - letters.len()).min(PAGE).to_string());
        next.map(|next: i64| query.append_pair("before", &next.to_string()));
        let mut answer = daemon.get(&format!("/api/v1/letters?{}", query.finish())).await?;
        let page = answer.get_mut("letters").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        let is_end = page.is_empty();
        letters.extend(page);
        next = at(&answer, "next").as_i64();
        if is_end || next.is_none() || letters.len() >= most {
            return Ok((letters, next));
        }
    }
}

pub(super) async fn list(command: &ListCommand) -> Result<ExitCode, AskError> {
    let most = usize::try_from(command.limit).unwrap_or(PAGE);
    let (letters, next) = fetch(&command.daemon, &command.filter, most).await?;
    let answer = json!({ "letters": letters, "next": next });
    let letters: Vec<Shown> = read(at(&answer, "letters"))?;
    command.daemon.show(&answer, || {
        if letters.is_empty() {
            return say("no letters");
        }
        say(letters_table(&letters));
        if next.is_some() {
            say(format_args!("{} and more; --limit shows them", counted(count(&letters), "letter")));
        }
    });
    Ok(ExitCode::from(exit::YES))
}

/// Returns letters as a table.
pub(super) fn letters_table(letters: &[Shown]) -> comfy_table::Table {
    let row = |letter: &Shown| {
        vec![
            cell(time(Some(letter.failed_at_ms), MINUTES)),
            cell(&letter.queue),
            cell(&letter.name),
            if letter.is_removed() { state("discarded, removed") } else { state(&letter.state) },
            cell(&letter.class),
            message(&letter.message),
            cell(&letter.id),
        ]
    };
    table(&["FAILED", "QUEUE", "NAME", "STATE", "CLASS", "MESSAGE", "ID"], letters.iter().map(row).collect())
}

fn count(letters: &[Shown]) -> i64 {
    i64::try_from(letters.len()).unwrap_or(i64::MAX)
}

pub(super) async fn show(command: &ShowCommand) -> Result<ExitCode, AskError> {
    let raw = if command.raw { "?raw=true" } else { "" };
    let answer = command.daemon.get(&format!("/api/v1/letters/{}{raw}", in_path(&command.id)?)).await?;
    let letter: Shown = read(at(&answer, "letter"))?;
    command.daemon.show(&answer, || {
        say(table(&["letter", &harmless(&letter.id)], facts(&letter)));
        if at(&answer, "audit").is_null() {
            return say("What it holds, and its audit, are for operators: give --token-file, or set DLQ_TOKEN.");
        }
        match letter.is_removed() {
            true => say("\nWhat it held was removed for good."),
            false => held(at(&answer, "data"), at(&answer, "edit")),
        }
        if at(&answer, "audit").as_array().is_some_and(|audit| !audit.is_empty()) {
            say(format_args!("\n{}", audit::lines(at(&answer, "audit"))));
        }
    });
    Ok(ExitCode::from(exit::YES))
}

/// Says what a job held; and if it was edited, also what it is to hold.
pub(super) fn held(data: &Value, edit: &Value) {
    let lines = |title: &str, data: &Value| {
        say(format_args!("\n{title}"));
        let data = serde_json::to_string_pretty(data).unwrap_or_default();
        data.lines().for_each(|line| say(harmless(line)));
    };
    if edit.is_null() {
        return lines("DATA", data);
    }
    lines("DATA BEFORE THE EDIT", data);
    lines("DATA AFTER THE EDIT", at(edit, "data"));
}

fn facts(letter: &Shown) -> Vec<Vec<Cell>> {
    let due = letter.due_at_ms.map(|due| format!(", due {}", time(Some(due), SECONDS))).unwrap_or_default();
    let rule = letter.rule.as_deref().unwrap_or("none knows it");
    let row = |what: &str, fact: String| vec![Cell::new(what), cell(fact)];
    let mut rows = vec![
        vec![Cell::new("state"), state(&letter.state)],
        row("since", time(Some(letter.changed_at_ms), SECONDS) + &due),
        row("job", format!("{} ({}) in {} of {}", letter.job, letter.name, letter.queue, letter.source)),
        row("failed", time(Some(letter.failed_at_ms), SECONDS)),
        row("message", letter.message.clone()),
        row("class", format!("{} (rule: {rule})", letter.class)),
        row("action", format!("{} ({})", letter.action, letter.reason)),
        row("tries", format!("{}; lost with its worker: {}", letter.attempts, letter.stalls)),
        row("redriven", format!("{} times unasked", letter.redrives)),
        row("fingerprint", letter.fingerprint.clone()),
    ];
    let others = [
        ("found in", letter.found_in.clone()),
        ("goes to", letter.to_queue.clone()),
        ("put back as", letter.new_job.clone()),
        ("edited", letter.edited_at_ms.map(|at| time(Some(at), SECONDS))),
    ];
    rows.extend(others.into_iter().filter_map(|(what, fact)| Some(row(what, fact?))));
    if let Some(stack) = &letter.stack {
        rows.insert(5, row("stack", stack.clone()));
    }
    if let Some(cold) = &letter.cold {
        rows.push(row("put away in", cold.clone()));
    }
    rows
}

/// Says in one line where a letter is and how it stands.
pub(super) fn in_a_line(answer: &Value) -> String {
    let letter = at(answer, "letter");
    let [id, queue, job, state] = ["id", "queue", "job", "state"].map(|key| harmless(word(letter, key)));
    format!("{id} ({queue}, job {job}) is {state}")
}
