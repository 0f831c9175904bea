//! Asking a running daemon, with a token if one is given: exit code 69 when it cannot be reached.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use kit::config::Environment;
use kit::env::Variables;
use kit::exit;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::output::complain;

/// Largest answer that is read, in bytes: the status of ten thousand checks is about 8 MB.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

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

/// Why there is no answer; becomes an exit code.
pub(super) enum AskError {
    /// Nobody answers.
    Unreachable(String),
    /// It says that the question is wrong.
    Refused(String),
}

impl AskError {
    /// Prints the cause and returns the exit code.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Unreachable(message) => {
                complain(format_args!("monitor: {message}"));
                ExitCode::from(exit::UNREACHABLE)
            }
            Self::Refused(message) => {
                complain(format_args!("monitor: {message}"));
                ExitCode::from(exit::USAGE)
            }
        }
    }
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
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = self.token()? {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body.map_or_else(Full::<Bytes>::default, |body| Full::from(body.to_string())));
        let request = request.map_err(|error| AskError::Refused(format!("{url} is not a URL: {error}")))?;
        let answer = kit::http::get(request, deadline, MAX_ANSWER_BYTES).await;
        let (status, body) =
            answer.map_err(|error| AskError::Unreachable(format!("no monitor at {}: {error}", self.url)))?;
        if status.is_client_error() {
            let message = serde_json::from_slice::<Value>(&body).ok();
            let message =
                message.as_ref().and_then(|json| json["error"].as_str()).unwrap_or("refused without a reason");
            let hint =
                if status == StatusCode::UNAUTHORIZED { "; give --token-file, or set MONITOR_TOKEN" } else { "" };
            return Err(AskError::Refused(format!("{message}{hint}")));
        }
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        match serde_json::from_slice(text) {
            Ok(answer) => Ok((status, answer)),
            Err(error) => {
                Err(AskError::Unreachable(format!("{url} does not answer like a monitor ({status}): {error}")))
            }
        }
    }

    fn token(&self) -> Result<Option<SecretString>, AskError> {
        // Never an argument itself: everybody on the machine can read those.
        let environment = match &self.token_file {
            Some(path) => Environment::of([("MONITOR_TOKEN_FILE", &*path.to_string_lossy())]),
            None => Environment::of_process(),
        };
        let variables = Variables::new(&environment);
        let token = variables.secret("MONITOR_TOKEN");
        variables.finish(token).map_err(|mistakes| AskError::Refused(mistakes.join("\n")))
    }
}

/// Reads a part of an answer.
pub(super) fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, AskError> {
    let read = T::deserialize(answer);
    read.map_err(|error| AskError::Unreachable(format!("the daemon answers in another form: {error}")))
}
