//! `monitor healing`: what was restarted, what is left alone and why, and how a person pauses and resumes it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use http::Method;
use kit::cli::{AskError, MINUTES, at, local, print_json, say, table, word};
use kit::exit;
use serde_json::{Value, json};

use super::client::{Daemon, report};

/// How long one question may take: a pause waits up to 5 s for the disk.
const PATIENCE: Duration = Duration::from_secs(15);

/// Shows heals, and pauses or resumes them; exit code 0 if nothing broken is left alone, 1 if something is.
#[derive(Debug, clap::Args)]
pub(super) struct HealingCommand {
    #[command(flatten)]
    daemon: Daemon,
    #[command(subcommand)]
    action: Option<Action>,
    /// The answer of the API as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Restarts a service no more for a while.
    Pause {
        #[command(flatten)]
        whom: Whom,
        /// How long, such as 2h; without it until somebody resumes it.
        #[arg(long = "for")]
        length: Option<String>,
        /// For whoever looks next.
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Restarts it again where that can help; what was held in quarantine is started.
    Resume {
        #[command(flatten)]
        whom: Whom,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// The service.
    service: Option<String>,
    /// All services.
    #[arg(long)]
    all: bool,
}

impl Whom {
    fn shown(&self) -> &str {
        self.service.as_deref().unwrap_or("everything")
    }
}

pub(super) async fn run(command: &HealingCommand) -> ExitCode {
    let result = match &command.action {
        None => list(command).await,
        Some(action) => act(command, action).await.map(|()| ExitCode::from(exit::YES)),
    };
    result.unwrap_or_else(report)
}

async fn act(command: &HealingCommand, action: &Action) -> Result<(), AskError> {
    let (path, body, done) = match action {
        Action::Pause { whom, length, why } => (
            "/api/v1/healing/pause",
            json!({ "service": whom.service, "for": length, "why": why }),
            format!(
                "{} is left alone{}",
                whom.shown(),
                length.as_ref().map(|l| format!(" for {l}")).unwrap_or_default()
            ),
        ),
        Action::Resume { whom } => (
            "/api/v1/healing/resume",
            json!({ "service": whom.service }),
            format!("{} is restarted again where that can help", whom.shown()),
        ),
    };
    command.daemon.tell::<Value>(Method::POST, path, &body, PATIENCE).await?;
    say(done);
    Ok(())
}

async fn list(command: &HealingCommand) -> Result<ExitCode, AskError> {
    let (_, answer) = command.daemon.ask::<Value>(Method::GET, "/api/v1/healing", PATIENCE).await?;
    let services = at(&answer, "services").as_array().cloned().unwrap_or_default();
    let is_held = services.iter().any(|service| at(service, "hold").is_string());
    if command.json {
        print_json(&answer);
    } else if services.is_empty() {
        say("no service asks to be healed; write \"heal: true\" beside its workload");
    } else {
        if let Some(by) = at(at(&answer, "paused"), "by").as_str() {
            say(format_args!("{by} paused all healing"));
        }
        say(table(&["SERVICE", "LAST", "WHAT", "RESULT", "NOW"], services.iter().map(row).collect()));
    }
    Ok(ExitCode::from(if is_held { exit::NO } else { exit::YES }))
}

fn row(service: &Value) -> Vec<comfy_table::Cell> {
    let none = Value::Null;
    let last = at(service, "heals").as_array().and_then(|heals| heals.first()).unwrap_or(&none);
    let now = match (at(at(service, "paused"), "by").as_str(), at(service, "hold_why").as_str()) {
        (Some(by), _) => format!("paused by {by}"),
        (None, Some(why)) => format!("left alone: {why}"),
        (None, None) => "watched over".to_owned(),
    };
    let when = at(last, "at").as_str().map(|at| local(at, MINUTES)).unwrap_or_else(|| "–".to_owned());
    let [name, why, result] = [word(service, "service"), word(last, "why"), word(last, "result")].map(str::to_owned);
    [name, when, why, result, now].into_iter().map(Into::into).collect()
}
