//! `monitor probe NAME|URL`: asks once, now, and shows what each step took as a small chart.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kit::cli::{complain, say};
use kit::config::{Cursor, Environment, Mistakes, Node, suggest};
use kit::exit;
use monitor::app::Plan;
use monitor::probe::{CheckId, Observation, Outcome, Question, StepState, Vantage, Why, decode_question, observe};
use monitor::{Config, Kinds};
use serde_json::json;

use super::yaml;

/// Width of the longest bar, in characters.
const BAR_WIDTH: f64 = 40.0;
/// The longest phase's name.
const NAME_WIDTH: usize = 10;

/// Asks once, from here and now: a configured check, or any URL.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeCommand {
    /// A check (`service/check`), a service, or a URL such as https://example.com/, tcp://127.0.0.1:5432 or redis://cache.
    target: String,
    /// Where checks are configured.
    #[arg(long, env = "MONITOR_CONFIG", default_value = "monitor.yml")]
    config: PathBuf,
    /// Deadline for a URL; checks have their own.
    #[arg(long, default_value = "10s", value_parser = kit::config::parse_duration)]
    timeout: Duration,
}

pub(super) async fn run(command: &ProbeCommand) -> ExitCode {
    let questions = if command.target.contains("://") {
        of_url(command).map_err(|message| (exit::USAGE, message))
    } else {
        of_config(command)
    };
    let questions = match questions {
        Ok(questions) => questions,
        Err((code, message)) => {
            complain(message);
            return ExitCode::from(code);
        }
    };
    let vantage = match Vantage::of_system() {
        Ok(vantage) => Arc::new(vantage),
        Err(error) => {
            complain(format_args!("monitor: cannot read the resolver configuration: {error}"));
            return ExitCode::from(exit::SYSTEM);
        }
    };
    let mut code = exit::YES;
    for question in &questions {
        let observation = observe(vantage.clone(), question, Why::Asked, true).await;
        say(show(question, &observation).trim_end());
        code = worse(
            code,
            match observation.outcome {
                Outcome::Pass => exit::YES,
                Outcome::Fail(_) => exit::NO,
                Outcome::Unknown(_) => exit::UNDECIDED,
            },
        );
    }
    ExitCode::from(code)
}

/// One check that fails outweighs others that could not be asked.
fn worse(one: u8, other: u8) -> u8 {
    if one == exit::NO || other == exit::NO { exit::NO } else { one.max(other) }
}

/// A URL becomes a check without expectations, of the kind that its scheme means.
fn of_url(command: &ProbeCommand) -> Result<Vec<Question>, String> {
    let kinds = Kinds::standard();
    let (kind, settings) = kinds.by_url(&command.target)?;
    let check = yaml::flow(&json!({ kind: settings }));
    let (node, mistakes) = (Node::parse("command line", &check).map_err(|(_, message)| message)?, Mistakes::default());
    let question = Cursor::top(&node, &mistakes).fields().and_then(|fields| {
        decode_question(fields, CheckId::new("command-line", "probe"), command.timeout, &kinds, &[])
    });
    match question {
        Some((question, _kind)) if mistakes.is_empty() => Ok(vec![question]),
        _ => Err(mistakes.into_sorted().iter().map(|mistake| mistake.message.clone()).collect::<Vec<_>>().join("\n")),
    }
}

fn of_config(command: &ProbeCommand) -> Result<Vec<Question>, (u8, String)> {
    let config = Config::load(&command.config, &Environment::of_process());
    let plan = Plan::of(&config, &Kinds::standard()).map_err(|error| (exit::CONFIG, error.to_string()))?;
    let wanted = |id: &CheckId| id.to_string() == command.target || *id.service == *command.target;
    let questions: Vec<Question> =
        plan.checks().filter(|check| wanted(&check.question.id)).map(|check| check.question.clone()).collect();
    if questions.is_empty() {
        let known: Vec<String> = plan.checks().map(|check| check.question.id.to_string()).collect();
        let near = suggest(&command.target, known.iter().map(String::as_str));
        let message =
            format!("there is no check or service {:?} in {}{near}", command.target, command.config.display());
        return Err((exit::USAGE, message));
    }
    Ok(questions)
}

/// What an observation found, and what took the time, as a small chart.
pub(super) fn show(question: &Question, observation: &Observation) -> String {
    let ms = |length: Duration| length.as_secs_f64() * 1000.0;
    let (word, reason) = match &observation.outcome {
        Outcome::Pass => ("pass", observation.soft.first()),
        Outcome::Fail(reason) => ("fail", Some(reason)),
        Outcome::Unknown(reason) => ("unknown", Some(reason)),
    };
    let (mark, _) = super::render::look(word);
    let mut text = format!("{mark} {word}  {}  {:.1} ms\n", question.probe.target().shown, ms(observation.took));
    if let Some(reason) = reason {
        text.push_str(&format!("  {} ({})\n", reason.text, reason.code.as_str()));
    }
    let total = ms(observation.took).max(0.001);
    let mut before = 0.0;
    let parts = observation.parts();
    let width = parts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default().max(NAME_WIDTH);
    for (name, took) in parts {
        let (offset, length) = (before / total * BAR_WIDTH, ms(took) / total * BAR_WIDTH);
        let name = name.replace('_', " ");
        text.push_str(&format!("  {name:<width$} {:>9.2} ms  {}\n", ms(took), bar(offset, length)));
        before += ms(took);
    }
    for step in observation.seen.steps.iter().filter(|step| step.state == StepState::NotReached) {
        text.push_str(&format!("  {:<width$}   not reached\n", step.name));
    }
    let seen = &observation.seen;
    let facts = [
        seen.status.map(|status| format!("status {status}")),
        seen.protocol.clone(),
        seen.address.map(|address| address.to_string()),
        seen.cert_expires.map(|expires| format!("certificate until {}", expires.strftime("%F"))),
        (seen.redirects > 0).then(|| format!("{} redirects", seen.redirects)),
        seen.note.clone(),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    if !facts.is_empty() {
        text.push_str(&format!("  {}\n", facts.join(" · ")));
    }
    text
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the bar's width")]
fn bar(offset: f64, length: f64) -> String {
    let offset = offset.clamp(0.0, BAR_WIDTH) as usize;
    let length = length.clamp(1.0, BAR_WIDTH).round() as usize;
    format!("{}{}", " ".repeat(offset), "█".repeat(length))
}
