//! A service behind the gateway: its name, where it is, and how we identify ourselves there.

use axum::http::request::Builder;
use axum::http::uri::InvalidUri;
use axum::http::{HeaderValue, Request, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

/// A service behind the gateway. Credentials in its URL become an `Authorization` header and are never shown.
#[derive(Debug, Clone)]
pub struct Upstream {
    name: &'static str,
    /// Without credentials and without a slash at the end.
    url: String,
    authorization: Option<HeaderValue>,
}

impl Upstream {
    /// Takes the base URL of a server, which may carry credentials and a path.
    pub fn new(name: &'static str, mut url: Url) -> Self {
        let authorization = basic(&url);
        // Both fail only for URLs without a host, which http and https do not allow.
        let _has_host = (url.set_username(""), url.set_password(None));
        Self { name, url: url.as_str().trim_end_matches('/').to_owned(), authorization }
    }

    /// The name in answers and logs.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The base URL as it may be shown.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The `Authorization` to send, if the URL had credentials.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Returns the URI of `path_and_query`, which starts with a slash and is kept byte for byte.
    pub(crate) fn uri(&self, path_and_query: &str) -> Result<Uri, InvalidUri> {
        Uri::try_from(format!("{}{path_and_query}", self.url))
    }

    /// Begins a question of our own, with the credentials of the URL.
    pub(crate) fn get(&self, path_and_query: &str) -> Result<Builder, InvalidUri> {
        let mut request = Request::get(self.uri(path_and_query)?);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(request)
    }
}

/// Basic authentication (RFC 7617 section 2) with the credentials in `url`.
fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair = percent_decode_str(url.username()).collect::<Vec<u8>>();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(url: &str) -> Upstream {
        Upstream::new("x", Url::parse(url).unwrap())
    }

    #[test]
    fn credentials_move_from_the_url_into_a_header() {
        // RFC 7617 section 2: "Aladdin:open sesame".
        let secured = upstream("http://Aladdin:open%20sesame@host:1/");
        assert_eq!(secured.authorization().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(secured.url(), "http://host:1");
        assert!(upstream("http://host:1").authorization().is_none());
    }

    #[test]
    fn paths_and_queries_are_kept_byte_for_byte_below_the_base() {
        for (base, path, expected) in [
            ("http://host:1", "/a%20b?x=%2F&y", "http://host:1/a%20b?x=%2F&y"),
            ("http://host:1/", "/a?", "http://host:1/a?"),
            ("http://host/base/", "/a//b", "http://host/base/a//b"),
        ] {
            assert_eq!(upstream(base).uri(path).unwrap().to_string(), expected);
        }
    }
}
