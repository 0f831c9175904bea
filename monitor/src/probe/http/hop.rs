//! One URL of a request's way: where to connect, what to send, and where a redirect leads next.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};
use http_body_util::Full;
use kit::http::Path;
use rustls::pki_types::ServerName;
use url::Url;

use crate::probe::address::{Address, Host};
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Asked;

/// A URL with everything that can be prepared before it is asked.
#[derive(Debug, Clone)]
pub(in crate::probe) struct Hop {
    pub(in crate::probe) url: Url,
    pub(in crate::probe) address: Address,
    /// The name of the TLS handshake; `None` for http.
    pub(in crate::probe) tls: Option<ServerName<'static>>,
    pub(in crate::probe) method: Method,
    /// What is sent after the head; a redirect to GET drops it.
    pub(in crate::probe) body: Bytes,
    /// True if the body holds what is for its host alone.
    is_for_its_host: bool,
    /// True on a host other than the configured one: it gets neither credentials nor our certificate.
    pub(in crate::probe) strange: bool,
    /// Everything but `host`, `connection` and what changes with every probe.
    headers: HeaderMap,
    authority: HeaderValue,
    /// True if `authority` is a configured `host` header rather than the URL's own host.
    is_virtual: bool,
    path: Uri,
    absolute: Uri,
    /// What a plain proxy is asked for: the URL's own host, whatever name its server is called by.
    proxied: Uri,
}

impl Hop {
    /// Prepares a URL.
    ///
    /// # Errors
    /// What is wrong with it; the URL itself is not repeated, it may hold a secret.
    pub(in crate::probe) fn new(
        url: Url,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Self, &'static str> {
        let host = url.host().map(Host::from).ok_or("it has no host")?;
        let port = url.port_or_known_default().ok_or("it has no port")?;
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(host.server_name().ok_or("no certificate can carry its host name")?),
            _ => return Err("its scheme is neither http nor https"),
        };
        let written = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let named = HeaderValue::from_str(&written).map_err(|_| "its host cannot be sent")?;
        // A configured `host` header is the name of a virtual host: it replaces ours, and HTTP/2's :authority.
        let configured = headers.remove(HOST);
        let is_virtual = configured.is_some();
        let authority = configured.unwrap_or(named);
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let shown = authority.to_str().map_err(|_| "its host cannot be sent")?;
        // Built from parts, so that a name cannot bring a path of its own.
        let absolute = |authority: &str| {
            let built = Uri::builder().scheme(url.scheme()).authority(authority).path_and_query(path.as_str()).build();
            built.map_err(|_| "it cannot be sent as it is")
        };
        let (absolute, proxied) = (absolute(shown)?, absolute(&written)?);
        let path = path.parse().map_err(|_| "its path cannot be sent as it is")?;
        let address = Address { host, port };
        Ok(Self {
            url,
            address,
            tls,
            method,
            body,
            is_for_its_host: false,
            strange: false,
            // A copy has no room to spare: of ten thousand checks that is more than their headers.
            headers: headers.clone(),
            authority,
            is_virtual,
            path,
            absolute,
            proxied,
        })
    }

    /// Builds the head of a request; `proxied` is the form that plain proxies need (RFC 9112 section 3.2.2).
    pub(in crate::probe) fn request(&self, two: bool, proxied: bool) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        let uri = match (proxied, two) {
            (true, _) => &self.proxied,
            (false, true) => &self.absolute,
            (false, false) => &self.path,
        };
        *request.uri_mut() = uri.clone();
        let mut headers = self.headers.clone();
        if two {
            *request.version_mut() = http::Version::HTTP_2;
        } else {
            headers.insert(HOST, self.authority.clone());
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        *request.headers_mut() = headers;
        request
    }

    /// Returns what is asked of whom, as it may be told: the URL's own host, whatever name its server is called by.
    pub(in crate::probe) fn asks(&self, path: Path) -> Asked {
        Asked { method: self.method.clone(), uri: self.proxied.clone(), path }
    }

    /// Returns the same request with another URL, other headers and another body.
    ///
    /// # Errors
    /// As [`Hop::new`].
    pub(in crate::probe) fn rewritten(&self, url: Url, headers: HeaderMap, body: Bytes) -> Result<Self, &'static str> {
        Self::new(url, self.method.clone(), headers, body)
    }

    /// Says whether the body holds what no other host may have: a secret, or what was written in from an answer.
    pub(in crate::probe) fn with_body_for_its_host(self, is_for_its_host: bool) -> Self {
        Self { is_for_its_host, ..self }
    }

    /// Says who asks, instead of whoever did until now.
    pub(in crate::probe) fn sign(&mut self, authorization: HeaderValue) {
        self.headers.insert(AUTHORIZATION, authorization);
    }

    /// Returns who asks, if it is said.
    pub(in crate::probe) fn signature(&self) -> Option<&HeaderValue> {
        self.headers.get(AUTHORIZATION)
    }

    /// Returns the headers as they were configured, a `host` among them.
    pub(in crate::probe) fn headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if self.is_virtual {
            headers.insert(HOST, self.authority.clone());
        }
        headers
    }

    /// Returns where the answer redirects to, or `None` if it does not.
    ///
    /// # Errors
    /// A fail when the way on is refused: https to http, or no usable URL.
    pub(super) fn next<B>(&self, response: &Response<B>) -> Result<Option<Self>, Outcome> {
        let Some(url) = self.location(response)? else { return Ok(None) };
        if self.url.scheme() == "https" && url.scheme() == "http" {
            let text = format!("redirected from https to {} without encryption", show(&url));
            return Err(Outcome::fail(ReasonCode::Redirects, text));
        }
        // RFC 9110 section 15.4: 303 always becomes GET; so does POST on 301 and 302, as every browser does it.
        let status = response.status().as_u16();
        let to_get = matches!(status, 303) || (matches!(status, 301 | 302) && self.method == Method::POST);
        let to_get = to_get && self.method != Method::HEAD;
        let method = if to_get { Method::GET } else { self.method.clone() };
        let same_host = same_host(&self.url, &url);
        let mut headers = if same_host { self.headers() } else { self.headers.clone() };
        if !same_host {
            drop_credentials(&mut headers);
        }
        if to_get {
            headers.remove(CONTENT_TYPE);
        }
        let shown = show(&url);
        if !same_host && !to_get && self.is_for_its_host && !self.body.is_empty() {
            let text = format!("redirected to {}, another host, which must not have the body", show(&url));
            return Err(Outcome::fail(ReasonCode::Redirects, text));
        }
        let body = if to_get { Bytes::new() } else { self.body.clone() };
        let next = Self::new(url, method, headers, body).map_err(|why| {
            Outcome::fail(ReasonCode::Redirects, format!("redirected to {shown}, which cannot be asked: {why}"))
        })?;
        Ok(Some(Self { strange: self.strange || !same_host, is_for_its_host: self.is_for_its_host, ..next }))
    }

    fn location<B>(&self, response: &Response<B>) -> Result<Option<Url>, Outcome> {
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
        let url = location.to_str().ok().and_then(|text| self.url.join(text).ok());
        let wrong = || Outcome::fail(ReasonCode::Redirects, format!("redirected to {location:?}, which is not a URL"));
        url.map(Some).ok_or_else(wrong)
    }
}

