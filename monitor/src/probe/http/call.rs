//! One request to an API.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value as Json;
use url::Url;
use url::form_urlencoded::{self, byte_serialize};

use super::api::below;
use super::hop::show;

/// What is asked of an API.
#[derive(Clone)]
pub struct Call {
    method: Method,
    place: Place,
    query: Vec<(&'static str, String)>,
    authorization: Option<String>,
    left_out: Option<HeaderName>,
    more: Vec<(HeaderName, HeaderValue)>,
    kind: Option<&'static str>,
    body: Bytes,
}

#[derive(Clone)]
enum Place {
    /// Below the API's URL.
    Path(String),
    /// Where an answer leads.
    Url(Url),
}

impl fmt::Debug for Call {
    /// Without what is sent: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Path(path) => write!(f, "{} {path}", self.method),
            Place::Url(url) => write!(f, "{} {}", self.method, show(url)),
        }
    }
}

impl Call {
    /// A request without a body, at a path below the API's URL.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self::at(method, Place::Path(path.into()))
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A GET of what may be of another host; what was configured for the API's own stays with it.
    pub fn get_url(url: Url) -> Self {
        Self::at(Method::GET, Place::Url(url))
    }

    /// A POST of a form (application/x-www-form-urlencoded) to what may be of another host, as [`Call::get_url`].
    pub fn submit<N: AsRef<str>, V: AsRef<str>>(url: Url, form: impl IntoIterator<Item = (N, V)>) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let kind = Some("application/x-www-form-urlencoded");
        Self { kind, body: body.into(), ..Self::at(Method::POST, Place::Url(url)) }
    }

    fn at(method: Method, place: Place) -> Self {
        let (query, more) = (Vec::new(), Vec::new());
        Self { method, place, query, authorization: None, left_out: None, more, kind: None, body: Bytes::new() }
    }

    /// A POST with a JSON body.
    pub fn post(path: impl Into<String>, body: &Json) -> Self {
        let body = Bytes::from(body.to_string());
        Self { kind: Some("application/json"), body, ..Self::new(Method::POST, path) }
    }

    /// Asks another URL the same, as a redirect that keeps the method wants it.
    #[must_use]
    pub fn to(self, url: Url) -> Self {
        Self { place: Place::Url(url), ..self }
    }

    /// Shows a token (RFC 6750 section 2.1).
    #[must_use]
    pub fn bearer(self, token: impl Into<String>) -> Self {
        Self { authorization: Some(format!("Bearer {}", token.into())), ..self }
    }

    /// Shows a client's id and secret (RFC 6749 section 2.3.1: each is encoded as in a form first).
    #[must_use]
    pub fn client(self, id: &str, secret: &str) -> Self {
        let form = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let shown = STANDARD.encode(format!("{}:{}", form(id), form(secret)));
        Self { authorization: Some(format!("Basic {shown}")), ..self }
    }

    /// Leaves out a header that goes with every request.
    #[must_use]
    pub fn without(self, name: HeaderName) -> Self {
        Self { left_out: Some(name), ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.push((name, value));
        self
    }

    /// Adds to the query.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn url(&self, base: &Url) -> Url {
        let query: Vec<(&str, &str)> = self.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match &self.place {
            Place::Path(path) => {
                let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
                below(base.clone(), &parts, &query)
            }
            // As it is: a slash at its end belongs to it.
            Place::Url(url) => {
                let mut url = url.clone();
                if !query.is_empty() {
                    url.query_pairs_mut().extend_pairs(query);
                }
                url
            }
        }
    }

    /// Returns method, headers and body; `headers` are those of every request.
    ///
    /// # Errors
    /// What cannot be sent; it shows no value.
    pub(super) fn parts(&self, mut headers: HeaderMap) -> Result<(Method, HeaderMap, Bytes), &'static str> {
        if let Some(name) = &self.left_out {
            headers.remove(name);
        }
        headers.extend(self.more.iter().cloned());
        if let Some(authorization) = &self.authorization {
            let value = HeaderValue::from_str(authorization);
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
