//! Which daemon is asked, how its answer is shown, and why something is done.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use kit::cli::{AskError, Asked, Question, at, complain, print_json, quoted};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::SERVICE;
use crate::letter_line::LONGEST_BYTES;

/// How long one question may take: longer than the daemon itself takes to say that it cannot answer.
const PATIENCE: Duration = Duration::from_secs(35);
/// Where a daemon is unless told otherwise.
const URL: &str = "http://127.0.0.1:8091";

/// Which daemon to ask.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which daemon, and in which form")]
pub(super) struct Daemon {
    /// The daemon's address.
    #[arg(long, env = "DLQ_URL", default_value = URL)]
    url: String,
    /// A file that holds a token, where the daemon asks for one. Or set DLQ_TOKEN or DLQ_TOKEN_FILE.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// JSON, also on a terminal.
    #[arg(long)]
    json: bool,
}

/// Why something is done, and under which key.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Because {
    /// Why; it is written down.
    #[arg(long)]
    reason: String,
    /// What is done twice under one key is done once. Without it there is a new one, which is printed.
    #[arg(long)]
    key: Option<String>,
}

impl Because {
    /// Returns the reason and a key.
    pub(super) fn settled(&self) -> (Value, String) {
        let key = self.key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
        (json!({ "reason": self.reason }), key)
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

impl Daemon {
    /// Whether a person reads the answer.
    pub(super) fn is_for_people(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// Shows an answer: as JSON, or as `shown` for people.
    pub(super) fn show(&self, answer: &Value, shown: impl FnOnce()) {
        if self.is_for_people() { shown() } else { print_json(answer) }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, AskError> {
        self.send(Method::GET, path, None, None).await
    }

    /// Has something done, once for each key.
    pub(super) async fn post(&self, path: &str, body: &Value, key: &str) -> Result<Value, AskError> {
        let answer = self.send(Method::POST, path, Some(body), Some(key)).await;
        if matches!(answer, Err(AskError::Unreachable(_))) {
            complain(format_args!("it may be done; to ask again and have it done once: --key {key}"));
        }
        answer
    }

    /// Has lines of JSON taken in, once for each key.
    pub(super) async fn post_lines(&self, path: &str, lines: Vec<u8>, key: &str) -> Result<Value, AskError> {
        let question = Question { method: Method::POST, path, body: None, key: Some(key), deadline: PATIENCE };
        let body = Some(("application/x-ndjson", Bytes::from(lines)));
        let (status, answer) = self.asked().ask_with::<Value>(&question, body).await?;
        self.answered(status, answer)
    }

    /// Hands over each line of an answer as it comes.
    pub(super) async fn get_lines(
        &self,
        path: &str,
        take: impl FnMut(&[u8]) -> Result<(), AskError>,
    ) -> Result<(), AskError> {
        let question = Question { method: Method::GET, path, body: None, key: None, deadline: PATIENCE };
        self.asked().ask_lines(&question, LONGEST_BYTES, take).await
    }

    fn asked(&self) -> Asked<'_> {
        Asked { name: SERVICE, url: &self.url, variable: "DLQ_TOKEN", token_file: self.token_file.as_deref() }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, AskError> {
        let question = Question { method, path, body, key, deadline: PATIENCE };
        let (status, answer) = self.asked().ask::<Value>(&question).await?;
        self.answered(status, answer)
    }

    fn answered(&self, status: StatusCode, answer: Value) -> Result<Value, AskError> {
        if status.is_server_error() {
            let why = at(&answer, "error").as_str().unwrap_or("it does not say why");
            return Err(AskError::Unreachable(format!("{} cannot answer ({status}): {why}", self.url)));
        }
        Ok(answer)
    }

    /// Returns the options of a command that asks the same daemon.
    pub(super) fn options(&self) -> String {
        let url = if self.url == URL { String::new() } else { format!(" --url {}", quoted(&self.url)) };
        let file = self.token_file.as_ref().map(|file| format!(" --token-file {}", quoted(&file.to_string_lossy())));
        url + &file.unwrap_or_default()
    }
}

/// Returns an id as part of a path, if it can be one.
pub(super) fn in_path(id: &str) -> Result<&str, AskError> {
    let is_id = !id.is_empty() && id.chars().all(|char| char.is_ascii_alphanumeric() || char == '-');
    if is_id { Ok(id) } else { Err(AskError::Refused(format!("{id:?} is no id; `ls` and `plan ls` show them"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_no_other_path() {
        for wrong in ["", "..", "a/b", "a?b", "a%2Fb"] {
            assert!(in_path(wrong).is_err(), "{wrong}");
        }
        assert_eq!(in_path("01a-f"), Ok("01a-f"));
    }
}