/// The same host and port, or the same host's step from http to https on the usual ports; never one from https to http.
pub(in crate::probe) fn same_host(from: &Url, to: &Url) -> bool {
    if from.scheme() == "https" && to.scheme() == "http" {
        return false;
    }
    let upgrade = from.scheme() == "http" && to.scheme() == "https" && from.port().is_none() && to.port().is_none();
    from.host() == to.host() && (from.port_or_known_default() == to.port_or_known_default() || upgrade)
}

/// Credentials, cookies and every value that came from a variable stay with the host they were written for.
pub(in crate::probe) fn drop_credentials(headers: &mut HeaderMap) {
    let mut gone: Vec<HeaderName> = vec![AUTHORIZATION, COOKIE];
    gone.extend(headers.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name.clone()));
    for name in gone {
        headers.remove(name);
    }
}

/// A URL as a message may show it: without user, query and fragment.
pub(in crate::probe) fn show(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_same_only_with_its_port_and_its_secrecy() {
        for (from, to, expected) in [
            ("http://a.example/", "http://a.example:80/b", true),
            ("http://a.example/", "https://a.example/", true),
            ("http://a.example/", "https://a.example:8443/", false),
            ("http://a.example:81/", "http://a.example:82/", false),
            ("https://a.example/", "http://a.example/", false),
            ("https://a.example:8443/", "http://a.example:8443/", false),
            ("http://a.example/", "http://b.a.example/", false),
        ] {
            assert_eq!(same_host(&from.parse().unwrap(), &to.parse().unwrap()), expected, "{from} {to}");
        }
    }
}
