//! Asking a running daemon, with a token if one is given: exit code 69 when it cannot be reached.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
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
        let body = question.body.map(|body| ("application/json", Bytes::from(body.to_string())));
        self.ask_with(question, body).await
    }

    /// As [`Self::ask`], with a body of this content type instead of the question's.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask_with<T: DeserializeOwned>(
        &self,
        question: &Question<'_>,
        body: Option<(&str, Bytes)>,
    ) -> Result<(StatusCode, T), AskError> {
        let url = self.url_of(question);
        let request = self.request(&url, question, body)?;
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

    /// Asks without a body, and hands over each line of the answer as it comes, without its end; one that the answer breaks off
    /// in is handed over, too. The beginning of the answer and each part of it must come within the question's deadline.
    ///
    /// # Errors
    /// [`AskError`], [`AskError::No`] if the answer is cut off or has a longer line; or what `take` says, which ends it.
    pub async fn ask_lines(
        &self,
        question: &Question<'_>,
        longest_bytes: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), AskError>,
    ) -> Result<(), AskError> {
        let request = self.request(&self.url_of(question), question, None)?;
        let client = crate::http::client::<Full<Bytes>>(question.deadline);
        let late = |_elapsed| AskError::Unreachable(format!("{} does not answer in time", self.url));
        let answer = tokio::time::timeout(question.deadline, client.request(request)).await.map_err(late)?;
        let nobody = |error| format!("no {} at {}: {}", self.name, self.url, crate::http::root_cause(&error));
        let answer = answer.map_err(|error| AskError::Unreachable(nobody(error)))?;
        let status = answer.status();
        let mut body = answer.into_body();
        if !status.is_success() {
            let body = tokio::time::timeout(question.deadline, Limited::new(body, MAX_ANSWER_BYTES).collect()).await;
            let body = body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
            return Err(self.refusal(status, &body));
        }
        let mut lines = Lines { begun: Vec::new(), longest_bytes };
        loop {
            let part = tokio::time::timeout(question.deadline, body.frame()).await.map_err(late)?;
            let Some(part) = part else { break };
            let part = part.map_err(|error| AskError::No(format!("the answer is cut off: {error}")))?;
            lines.add(part.data_ref().map_or(&[], |bytes| &**bytes), &mut take)?;
        }
        if lines.begun.is_empty() { Ok(()) } else { take(&lines.begun) }
    }

    fn url_of(&self, question: &Question<'_>) -> String {
        format!("{}{}", self.url.trim_end_matches('/'), question.path)
    }

    fn request(
        &self,
        url: &str,
        question: &Question<'_>,
        body: Option<(&str, Bytes)>,
    ) -> Result<Request<Full<Bytes>>, AskError> {
        let mut request = Request::builder().method(&question.method).uri(url);
        if let Some(token) = self.token()? {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        if let Some(key) = question.key {
            request = request.header("idempotency-key", key);
        }
        if let Some((kind, _)) = body {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let body = body.map_or_else(Full::default, |(_, body)| Full::from(body));
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
            status if status.is_server_error() => {
                AskError::Unreachable(format!("{} cannot answer ({status}): {message}", self.url))
            }
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

/// Lines of an answer that comes in parts.
struct Lines {
    /// The one whose end has not come yet.
    begun: Vec<u8>,
    longest_bytes: usize,
}

impl Lines {
    fn add(&mut self, part: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), AskError>) -> Result<(), AskError> {
        let mut pieces = part.split(|byte| *byte == b'\n');
        // There is always one, and what follows each is a new line.
        self.begun.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            take(&self.begun)?;
            self.begun.clear();
            self.begun.extend_from_slice(piece);
        }
        if self.begun.len() > self.longest_bytes {
            return Err(AskError::No(format!("the answer has a line of over {} bytes", self.longest_bytes)));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_the_answer_is_parted() {
        for parts in [&["a\nbc\n\nd"][..], &["a", "\nb", "c\n", "\n", "d"], &["a\nb", "", "c\n\nd"]] {
            let (mut lines, mut taken) = (Lines { begun: Vec::new(), longest_bytes: 3 }, Vec::new());
            let mut take = |line: &[u8]| {
                taken.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            };
            parts.iter().for_each(|part| lines.add(part.as_bytes(), &mut take).unwrap());
            assert_eq!((taken, lines.begun.as_slice()), (["a", "bc", ""].map(str::to_owned).into(), &b"d"[..]));
        }
        let mut lines = Lines { begun: Vec::new(), longest_bytes: 3 };
        let error = lines.add(b"abcd", &mut |_| Ok(())).unwrap_err();
        assert_eq!(error, AskError::No("the answer has a line of over 3 bytes".to_owned()));
    }
}
