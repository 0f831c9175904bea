//! HTTP messages as tests see them: plain text and bytes, so that a test needs no HTTP crate.

use bytes::Bytes;

/// A request that a target has received whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method as sent, such as `POST`.
    pub method: String,
    /// Path and query as sent, such as `/hook?team=ops`.
    pub path: String,
    /// Protocol version, such as `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Names and values in the order they came; names are in lower case.
    pub headers: Vec<(String, String)>,
    /// Body bytes, without transfer encoding.
    pub body: Bytes,
}

impl Request {
    /// Returns the first value of the header `name`, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let wanted = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.headers.iter().find(wanted).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text, with U+FFFD for what is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a healthy HTTP target answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status from 200 to 999.
    pub status: u16,
    /// Names and values in the order they are sent.
    pub headers: Vec<(String, String)>,
    /// Body bytes; the client sees their `content-length`.
    pub body: Bytes,
}

impl Response {
    /// Makes a response without headers of its own.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}
