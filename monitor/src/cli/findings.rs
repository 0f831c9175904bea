//! `monitor findings`: what is to be mended and is no outage, with what to write instead.

use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use kit::cli::{AskError, MINUTES, at, local, print_json, say, table, word};
use kit::exit;
use serde_json::Value;
use url::form_urlencoded;

use super::client::{Daemon, report};

/// A list is made in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lists what is to be mended; exit code 0 if there is nothing, 1 if there is something.
#[derive(Debug, clap::Args)]
pub(super) struct FindingsCommand {
    #[command(flatten)]
    daemon: Daemon,
    /// Only about this service.
    #[arg(long)]
    service: Option<String>,
    /// Only of this rule.
    #[arg(long)]
    rule: Option<String>,
    /// Only errors, or only warnings: error or warning.
    #[arg(long)]
    severity: Option<String>,
    /// The answer of the API as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: &FindingsCommand) -> ExitCode {
    list(command).await.unwrap_or_else(report)
}

async fn list(command: &FindingsCommand) -> Result<ExitCode, AskError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in [("service", &command.service), ("rule", &command.rule), ("severity", &command.severity)] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    let path = format!("/api/v1/findings?{}", query.finish());
    let (_, answer) = command.daemon.ask::<Value>(Method::GET, &path, PATIENCE).await?;
    let findings = at(&answer, "findings").as_array().cloned().unwrap_or_default();
    if command.json {
        print_json(&answer);
    } else {
        show(&answer, &findings);
    }
    Ok(ExitCode::from(if findings.is_empty() { exit::YES } else { exit::NO }))
}

fn show(answer: &Value, findings: &[Value]) {
    if findings.is_empty() {
        say("nothing is to be mended");
    } else {
        let header = ["SEVERITY", "RULE", "WHERE", "WHAT", "SINCE"];
        say(table(&header, findings.iter().map(row).collect()));
        let count = |key: &str, word: &str| {
            let count = at(answer, key).as_u64().unwrap_or_default();
            format!("{count} {word}{}", if count == 1 { "" } else { "s" })
        };
        say(format_args!(
            "{}, {}; what to write instead: /findings, or --json",
            count("errors", "error"),
            count("warnings", "warning")
        ));
    }
    if let Some(left_out @ 1..) = at(answer, "left_out").as_u64() {
        say(format_args!("and {left_out} more that are not listed"));
    }
    for what in at(answer, "not_checked").as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("not checked: {what}"));
    }
    if at(answer, "examined").is_null() {
        say("no files were examined yet");
    }
}

fn row(finding: &Value) -> Vec<comfy_table::Cell> {
    let service = word(finding, "service");
    let file = word(finding, "file");
    let place = match (file.is_empty(), at(finding, "line").as_u64()) {
        (true, _) => service.to_owned(),
        (false, Some(line)) => format!("{file}:{line}"),
        (false, None) => file.to_owned(),
    };
    let message = word(finding, "message");
    let is_named = service.is_empty() || file.is_empty() || message.starts_with(service);
    let message = if is_named { message.to_owned() } else { format!("{service}: {message}") };
    let old = if at(finding, "stale") == &Value::Bool(true) { " (not looked at again)" } else { "" };
    let severity = format!("{}{old}", word(finding, "severity"));
    let since = local(word(finding, "since"), MINUTES);
    [severity, word(finding, "rule").to_owned(), place, message, since].into_iter().map(Into::into).collect()
}
