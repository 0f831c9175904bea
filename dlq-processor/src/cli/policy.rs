//! `policy test`: what would be done with a failure; `policy reload`: the policy that is written by now decides.
//! `policy simulate` is [`super::simulate`].

use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use kit::cli::{AskError, at, complain, refuse, say};
use kit::config::{Environment, show_duration};
use kit::exit;
use serde_json::Value;

use super::client::{Because, Daemon};
use super::{ConfigArgument, simulate};
use crate::app::SERVICE;
use crate::policy::{Action, ErrorFacts, Letter, Past, Reason};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Says what would be done with a failure.
    #[command(after_help = "Example:\n  dlq-processor policy test --name send --reason 'connect ECONNREFUSED'")]
    Test(Failure),
    Simulate(simulate::SimulateCommand),
    Reload(ReloadCommand),
}

/// Has a running daemon read its configuration again: what decides of it takes effect at once, in this one alone. For admins.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor policy reload --reason 'quota errors are passing ones'")]
pub(super) struct ReloadCommand {
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, clap::Args)]
pub(super) struct Failure {
    #[command(flatten)]
    config: ConfigArgument,
    /// The queue.
    #[arg(long, default_value = "jobs")]
    queue: String,
    /// The job's name.
    #[arg(long)]
    name: String,
    /// What the queue says of the failure.
    #[arg(long)]
    reason: Option<String>,
    /// The first line of its stack trace, such as `ValidationError: no address`.
    #[arg(long)]
    stack: Option<String>,
    /// How often its worker was not heard of again.
    #[arg(long, default_value_t = 0)]
    stalls: u32,
    /// How often it was redriven before.
    #[arg(long, default_value_t = 0)]
    redrives: u32,
}

pub(super) async fn run(command: &PolicyCommand, environment: &Environment) -> ExitCode {
    match command {
        PolicyCommand::Test(failure) => test(failure, environment),
        PolicyCommand::Simulate(command) => match command.config.load(environment) {
            Ok(settings) => simulate::run(command, &settings).await.unwrap_or_else(|error| error.report(SERVICE)),
            Err(mistakes) => refuse(&mistakes),
        },
        PolicyCommand::Reload(command) => reload(command).await.unwrap_or_else(|error| error.report(SERVICE)),
    }
}

async fn reload(ReloadCommand { because, daemon }: &ReloadCommand) -> Result<ExitCode, AskError> {
    let (body, key) = because.settled();
    let answer = daemon.post("/api/v1/policy/reload", &body, &key).await?;
    daemon.show(&answer, || {
        say(format_args!(
            "{} rules decide from now on, and {} facts about jobs",
            at(&answer, "rules"),
            at(&answer, "jobs")
        ));
        say(format_args!("key: {key}"));
    });
    if at(&answer, "acts") == false {
        complain(format_args!("this one does not act: the one that does keeps its policy until it is told, too"));
    }
    let others: Vec<&str> =
        at(&answer, "needs_restart").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !others.is_empty() {
        complain(format_args!("what else has changed is taken when it is started again: {}", others.join(", ")));
    }
    Ok(ExitCode::from(exit::YES))
}

fn test(failure: &Failure, environment: &Environment) -> ExitCode {
    let settings = match failure.config.load(environment) {
        Ok(settings) => settings,
        Err(mistakes) => return refuse(&mistakes),
    };
    let now = Timestamp::now();
    let letter = Letter {
        queue: failure.queue.clone(),
        name: failure.name.clone(),
        error: ErrorFacts::read(failure.reason.as_deref(), failure.stack.as_deref()),
        stalls: failure.stalls,
        is_in_flow: false,
        failed_at: now,
        seen_at: now,
    };
    let past = Past { redrives: failure.redrives, first_failed_at: now };
    let decision = settings.policy.decide(&letter, past, now, 1.0);
    say(format_args!("error     {}", facts(&letter.error)));
    say(format_args!("rule      {}", decision.rule.as_deref().unwrap_or("none knows it")));
    say(format_args!("class     {}", decision.class.word()));
    let action = match decision.action {
        Action::Redrive(wait) => format!("redrive within {}", show_duration(wait)),
        action => action.word().to_owned(),
    };
    say(format_args!("action    {action} ({})", decision.reason.word()));
    say(format_args!("wakes     {}", decision.alarm.word()));
    let canary = settings.policy.canary(decision.class, &failure.queue, &failure.name);
    if let Some(canary) = canary.filter(|_| decision.action == Action::Park && decision.reason == Reason::Class) {
        say(format_args!("canary    one of those that are alike after {}", show_duration(canary.wait(0))));
    }
    if matches!(decision.action, Action::Redrive(_)) && !settings.of_queue(&failure.queue).acts {
        say(format_args!("Nothing is redriven in {}: it has no mode: act.", failure.queue));
    }
    ExitCode::from(exit::YES)
}

fn facts(ErrorFacts { class, codes, http, .. }: &ErrorFacts) -> String {
    let class = class.iter().map(|class| format!("class {class}"));
    let codes = codes.iter().map(|code| format!("code {code}"));
    let all: Vec<String> = class.chain(codes).chain(http.iter().map(|status| format!("status {status}"))).collect();
    if all.is_empty() { "nothing but its words".to_owned() } else { all.join(", ") }
}
