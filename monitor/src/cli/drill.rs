//! `monitor drill`: sends a marked incident the whole way to people, and waits until every channel has accepted it.

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use kit::cli::{AskError, at, read, say};
use kit::exit;
use monitor::alert::{Delivery, DeliveryState, Happening};
use serde_json::{Value, json};

use super::client::{Daemon, report};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Proves that alerts reach people: exit code 0 if every channel accepted, 1 if one refused, 2 if time ran out.
#[derive(Debug, clap::Args)]
pub(super) struct DrillCommand {
    #[command(flatten)]
    daemon: Daemon,
    /// Only these channels; by default all that routes lead to, escalations included.
    #[arg(long = "channel")]
    channels: Vec<String>,
    /// Only where an incident with these labels goes, such as severity=page,service=web.
    #[arg(long, conflicts_with = "channels")]
    route: Option<String>,
    /// How long to wait.
    #[arg(long, default_value = "60s", value_parser = kit::config::parse_duration)]
    wait: Duration,
}

pub(super) async fn run(command: &DrillCommand) -> ExitCode {
    drill(command).await.unwrap_or_else(report)
}

async fn drill(command: &DrillCommand) -> Result<ExitCode, AskError> {
    let channels = match &command.route {
        Some(labels) => routed(&command.daemon, labels).await?,
        None => command.channels.clone(),
    };
    let body = json!({ "channels": channels });
    let begun: Value = command.daemon.tell(Method::POST, "/api/v1/drill", &body, PATIENCE).await?;
    let id = at(&begun, "incident").as_str().unwrap_or_default().to_owned();
    let (until, mut seen) = (std::time::Instant::now() + command.wait, Vec::new());
    loop {
        let letters = letters(&command.daemon, &id).await?;
        for letter in letters.iter().filter(|letter| !letter.state.is_open()) {
            if !seen.contains(&letter.channel) {
                seen.push(letter.channel.clone());
                let mark = if letter.state == DeliveryState::Sent { "✔" } else { "✖" };
                say(format_args!("{mark} {}: {}", letter.channel, letter.said));
            }
        }
        let open: Vec<&Delivery> = letters.iter().filter(|letter| letter.state.is_open()).collect();
        if open.is_empty() && !letters.is_empty() {
            let all = letters.iter().all(|letter| letter.state == DeliveryState::Sent);
            say(if all { "every channel accepted" } else { "not every channel accepted" });
            return Ok(ExitCode::from(if all { exit::YES } else { exit::NO }));
        }
        if std::time::Instant::now() >= until {
            for letter in open {
                say(format_args!("… {}: {} tries, {}", letter.channel, letter.tries, letter.said));
            }
            say(format_args!("not accepted everywhere in time; incident {id} shows how it goes on"));
            return Ok(ExitCode::from(exit::UNDECIDED));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns the deliveries of the drill itself; that of its end is not waited for.
async fn letters(daemon: &Daemon, id: &str) -> Result<Vec<Delivery>, AskError> {
    let path = format!("/api/v1/incidents/{id}");
    let (_, answer) = daemon.ask::<Value>(Method::GET, &path, PATIENCE).await?;
    let all: Vec<Delivery> = read(at(&answer, "deliveries"))?;
    Ok(all.into_iter().filter(|letter| letter.happening == Happening::Drill).collect())
}

async fn routed(daemon: &Daemon, labels: &str) -> Result<Vec<String>, AskError> {
    let answer = daemon.route_test(labels.split(','), PATIENCE).await?;
    let to: Vec<String> = at(&answer, "to")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|target| at(target, "channel").as_str().map(ToOwned::to_owned))
        .collect();
    if to.is_empty() { Err(AskError::Refused(format!("no route takes {labels}"))) } else { Ok(to) }
}
