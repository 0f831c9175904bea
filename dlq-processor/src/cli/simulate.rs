//! `policy simulate`: what a policy would have done with letters that a daemon has. Changes nothing.

use std::process::ExitCode;

use jiff::Timestamp;
use kit::cli::{AskError, print_json, read, say, table};
use kit::exit;
use serde_json::Value;

use super::ConfigArgument;
use super::client::Daemon;
use super::filter::{FilterArguments, moment};
use super::letters::fetch;
use super::render::{cell, counted, message};
use crate::settings::Settings;
use crate::simulation::{MOST, SINCE, Simulation, Taken};

/// Says which letters a configuration would have dealt with in another way. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor policy simulate --since 7d --config new.yml")]
pub(super) struct SimulateCommand {
    #[command(flatten)]
    pub(super) config: ConfigArgument,
    /// Letters that failed since this time: 2026-01-31T12:00:00Z, or 2h or 7d ago.
    #[arg(long, default_value = SINCE, value_name = "TIME", value_parser = moment)]
    since: Timestamp,
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &SimulateCommand, settings: &Settings) -> Result<ExitCode, AskError> {
    let (letters, next) = fetch(&command.daemon, &FilterArguments::since(command.since), MOST).await?;
    let letters: Vec<Taken> = read(&Value::Array(letters))?;
    let mut simulation = Simulation::of(&letters);
    letters.into_iter().for_each(|letter| simulation.decide(letter, &settings.policy));
    if !command.daemon.is_for_people() {
        print_json(&simulation.to_json(next.is_none()));
        return Ok(ExitCode::from(exit::YES));
    }
    show(&simulation);
    if next.is_some() {
        say(format_args!("There are more; only the last {MOST} were looked at."));
    }
    Ok(ExitCode::from(exit::YES))
}

fn show(Simulation { changes, by_people, .. }: &Simulation) {
    if changes.is_empty() && *by_people == 0 {
        return say("no letters");
    }
    let rows = changes.iter().map(|(change, changed)| {
        let would_be = if change.was == change.would_be { "the same" } else { change.would_be };
        vec![cell(&change.was), cell(would_be), cell(changed.letters)]
    });
    say(table(&["WAS", "WOULD BE", "LETTERS"], rows.collect()));
    for (change, changed) in changes.iter().filter(|(_, changed)| !changed.examples.is_empty()) {
        say(format_args!("\n{} → {}, such as", change.was, change.would_be));
        let row = |letter: &Taken| {
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
    if *by_people > 0 {
        say(format_args!("\n{} left out: a person said what is done with them.", counted(*by_people, "letter")));
    }
}
