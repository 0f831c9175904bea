//! Asking a running daemon, with a token if one is given: exit code 69 when it cannot be reached.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::complain;
use crate::config::Environment;
use crate::env::Variables;
use crate::exit;

/// Largest answer that is read, in bytes: the status of ten thousand checks is about 8 MB.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The daemon that is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Where it is.
    pub url: &'a str,
    /// The variable that holds a token; the same with `_FILE` names a file that does.
    pub variable: &'a str,
    /// A file that holds a token, instead of what variables say.
    pub token_file: Option<&'a Path>,
}

/// What it is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// How.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// JSON, if there is something to tell.
    pub body: Option<&'a Value>,
    /// The header `Idempotency-Key`: what is asked twice under one key is done once.
    pub key: Option<&'a str>,
    /// How long all of it may take.
    pub deadline: Duration,
}

/// Why there is no answer; becomes an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// Nobody answers.
    Unreachable(String),
    /// It says that the question is wrong.
    Refused(String),
    /// It says that there is no such thing, or that this cannot be done with it now.
    No(String),
}

impl AskError {
    /// Prints the cause, after the name of `program`, and returns the exit code.
    pub fn report(self, program: &str) -> ExitCode {
        let (message, code) = match self {
            Self::Unreachable(message) => (message, exit::UNREACHABLE),
            Self::Refused(message) => (message, exit::USAGE),
            Self::No(message) => (message, exit::NO),
        };
        complain(format_args!("{program}: {message}"));
        ExitCode::from(code)
    }
}

impl Asked<'_> {
    /// Asks, and reads the JSON answer, whatever its status; 4xx is a refusal. An empty answer reads as `null`.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<T: DeserializeOwned>(&self, question: &Question<'_>) -> Result<(StatusCode, T), AskError> {
        let url = format!("{}{}", self.url.trim_end_matches('/'), question.path);
        let request = self.request(&url, question)?;
        let answer = crate::http::get(request, question.deadline, MAX_ANSWER_BYTES).await;
        let (status, body) =
            answer.map_err(|error| AskError::Unreachable(format!("no {} at {}: {error}", self.name, self.url)))?;
        if status.is_client_error() {
            return Err(self.refusal(status, &body));
        }
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        let odd = |error| format!("{url} does not answer like {} ({status}): {error}", self.name);
        let answer = serde_json::from_slice(text).map_err(|error| AskError::Unreachable(odd(error)))?;
        Ok((status, answer))
    }

    fn request(&self, url: &str, question: &Question<'_>) -> Result<Request<Full<Bytes>>, AskError> {
        let mut request = Request::builder().method(&question.method).uri(url);
        if let Some(token) = self.token()? {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        if let Some(key) = question.key {
            request = request.header("idempotency-key", key);
        }
        if question.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = question.body.map_or_else(Full::<Bytes>::default, |body| Full::from(body.to_string()));
        request.body(body).map_err(|error| AskError::Refused(format!("{url} cannot be asked: {error}")))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> AskError {
        let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let message = json.get("error").and_then(Value::as_str).unwrap_or("refused without a reason");
        match status {
            StatusCode::UNAUTHORIZED => {
                AskError::Refused(format!("{message}; give --token-file, or set {}", self.variable))
            }
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => AskError::No(message.to_owned()),
            _ => AskError::Refused(message.to_owned()),
        }
    }

    fn token(&self) -> Result<Option<SecretString>, AskError> {
        // Never an argument itself: everybody on the machine can read those.
        let file = format!("{}_FILE", self.variable);
        let environment = match self.token_file {
            Some(path) => Environment::of([(file.as_str(), &*path.to_string_lossy())]),
            None => Environment::of_process(),
        };
        let variables = Variables::new(&environment);
        let token = variables.secret(self.variable);
        variables.finish(token).map_err(|mistakes| AskError::Refused(mistakes.join("\n")))
    }
}

/// Reads a part of an answer.
///
/// # Errors
/// [`AskError::Unreachable`] if it has another form.
pub fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, AskError> {
    let read = T::deserialize(answer);
    read.map_err(|error| AskError::Unreachable(format!("the daemon answers in another form: {error}")))
}
