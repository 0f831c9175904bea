//! The one error body: a public message for the client, a logged cause for us.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::chain::Chain;

/// What an [`ApiError`] says, as an extension of its answer: for whoever shows it in another form than JSON.
#[derive(Debug, Clone)]
pub struct ErrorMessage(pub String);

/// An error answer. Its JSON has `error`, `detail` and `message` with the same text, since existing clients read one or
/// another of them, and `code` and `path` where they help.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    code: Option<&'static str>,
    path: Option<String>,
    extra: serde_json::Map<String, serde_json::Value>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// An error with a message that the client may see.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            code: None,
            path: None,
            extra: serde_json::Map::new(),
            retry_after: None,
        }
    }

    /// 400 with what to send instead.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401; the message must not tell a wrong key from a missing one.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403 with what would be needed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message).code("forbidden")
    }

    /// 404 that names what was not found.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 500: logs the cause, which never reaches the client.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %Chain(cause), "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// Returns its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds a word that programs can compare.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds the path that was asked for.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Says when it is worth another try, as `Retry-After` in whole seconds (RFC 9110 section 10.2.3).
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds a further field.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }
}

/// Returns whole seconds: whoever waits that long has waited long enough.
pub fn whole_secs(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = self.extra;
        for key in ["error", "detail", "message"] {
            body.insert(key.to_owned(), self.message.clone().into());
        }
        if let Some(code) = self.code {
            body.insert("code".to_owned(), code.into());
        }
        if let Some(path) = self.path {
            body.insert("path".to_owned(), path.into());
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // Every 401 says how (RFC 9110 section 15.5.2); keys have no scheme of their own.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, whole_secs(wait).into());
        }
        response.extensions_mut().insert(ErrorMessage(self.message));
        response
    }
}
