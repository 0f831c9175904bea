//! One request to an API.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value as Json;
use url::Url;

use super::api::below;

/// What is asked of an API, at a path below its URL.
#[derive(Clone)]
pub struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    bearer: Option<String>,
    kind: Option<&'static str>,
    body: Bytes,
}

impl fmt::Debug for Call {
    /// Without what is sent: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), bearer: None, kind: None, body: Bytes::new() }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST with a JSON body.
    pub fn post(path: impl Into<String>, body: &Json) -> Self {
        let body = Bytes::from(body.to_string());
        Self { kind: Some("application/json"), body, ..Self::new(Method::POST, path) }
    }

    /// Shows a token (RFC 6750 section 2.1).
    #[must_use]
    pub fn bearer(self, token: impl Into<String>) -> Self {
        Self { bearer: Some(token.into()), ..self }
    }

    /// Adds to the query.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn url(&self, base: Url) -> Url {
        let parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        let query: Vec<(&str, &str)> = self.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        below(base, &parts, &query)
    }

    /// Returns method, headers and body; `headers` are those of every request.
    ///
    /// # Errors
    /// What cannot be sent; it shows no value.
    pub(super) fn parts(&self, mut headers: HeaderMap) -> Result<(Method, HeaderMap, Bytes), &'static str> {
        if let Some(token) = &self.bearer {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| "the token holds characters that a header cannot carry")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(kind) = self.kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Ok((self.method.clone(), headers, self.body.clone()))
    }
}
