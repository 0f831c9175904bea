//! `doctor`: looks at sources and ledger as the daemon would, without one, and changes nothing.

mod ledger;
mod load;
mod source;

use std::process::ExitCode;

use comfy_table::{Cell, Color};
use futures_util::future::join_all;
use kit::cli::{print_json, refuse, say, table};
use kit::config::Environment;
use kit::exit;
use serde::Serialize;
use serde_json::json;

use super::ConfigArgument;
use super::render::{cell, counted, tinted};
use crate::settings::Settings;

/// Where no queue is acted in, nothing is redriven.
const OBSERVES: &str = "no queue has mode: act: letters are taken in, and nothing is redriven";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dlq-processor doctor --config dlq-processor.yml\n  \
                        dlq-processor doctor --json | jq '.findings[] | select(.mark == \"wrong\")'\n\n\
                        Exit codes: 0 nothing is wrong, 1 something is, 64 usage, 78 configuration.")]
pub(super) struct DoctorCommand {
    #[command(flatten)]
    config: ConfigArgument,
    /// JSON.
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    Fine,
    /// Worth knowing.
    Note,
    /// Letters can be lost, or are not redriven.
    Wrong,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    mark: Mark,
    /// The source, or the ledger.
    of: String,
    queue: Option<String>,
    finding: String,
    what_to_do: String,
}

impl Finding {
    /// What ends in `; ` and an advice is parted there.
    fn new(mark: Mark, of: &str, queue: Option<&str>, sentence: &str) -> Self {
        let (finding, what_to_do) = sentence.rsplit_once("; ").unwrap_or((sentence, ""));
        Self {
            mark,
            of: of.to_owned(),
            queue: queue.map(ToOwned::to_owned),
            finding: finding.to_owned(),
            what_to_do: what_to_do.to_owned(),
        }
    }
}

pub(super) async fn run(command: &DoctorCommand, environment: &Environment) -> ExitCode {
    let settings = match command.config.load(environment) {
        Ok(settings) => settings,
        Err(mistakes) => return refuse(&mistakes),
    };
    let findings = look(&settings).await;
    let is_wrong = findings.iter().any(|finding| finding.mark == Mark::Wrong);
    if command.json {
        print_json(&json!({ "findings": findings }));
    } else {
        let header = ["", "SOURCE", "QUEUE", "FINDING", "WHAT TO DO"];
        say(table(&header, findings.iter().map(row).collect()));
        say(format_args!("\n{}", summary(&findings)));
    }
    ExitCode::from(if is_wrong { exit::NO } else { exit::YES })
}

async fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![ledger::look(&settings.ledger).await];
    let looks = settings.sources.iter().map(|source| source::look(settings, source));
    findings.extend(join_all(looks).await.into_iter().flatten());
    if !settings.queues.iter().any(|queue| queue.acts) {
        findings.push(Finding::new(Mark::Note, "", None, OBSERVES));
    }
    findings
}

fn row(finding: &Finding) -> Vec<Cell> {
    let mark = match finding.mark {
        Mark::Fine => tinted("✓ fine", Color::Green),
        Mark::Note => tinted("! note", Color::Yellow),
        Mark::Wrong => tinted("✕ wrong", Color::Red),
    };
    let queue = finding.queue.as_deref().unwrap_or_default();
    vec![mark, cell(&finding.of), cell(queue), cell(&finding.finding), cell(&finding.what_to_do)]
}

fn summary(findings: &[Finding]) -> String {
    let count = |mark| findings.iter().filter(|finding| finding.mark == mark).count();
    let notes = counted(i64::try_from(count(Mark::Note)).unwrap_or(i64::MAX), "note");
    match count(Mark::Wrong) {
        0 => format!("all is well, {notes}"),
        wrong => format!("{wrong} wrong, {notes}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advice_is_shown_apart_from_what_is_so() {
        let finding = Finding::new(Mark::Wrong, "jobs", Some("mails"), "it is full; a lot of it is old; make room");
        assert_eq!([&*finding.finding, &*finding.what_to_do], ["it is full; a lot of it is old", "make room"]);
        assert_eq!(Finding::new(Mark::Note, "jobs", None, "it is old").what_to_do, "");
    }
}
