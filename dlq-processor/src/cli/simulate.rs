//! `policy simulate`: what a policy would have done with letters that a daemon has. Changes nothing.
//!
//! A letter is decided on as it was taken in, as far as the daemon tells: of an earlier failure of its job only what is in the
//! same stretch of time is known, and of a job in a flow only that the daemon's own policy came upon that.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use jiff::Timestamp;
use kit::cli::{AskError, print_json, read, say, table};
use kit::exit;
use serde_json::{Value, json};

use super::ConfigArgument;
use super::client::Daemon;
use super::filter::{FilterArguments, moment};
use super::letters::{Shown, fetch};
use super::render::{cell, counted, message};
use crate::policy::{ErrorFacts, Letter, Past, Policy};
use crate::settings::Settings;

/// Letters that are looked at, at most.
const MOST: usize = 50_000;
/// Examples of each change.
const EXAMPLES: usize = 3;

/// Says which letters a configuration would have dealt with in another way. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor policy simulate --since 7d --config new.yml")]
pub(super) struct SimulateCommand {
    #[command(flatten)]
    pub(super) config: ConfigArgument,
    /// Letters that failed since this time: 2026-01-31T12:00:00Z, or 2h or 7d ago.
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = moment)]
    since: Timestamp,
    #[command(flatten)]
    daemon: Daemon,
}

/// What was done, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    was: String,
    would_be: &'static str,
}

/// Letters with the same change.
#[derive(Debug, Default)]
struct Changed {
    letters: i64,
    examples: Vec<Shown>,
}

pub(super) async fn run(command: &SimulateCommand, settings: &Settings) -> Result<ExitCode, AskError> {
    let (letters, next) = fetch(&command.daemon, &FilterArguments::since(command.since), MOST).await?;
    let letters: Vec<Shown> = read(&Value::Array(letters))?;
    let (changes, by_people) = compare(letters, &settings.policy);
    if !command.daemon.is_for_people() {
        print_json(&as_json(&changes, by_people, next.is_none()));
        return Ok(ExitCode::from(exit::YES));
    }
    show(&changes, by_people);
    if next.is_some() {
        say(format_args!("There are more; only the last {MOST} were looked at."));
    }
    Ok(ExitCode::from(exit::YES))
}

/// Returns what becomes of letters, and how many are left out since a person has said what is done with them.
fn compare(letters: Vec<Shown>, policy: &Policy) -> (BTreeMap<Change, Changed>, i64) {
    let mut firsts: HashMap<(String, String, String), i64> = HashMap::new();
    for letter in &letters {
        let first = firsts.entry(job(letter)).or_insert(letter.failed_at_ms);
        *first = letter.failed_at_ms.min(*first);
    }
    let (mut changes, mut by_people) = (BTreeMap::<Change, Changed>::new(), 0);
    for letter in letters {
        if letter.reason == "asked" && matches!(letter.action.as_str(), "quarantine" | "redrive") {
            by_people += 1;
            continue;
        }
        let first = firsts.get(&job(&letter)).copied().unwrap_or(letter.failed_at_ms);
        let would_be = decide(&letter, first, policy);
        let changed = changes.entry(Change { was: letter.action.clone(), would_be }).or_default();
        changed.letters += 1;
        if changed.examples.len() < EXAMPLES && letter.action != would_be {
            changed.examples.push(letter);
        }
    }
    (changes, by_people)
}

fn job(letter: &Shown) -> (String, String, String) {
    (letter.source.clone(), letter.queue.clone(), letter.job.clone())
}

fn decide(shown: &Shown, first_failed_at_ms: i64, policy: &Policy) -> &'static str {
    let at = |ms| Timestamp::from_millisecond(ms).unwrap_or_default();
    let letter = Letter {
        queue: shown.queue.clone(),
        name: shown.name.clone(),
        error: ErrorFacts::read(Some(&shown.message), shown.stack.as_deref()),
        stalls: shown.stalls,
        is_in_flow: shown.reason == "flow",
        failed_at: at(shown.failed_at_ms),
        seen_at: at(shown.seen_at_ms),
    };
    let past = Past { redrives: shown.redrives, first_failed_at: at(first_failed_at_ms) };
    // How long it would wait does not matter here.
    policy.decide(&letter, past, letter.seen_at, 1.0).action.word()
}

fn as_json(changes: &BTreeMap<Change, Changed>, by_people: i64, is_all: bool) -> Value {
    let change = |(change, changed): (&Change, &Changed)| {
        let examples: Vec<&str> = changed.examples.iter().map(|letter| letter.id.as_str()).collect();
        json!({ "was": change.was, "would_be": change.would_be, "letters": changed.letters, "examples": examples })
    };
    let actions: Vec<Value> = changes.iter().map(change).collect();
    json!({ "actions": actions, "said_by_people": by_people, "is_all": is_all })
}

fn show(changes: &BTreeMap<Change, Changed>, by_people: i64) {
    if changes.is_empty() && by_people == 0 {
        return say("no letters");
    }
    let rows = changes.iter().map(|(change, changed)| {
        let would_be = if change.was == change.would_be { "the same" } else { change.would_be };
        vec![cell(&change.was), cell(would_be), cell(changed.letters)]
    });
    say(table(&["WAS", "WOULD BE", "LETTERS"], rows.collect()));
    for (change, changed) in changes.iter().filter(|(_, changed)| !changed.examples.is_empty()) {
        say(format_args!("\n{} → {}, such as", change.was, change.would_be));
        let row = |letter: &Shown| {
            vec![
                cell(&letter.queue),
                cell(&letter.name),
                cell(&letter.class),
                message(&letter.message),
                cell(&letter.id),
            ]
        };
        say(table(&["QUEUE", "NAME", "CLASS", "MESSAGE", "ID"], changed.examples.iter().map(row).collect()));
    }
    if by_people > 0 {
        say(format_args!("\n{} left out: a person said what is done with them.", counted(by_people, "letter")));
    }
}
