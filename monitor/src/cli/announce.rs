//! `monitor announce`: says that a service will be changed, so that its restarts are planned.

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use kit::cli::{AskError, MINUTES, local, say, word};
use kit::exit;
use serde_json::{Value, json};

use super::client::{Daemon, report};

/// How long the question may take: it waits up to 5 s for the disk.
const PATIENCE: Duration = Duration::from_secs(15);

/// Announces a change to a service: until then restarts by other hands are planned, and nothing is healed.
#[derive(Debug, clap::Args)]
pub(super) struct AnnounceCommand {
    #[command(flatten)]
    daemon: Daemon,
    /// The service.
    service: String,
    /// How long, such as 30m; 10 minutes without it.
    #[arg(long = "for", conflicts_with = "end")]
    length: Option<String>,
    /// What is changed, such as a version.
    #[arg(long, default_value = "", conflicts_with = "end")]
    why: String,
    /// It is done: what happens from now on is not planned.
    #[arg(long)]
    end: bool,
}

pub(super) async fn run(command: &AnnounceCommand) -> ExitCode {
    tell(command).await.map_or_else(report, |()| ExitCode::from(exit::YES))
}

async fn tell(command: &AnnounceCommand) -> Result<(), AskError> {
    let service = &command.service;
    let path = format!("/api/v1/services/{service}/announcement");
    if command.end {
        command.daemon.tell::<Value>(Method::DELETE, &path, &Value::Null, PATIENCE).await?;
        say(format_args!("whatever restarts {service} from now on is not planned"));
        return Ok(());
    }
    let body = json!({ "for": command.length, "why": command.why });
    let answer = command.daemon.tell::<Value>(Method::POST, &path, &body, PATIENCE).await?;
    let until = local(word(&answer, "until"), MINUTES);
    say(format_args!("restarts of {service} are planned until {until}; nothing is healed meanwhile"));
    Ok(())
}
