//! Asking a running monitor.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use http::{Method, StatusCode};
use kit::cli::{AskError, Asked, Question};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Which daemon to ask.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Daemon {
    /// The daemon's address.
    #[arg(long, env = "MONITOR_URL", default_value = "http://127.0.0.1:8888", global = true)]
    pub(super) url: String,
    /// A file that holds a token, where the daemon asks for one. Or set MONITOR_TOKEN or MONITOR_TOKEN_FILE.
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,
}

/// Prints why there is no answer, and returns the exit code.
pub(super) fn report(error: AskError) -> ExitCode {
    error.report("monitor")
}

impl Daemon {
    /// Asks `path` and reads the JSON answer, whatever its status; 4xx is a refusal.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        deadline: Duration,
    ) -> Result<(StatusCode, T), AskError> {
        self.send(method, path, None, deadline).await
    }

    /// As [`Daemon::ask`], with a JSON body. An empty answer reads as `null`.
    pub(super) async fn tell<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        deadline: Duration,
    ) -> Result<T, AskError> {
        Ok(self.send(method, path, Some(body), deadline).await?.1)
    }

    /// Asks whom an incident with these labels, each `NAME=VALUE`, would be told now.
    pub(super) async fn route_test<'a>(
        &self,
        labels: impl Iterator<Item = &'a str>,
        deadline: Duration,
    ) -> Result<Value, AskError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for label in labels {
            let pair = label.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
            let (name, value) = pair
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| AskError::Refused(format!("{label:?} is not a label; write service=web")))?;
            query.append_pair(name, value);
        }
        let path = format!("/api/v1/route-test?{}", query.finish());
        self.ask(Method::GET, &path, deadline).await.map(|(_, answer)| answer)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<(StatusCode, T), AskError> {
        let asked = Asked {
            name: "monitor",
            url: &self.url,
            variable: "MONITOR_TOKEN",
            token_file: self.token_file.as_deref(),
        };
        let answer = asked.ask(&Question { method, path, body, key: None, deadline }).await;
        // Exit code 1 says that something is wrong, not that it is not there.
        answer.map_err(|error| match error {
            AskError::No(message) => AskError::Refused(message),
            other => other,
        })
    }
}
