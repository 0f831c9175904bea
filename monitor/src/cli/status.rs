//! `monitor status`: what the daemon knows, as a table or as JSON; exit code 0 up or degraded, 1 down, 2 unknown.

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use kit::cli::{is_colourful, say};
use kit::exit;
use monitor::export::Status;

use super::client::{Daemon, report};
use super::render;

/// Shows what the daemon knows.
#[derive(Debug, clap::Args)]
pub(super) struct StatusCommand {
    #[command(flatten)]
    daemon: Daemon,
    /// The status as JSON, as `/api/v1/status` gives it.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: &StatusCommand) -> ExitCode {
    let asked = command.daemon.ask::<Status>(Method::GET, "/api/v1/status", Duration::from_secs(10)).await;
    let (_, status) = match asked {
        Ok(answer) => answer,
        Err(error) => return report(error),
    };
    if command.json {
        say(format_args!("{}", serde_json::to_string_pretty(&status).unwrap_or_default()));
    } else {
        say(render::table(&status, is_colourful()));
    }
    ExitCode::from(match status.overall.as_str() {
        "up" | "degraded" => exit::YES,
        "unknown" => exit::UNDECIDED,
        _ => exit::NO,
    })
}
