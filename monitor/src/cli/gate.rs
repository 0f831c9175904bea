//! `monitor gate`: begins and waits in one, for pipelines.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use http::{Method, StatusCode};
use kit::cli::{AskError, say};
use kit::exit;
use monitor::export::{Cursor, GateAnswer};

use super::client::{Daemon, report};

/// One request waits at most this long; the command asks again until its own time is over.
const SLICE: Duration = Duration::from_secs(60);

/// Waits until services work, by passes that began after it was asked; exit code 0 yes, 1 no, 2 undecided in time.
#[derive(Debug, clap::Args)]
pub(super) struct GateCommand {
    #[command(flatten)]
    daemon: Daemon,
    /// The services that must work.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    services: Vec<String>,
    /// Every critical service.
    #[arg(long)]
    all: bool,
    /// Count from this cursor (`monitor cursor`) instead of from now.
    #[arg(long)]
    cursor: Option<String>,
    /// Passes in a row that every critical check must show.
    #[arg(long, default_value_t = 3)]
    stable: u32,
    /// How long to wait.
    #[arg(long, default_value = "60s", value_parser = kit::config::parse_duration)]
    wait: Duration,
    /// new-incarnation: each workload must have been started since the cursor.
    #[arg(long)]
    expect: Option<String>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// A line a service.
    Text,
    /// What the API answered.
    Json,
    /// A test suite with a case a service, for CI reports.
    Junit,
}

/// Prints a cursor, to be given to a later `monitor gate --cursor`.
#[derive(Debug, clap::Args)]
pub(super) struct CursorCommand {
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn begin(command: &CursorCommand) -> ExitCode {
    match new_cursor(&command.daemon).await {
        Ok(cursor) => {
            say(&cursor);
            ExitCode::from(exit::YES)
        }
        Err(error) => report(error),
    }
}

async fn new_cursor(daemon: &Daemon) -> Result<String, AskError> {
    let (_, answer) = daemon.ask::<Cursor>(Method::POST, "/api/v1/gate", Duration::from_secs(10)).await?;
    Ok(answer.cursor)
}

pub(super) async fn run(command: &GateCommand) -> ExitCode {
    let began = Instant::now();
    let (answer, code) = match ask(command, began).await {
        Ok(result) => result,
        Err(error) => return report(error),
    };
    match command.output {
        Output::Text => print_text(&answer),
        Output::Json => say(format_args!("{}", serde_json::to_string_pretty(&answer).unwrap_or_default())),
        Output::Junit => say(format_args!("{}", junit(&answer, began.elapsed()))),
    }
    ExitCode::from(code)
}

async fn ask(command: &GateCommand, began: Instant) -> Result<(GateAnswer, u8), AskError> {
    let cursor = match &command.cursor {
        Some(cursor) => cursor.clone(),
        None => new_cursor(&command.daemon).await?,
    };
    let which =
        if command.all { "all=true".to_owned() } else { format!("services={}", encode(&command.services.join(","))) };
    let expect = command.expect.as_ref().map(|expect| format!("&expect={}", encode(expect))).unwrap_or_default();
    loop {
        let wait = command.wait.saturating_sub(began.elapsed()).min(SLICE);
        let path =
            format!("/api/v1/gate/{cursor}?{which}&stable={}&wait={}ms{expect}", command.stable, wait.as_millis());
        let deadline = wait + Duration::from_secs(10);
        let (status, answer) = command.daemon.ask::<GateAnswer>(Method::GET, &path, deadline).await?;
        if status == StatusCode::OK {
            return Ok((answer, exit::YES));
        }
        if answer.decided {
            return Ok((answer, exit::NO));
        }
        if began.elapsed() >= command.wait {
            return Ok((answer, exit::UNDECIDED));
        }
    }
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn print_text(answer: &GateAnswer) {
    for (name, service) in &answer.services {
        let mark = if service.open { "open" } else { "shut" };
        say(format_args!("{mark}  {name} ({})", service.verdict.replace('_', " ")));
        for reason in &service.reasons {
            say(format_args!("      {reason}"));
        }
    }
}

/// JUnit XML as CI systems read it (the Jenkins JUnit schema).
fn junit(answer: &GateAnswer, took: Duration) -> String {
    let failures = answer.services.values().filter(|service| !service.open).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"monitor gate\" tests=\"{}\" failures=\"{failures}\" time=\"{:.3}\">\n",
        answer.services.len(),
        took.as_secs_f64()
    );
    for (name, service) in &answer.services {
        let head = format!("  <testcase classname=\"gate\" name=\"{}\"", escape(name));
        if service.open {
            xml.push_str(&format!("{head}/>\n"));
        } else {
            let reasons = escape(&service.reasons.join("\n"));
            let verdict = escape(&service.verdict);
            xml.push_str(&format!("{head}>\n    <failure message=\"{verdict}\">{reasons}</failure>\n  </testcase>\n"));
        }
    }
    xml.push_str("</testsuite>");
    xml
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
