//! `import`: letters from lines that `export --raw` wrote, or from a file that letters were put away into.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use kit::cli::{AskError, at, complain, say, word};
use kit::exit;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::client::{Because, Daemon};
use super::progress::{Progress, bar};
use super::render::{counted, harmless};
use crate::letter_line::LONGEST_BYTES;

/// Lines that are sent at once, at most.
const LINES: u64 = 500;
/// And bytes, unless one line is longer.
const BYTES: usize = 8 << 20;
/// Refused lines that are told, at most.
const TOLD: usize = 100;

const FORM: &str = "\
Examples:
  dlq-processor import letters.jsonl --reason 'from the other machine'         # says what would be done
  dlq-processor import data/dlq-cold/2026-11-30.jsonl --reason 'mended' --yes

What had ended stays so, what was in quarantine is there again, what was under way is uncertain, and everything else waits for
a person: nothing is redriven unasked. What is here already stays as it is. Exit 1 if a line was refused.";

/// Takes letters in from a file of lines; without --yes it says what would be done. For administrators.
#[derive(Debug, clap::Args)]
#[command(after_help = FORM)]
pub(super) struct ImportCommand {
    /// The file.
    file: PathBuf,
    #[command(flatten)]
    because: Because,
    /// Does it.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// What came of all lines.
#[derive(Debug, Default)]
struct Total {
    counts: [(&'static str, u64); 3],
    refused: u64,
    /// The first of them.
    told: Vec<Value>,
}

impl Total {
    fn new() -> Self {
        Self { counts: ["new", "back", "here"].map(|what| (what, 0)), ..Self::default() }
    }

    /// Adds the answer to a batch whose first line has this number.
    fn add(&mut self, answer: &Value, first: u64) {
        for (what, count) in &mut self.counts {
            *count += at(answer, what).as_u64().unwrap_or_default();
        }
        for refused in at(answer, "refused").as_array().into_iter().flatten() {
            let line = at(refused, "line").as_u64().unwrap_or_default() + first - 1;
            self.refuse(line, word(refused, "why"));
        }
    }

    fn refuse(&mut self, line: u64, why: &str) {
        self.refused += 1;
        if self.told.len() < TOLD {
            self.told.push(json!({ "line": line, "why": why }));
        }
    }
}

/// Lines that are sent at once.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<u8>,
    /// The number of the first.
    first: u64,
    count: u64,
}

pub(super) async fn run(command: &ImportCommand) -> Result<ExitCode, AskError> {
    let ImportCommand { file, because, yes, daemon } = command;
    let refused = |error: io::Error| AskError::Refused(format!("{}: {error}", file.display()));
    let opened = File::open(file).map_err(refused)?;
    let all = opened.metadata().map_err(refused)?.len();
    let (_, key) = because.settled();
    let mut sending = Sending { command, key: &key, batches: 0, total: Total::new() };
    let (mut reader, mut batch, mut progress) = (BufReader::new(opened), Batch::default(), Progress::new(false));
    let (mut number, mut done) = (0, 0);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(LONGEST_BYTES as u64).read_until(b'\n', &mut line).map_err(refused)?;
        if read == 0 {
            break;
        }
        number += 1;
        done += read as u64;
        if read == LONGEST_BYTES && line.last() != Some(&b'\n') {
            done += reader.skip_until(b'\n').map_err(refused)? as u64;
            let most = LONGEST_BYTES >> 20;
            sending.total.refuse(number, &format!("it is longer than {most} MiB, as the line of a job of 95 MiB is"));
            sending.send(std::mem::take(&mut batch)).await?;
            continue;
        }
        if batch.count == LINES || batch.lines.len() + read > BYTES {
            sending.send(std::mem::take(&mut batch)).await?;
            progress.show(|| bar(done, all));
        }
        if batch.count == 0 {
            batch.first = number;
        }
        batch.count += 1;
        batch.lines.extend(line);
    }
    sending.send(batch).await?;
    drop(progress);
    let Total { counts, refused, told } = sending.total;
    let mut answer = json!({ "refused": refused, "lines": told, "is_dry": !yes, "key": key });
    if let Some(answer) = answer.as_object_mut() {
        answer.extend(counts.iter().map(|(what, count)| ((*what).to_owned(), json!(count))));
    }
    daemon.show(&answer, || shown(&answer, *yes));
    Ok(ExitCode::from(if refused == 0 { exit::YES } else { exit::NO }))
}

struct Sending<'a> {
    command: &'a ImportCommand,
    key: &'a str,
    batches: u64,
    total: Total,
}

impl Sending<'_> {
    async fn send(&mut self, batch: Batch) -> Result<(), AskError> {
        if batch.count == 0 {
            return Ok(());
        }
        self.batches += 1;
        let mut query = Serializer::new(String::new());
        query.append_pair("reason", self.command.because.reason());
        if !self.command.yes {
            query.append_pair("dry", "true");
        }
        let path = format!("/api/v1/import?{}", query.finish());
        let key = format!("{}.{}", self.key, self.batches);
        let answer = self.command.daemon.post_lines(&path, batch.lines, &key).await;
        if answer.is_err() && self.command.yes {
            let (last, key) = (batch.first.saturating_sub(1), self.key);
            complain(format_args!("the lines up to {last} are dealt with; to have the same done once: --key {key}"));
        }
        self.total.add(&answer?, batch.first);
        Ok(())
    }
}

fn shown(answer: &Value, is_done: bool) {
    let count = |what: &str| at(answer, what).as_i64().unwrap_or_default();
    let (new, back, here) = (counted(count("new"), "letter"), count("back"), count("here"));
    let refused = counted(count("refused"), "line");
    say(format_args!("{new} new, {back} back from a cold file, {here} here already, {refused} refused"));
    let lines = at(answer, "lines").as_array().into_iter().flatten();
    lines.for_each(|line| say(format_args!("line {}: {}", at(line, "line"), harmless(word(line, "why")))));
    if count("refused") > i64::try_from(TOLD).unwrap_or(i64::MAX) {
        say(format_args!("These are the first {TOLD}."));
    }
    match is_done {
        true => say(format_args!("key: {}", word(answer, "key"))),
        false => say("Nothing is done yet; to do it: add --yes"),
    }
}
