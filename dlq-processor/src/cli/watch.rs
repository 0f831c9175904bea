//! `watch`: what `stats` says, again and again.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use kit::cli::{AskError, Drawing, is_live, size};
use kit::exit;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::client::Daemon;
use super::render::harmless;
use super::stats;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(2);

/// Shows what `stats` says every 2 s until Ctrl-C; not on a terminal, a line of JSON each.
#[derive(Debug, clap::Args)]
pub(super) struct WatchCommand {
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &WatchCommand) -> Result<ExitCode, AskError> {
    tokio::select! {
        ended = watch(&command.daemon) => ended,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(exit::YES)),
    }
}

async fn watch(daemon: &Daemon) -> Result<ExitCode, AskError> {
    let mut drawing = (daemon.is_for_people() && is_live()).then(Drawing::default);
    // Who is not there at first was asked for by mistake; who goes away comes back.
    let mut asked = Ok(stats::ask(daemon).await?);
    let mut rounds = interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds.tick().await;
    loop {
        match &mut drawing {
            Some(drawing) => drawing.draw(&fitting(&for_people(&asked), size().1)),
            None if !has_taken(&for_programs(&asked)) => return Ok(ExitCode::from(exit::YES)),
            None => {}
        }
        rounds.tick().await;
        asked = stats::ask(daemon).await;
    }
}

fn for_people(asked: &Result<Value, AskError>) -> String {
    match asked {
        Ok(answer) => format!("{}\n\nCtrl-C ends this", stats::shown(answer)),
        Err(error) => format!("{}\n\nCtrl-C ends this", harmless(why(error))),
    }
}

fn for_programs(asked: &Result<Value, AskError>) -> Value {
    asked.clone().unwrap_or_else(|error| json!({ "error": why(&error) }))
}

fn why((AskError::Unreachable(why) | AskError::Refused(why) | AskError::No(why)): &AskError) -> &str {
    why
}

/// Returns as many lines as a terminal of `height` lines has room for.
fn fitting(text: &str, height: usize) -> String {
    let room = height.saturating_sub(1);
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= room {
        return text.to_owned();
    }
    let shown = lines.get(..room.saturating_sub(1)).unwrap_or_default();
    let more = format!("… and {} more lines", lines.len() - shown.len());
    shown.iter().copied().chain([more.as_str()]).take(room).collect::<Vec<_>>().join("\n")
}

/// Returns whether whoever reads took the line; a reader that left wants no more.
fn has_taken(line: &Value) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_never_higher_than_the_terminal() {
        for (height, expected) in
            [(0, ""), (2, "… and 4 more lines"), (4, "a\nb\n… and 2 more lines"), (5, "a\nb\nc\nd")]
        {
            assert_eq!(fitting("a\nb\nc\nd", height), expected, "{height}");
        }
    }
}
