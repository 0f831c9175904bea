//! `monitor alerts`: what is wrong, who was told, and what a person does about it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use comfy_table::{Cell, Color};
use http::Method;
use jiff::Timestamp;
use kit::cli::{AskError, MINUTES, SECONDS, at, is_colourful, local, print_json, read, say, table, word};
use kit::clock::elapsed;
use kit::config::show_duration;
use kit::exit;
use monitor::alert::{Delivery, DeliveryState, Incident, Severity, Silence, ToldState};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Daemon, report};

/// How long one question may take: a silence waits up to 5 s for the disk.
const PATIENCE: Duration = Duration::from_secs(15);

/// Shows incidents, and acts on them; exit code 0 if nothing is open, 1 if something is.
#[derive(Debug, clap::Args)]
pub(super) struct AlertsCommand {
    #[command(flatten)]
    daemon: Daemon,
    #[command(subcommand)]
    action: Option<Action>,
    /// Past incidents too.
    #[arg(long)]
    all: bool,
    /// The answer of the API as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows one incident: its timeline and who was told.
    Show { incident: Uuid },
    /// Takes an incident: no more reminders or escalations.
    Ack {
        incident: Uuid,
        /// For whoever looks next.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Says that an incident is over; it opens anew if it still holds.
    Close { incident: Uuid },
    /// Holds messages back about what fits all matchers, such as service=web.
    Silence {
        #[arg(required = true)]
        matchers: Vec<String>,
        /// How long, such as 2h.
        #[arg(long = "for")]
        length: String,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Lists silences that are not over.
    Silences,
    /// Ends a silence.
    Unsilence { silence: Uuid },
    /// Begins a maintenance window now.
    Maintain {
        /// What it is called.
        name: String,
        /// The services; all if none is named.
        #[arg(long = "service")]
        services: Vec<String>,
        /// How long, such as 2h.
        #[arg(long = "for")]
        length: String,
    },
    /// Lists dead letters.
    Dead,
    /// Has dead letters tried again: INCIDENT.EVENT.CHANNEL, or all of them.
    Retry {
        #[arg(required_unless_present = "all_dead", conflicts_with = "all_dead")]
        letters: Vec<String>,
        #[arg(long = "all")]
        all_dead: bool,
    },
    /// Says whom an incident with these labels would be told now: severity=page service=web.
    RouteTest {
        #[arg(required = true)]
        labels: Vec<String>,
    },
    /// Lists channels and what waits for them.
    Channels,
}

pub(super) async fn run(command: &AlertsCommand) -> ExitCode {
    let result = match &command.action {
        None => list(command).await,
        Some(action) => act(command, action).await,
    };
    result.unwrap_or_else(report)
}

async fn list(command: &AlertsCommand) -> Result<ExitCode, AskError> {
    let path = if command.all { "/api/v1/incidents" } else { "/api/v1/incidents?open=true" };
    let (_, answer) = command.daemon.ask::<Value>(Method::GET, path, PATIENCE).await?;
    let incidents: Vec<Incident> = read(&answer)?;
    let is_open = incidents.iter().any(|incident| !incident.is_over());
    if command.json {
        print_json(&answer);
    } else if incidents.is_empty() {
        say("nothing is wrong");
    } else {
        say(table(&["", "SEVERITY", "INCIDENT", "FOR", "TOLD", "ID"], incidents.iter().map(row).collect()));
    }
    Ok(ExitCode::from(if is_open { exit::NO } else { exit::YES }))
}

async fn act(command: &AlertsCommand, action: &Action) -> Result<ExitCode, AskError> {
    let daemon = &command.daemon;
    let get = async |path: &str| daemon.ask::<Value>(Method::GET, path, PATIENCE).await.map(|(_, answer)| answer);
    let post = async |path: String, body: Value| daemon.tell::<Value>(Method::POST, &path, &body, PATIENCE).await;
    let delete = async |path: String| daemon.tell::<Value>(Method::DELETE, &path, &json!({}), PATIENCE).await;
    match action {
        Action::Show { incident } => show(command, &get(&format!("/api/v1/incidents/{incident}")).await?)?,
        Action::Ack { incident, note } => {
            post(format!("/api/v1/incidents/{incident}/acknowledge"), json!({ "note": note })).await?;
            say(format_args!("{incident} is yours: no more reminders"));
        }
        Action::Close { incident } => {
            post(format!("/api/v1/incidents/{incident}/close"), json!({})).await?;
            say(format_args!("{incident} is closed"));
        }
        Action::Silence { matchers, length, comment } => {
            let body = json!({ "matchers": matchers, "for": length, "comment": comment });
            let made = post("/api/v1/silences".to_owned(), body).await?;
            say(format_args!("silenced until {} as {}", local(word(&made, "until"), MINUTES), word(&made, "id")));
        }
        Action::Silences => silences(command, &get("/api/v1/silences").await?)?,
        Action::Unsilence { silence } => {
            delete(format!("/api/v1/silences/{silence}")).await?;
            say(format_args!("{silence} is over"));
        }
        Action::Maintain { name, services, length } => {
            let body = json!({ "name": name, "services": services, "for": length });
            let made = post("/api/v1/maintenance".to_owned(), body).await?;
            say(format_args!("maintenance {name:?} until {}", local(word(&made, "until"), MINUTES)));
        }
        Action::Dead => dead(command, &get("/api/v1/deliveries?state=dead&limit=1000").await?)?,
        Action::Retry { letters, all_dead } => return retry(command, letters, *all_dead).await,
        Action::RouteTest { labels } => return route_test(command, labels).await,
        Action::Channels => channels(command, &get("/api/v1/channels").await?),
    }
    Ok(ExitCode::from(exit::YES))
}

fn show(command: &AlertsCommand, answer: &Value) -> Result<(), AskError> {
    if command.json {
        print_json(answer);
        return Ok(());
    }
    let incident: Incident = read(answer)?;
    say(format_args!("{}  {}", incident.severity.as_str(), incident.title));
    say(format_args!("opened {}, {}", local(&incident.opened.to_string(), SECONDS), ending(&incident)));
    if !incident.impacted.is_empty() {
        say(format_args!("needed by {}", incident.impacted.join(", ")));
    }
    let evidence = &incident.evidence;
    let facts = [
        ("asked", [evidence.check.as_str(), &evidence.target].join(" ")),
        ("reason", evidence.reason.clone()),
        ("last run", evidence.exit.clone()),
        ("changed", evidence.changed.clone()),
        ("trace", evidence.trace_id.clone()),
    ];
    for (what, fact) in facts.iter().filter(|(_, fact)| !fact.trim().is_empty()) {
        say(format_args!("{what:<9}{}", fact.trim()));
    }
    for line in &incident.evidence.last_lines {
        say(format_args!("  | {line}"));
    }
    let events = at(answer, "events").as_array().cloned().unwrap_or_default();
    let line = |event: &Value| {
        let when = local(word(event, "at"), SECONDS);
        [when.as_str(), word(event, "kind"), word(event, "text")].map(Cell::new).to_vec()
    };
    say(table(&["WHEN", "WHAT", ""], events.iter().map(line).collect()));
    let deliveries: Vec<Delivery> = read(at(answer, "deliveries"))?;
    say(table(&["CHANNEL", "EVENT", "STATE", "TRIES", "SAID", "KEY"], deliveries.iter().map(letter).collect()));
    Ok(())
}

fn row(incident: &Incident) -> Vec<Cell> {
    let (mark, tint) = match (incident.is_over(), incident.severity) {
        (true, _) => ("✔", Color::Green),
        (false, Severity::Page) => ("✖", Color::Red),
        (false, Severity::Ticket) => ("◐", Color::Yellow),
        (false, Severity::Notice) => ("○", Color::Cyan),
    };
    let tinted = |text: &str| if is_colourful() { Cell::new(text).fg(tint) } else { Cell::new(text) };
    let end = incident.resolved.as_ref().map_or_else(Timestamp::now, |resolution| resolution.at);
    let lasted = elapsed(incident.opened, end);
    let taken = incident.acknowledged.as_ref().map(|taken| format!(" (taken by {})", taken.by)).unwrap_or_default();
    vec![
        tinted(mark),
        tinted(incident.severity.as_str()),
        Cell::new(format!("{}{taken}", incident.title)),
        Cell::new(show_duration(Duration::from_secs(lasted.as_secs()))),
        Cell::new(told(incident)),
        Cell::new(incident.id),
    ]
}

fn told(incident: &Incident) -> String {
    let each = incident.told.iter().map(|(channel, told)| match &told.state {
        ToldState::Delivered => format!("{channel} ✔"),
        ToldState::Owed => format!("{channel} …"),
        ToldState::Dead => format!("{channel} dead letter"),
        ToldState::Held => format!("{channel} held"),
        ToldState::Suppressed(why) => format!("{channel}: {why}"),
    });
    let line = each.collect::<Vec<_>>().join(", ");
    if line.is_empty() { "nobody".to_owned() } else { line }
}

fn ending(incident: &Incident) -> String {
    match &incident.resolved {
        Some(resolution) => {
            format!("over since {}: {}", local(&resolution.at.to_string(), SECONDS), resolution.how.words())
        }
        None => "still open".to_owned(),
    }
}

fn letter(delivery: &Delivery) -> Vec<Cell> {
    let tint = match delivery.state {
        DeliveryState::Sent => Color::Green,
        DeliveryState::Dead => Color::Red,
        DeliveryState::Due | DeliveryState::Held => Color::Yellow,
        DeliveryState::Suppressed | DeliveryState::Cancelled => Color::DarkGrey,
    };
    let state = Cell::new(delivery.state.as_str());
    vec![
        Cell::new(&delivery.channel),
        Cell::new(delivery.happening.as_str()),
        if is_colourful() { state.fg(tint) } else { state },
        Cell::new(delivery.tries),
        Cell::new(&delivery.said),
        Cell::new(delivery.key()),
    ]
}

fn silences(command: &AlertsCommand, answer: &Value) -> Result<(), AskError> {
    let silences: Vec<Silence> = read(answer)?;
    if command.json {
        print_json(answer);
    } else if silences.is_empty() {
        say("nothing is silenced");
    } else {
        let rows = silences.iter().map(|silence| {
            let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
            let (until, id) = (local(&silence.until.to_string(), MINUTES), silence.id.to_string());
            [matchers.join(", "), until, silence.by.clone(), silence.comment.clone(), id].map(Cell::new).to_vec()
        });
        say(table(&["WHAT", "UNTIL", "BY", "WHY", "ID"], rows.collect()));
    }
    Ok(())
}

fn dead(command: &AlertsCommand, answer: &Value) -> Result<(), AskError> {
    let letters: Vec<Delivery> = read(answer)?;
    if command.json {
        print_json(answer);
    } else if letters.is_empty() {
        say("no dead letters");
    } else {
        say(table(&["CHANNEL", "EVENT", "STATE", "TRIES", "SAID", "KEY"], letters.iter().map(letter).collect()));
    }
    Ok(())
}

async fn retry(command: &AlertsCommand, letters: &[String], all: bool) -> Result<ExitCode, AskError> {
    let mut keys = letters.to_vec();
    if all {
        let path = "/api/v1/deliveries?state=dead&limit=1000";
        let (_, answer) = command.daemon.ask::<Value>(Method::GET, path, PATIENCE).await?;
        keys = read::<Vec<Delivery>>(&answer)?.iter().map(Delivery::key).collect();
    }
    for key in &keys {
        let parts: Vec<&str> = key.splitn(3, '.').collect();
        let [incident, event, channel] = parts.as_slice() else {
            return Err(AskError::Refused(format!("{key:?} is no dead letter; write INCIDENT.EVENT.CHANNEL")));
        };
        let path = format!("/api/v1/deliveries/{incident}/{event}/{channel}/retry");
        command.daemon.tell::<Value>(Method::POST, &path, &json!({}), PATIENCE).await?;
    }
    say(format_args!(
        "{} tried again",
        match keys.len() {
            1 => "1 dead letter is".to_owned(),
            count => format!("{count} dead letters are"),
        }
    ));
    Ok(ExitCode::from(exit::YES))
}

async fn route_test(command: &AlertsCommand, labels: &[String]) -> Result<ExitCode, AskError> {
    let answer = command.daemon.route_test(labels.iter().map(String::as_str), PATIENCE).await?;
    let to = at(&answer, "to").as_array().cloned().unwrap_or_default();
    if command.json {
        print_json(&answer);
    } else if to.is_empty() {
        say("nobody: no route takes this");
    } else {
        for target in &to {
            let held = at(target, "held_back").as_str().map(|why| format!(" (held back: {why})")).unwrap_or_default();
            say(format_args!("{}{held}", word(target, "channel")));
        }
        if let Some(why) = at(&answer, "suppressed").as_str() {
            say(format_args!("but not now: {why}"));
        }
    }
    Ok(ExitCode::from(if to.is_empty() { exit::NO } else { exit::YES }))
}

fn channels(command: &AlertsCommand, answer: &Value) {
    if command.json {
        return print_json(answer);
    }
    let rows = answer.as_array().cloned().unwrap_or_default();
    let row = |channel: &Value| {
        let waiting = at(channel, "waiting").to_string();
        vec![
            Cell::new(word(channel, "name")),
            Cell::new(word(channel, "kind")),
            Cell::new(word(channel, "target")),
            Cell::new(waiting),
            Cell::new(word(channel, "said")),
        ]
    };
    if rows.is_empty() {
        say("nobody is told: no channels are configured");
    } else {
        say(table(&["CHANNEL", "KIND", "TELLS", "WAITING", "SAID"], rows.iter().map(row).collect()));
    }
}
