//! One batch as one request, and the answer to it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;

use crate::config::show_duration;
use crate::http::{Client, Speaks, client_that, retry_after, root_cause};

/// How much of an answer is read, in bytes, but for its last frame.
const ANSWER_BYTES: usize = 16 * 1024;
/// How much of its words is shown, in characters.
const SHOWN_CHARS: usize = 200;
/// Longest wait that is taken from an answer.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Posts to one address.
pub(crate) struct Post {
    client: Client<Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Post {
    pub(crate) fn new(speaks: Speaks, uri: Uri, headers: HeaderMap, timeout: Duration) -> Self {
        Self { client: client_that(speaks, timeout), uri, headers, timeout }
    }

    /// Sends `body`; never takes longer than the timeout.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn send(&self, body: Bytes) -> Result<Reply, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(reply) => reply,
            Err(_elapsed) => Err(format!("no answer within {}", show_duration(self.timeout))),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let response = self.client.request(request).await.map_err(|error| root_cause(&error))?;
        let (head, mut answer) = response.into_parts();
        let (mut body, mut trailers) = (BytesMut::new(), HeaderMap::new());
        // What is longer is an answer all the same.
        while body.len() < ANSWER_BYTES
            && let Some(frame) = answer.frame().await
        {
            match frame.map_err(|error| root_cause(&error))?.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(other) => trailers = other.into_trailers().unwrap_or_default(),
            }
        }
        Ok(Reply { status: head.status, headers: head.headers, trailers, body: body.freeze() })
    }
}

impl Reply {
    /// Returns how long it asks to be left alone.
    pub(crate) fn wait(&self) -> Option<Duration> {
        retry_after(&self.headers, Timestamp::now(), LONGEST_WAIT)
    }
}

/// Returns the words of an answer as they may stand in a log.
pub(crate) fn shown(words: &str) -> String {
    let words = crate::secrets::redact_line(words);
    words.chars().take(SHOWN_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
