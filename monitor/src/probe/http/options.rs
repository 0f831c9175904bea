//! Settings of kind `http`, checked once at load into what a probe needs at once.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use kit::config::{Cursor, Fields};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::probe::address::{Address, Host};
use crate::probe::dial::IpVersion;
use crate::probe::kinds::{Expectation, Kind, LabelSettings, OwnAddress, Probe, Scope, Target};
use crate::probe::tls_options::{H2, HTTP_1_1, Tls};

use super::ask::HttpProbe;
use super::hop::{Hop, show};
use crate::probe::scheme::{Scheme, Takes};

/// Bytes of body that are read if nothing else is said: whole health answers and pages, no downloads.
const BODY_LIMIT: u64 = 1024 * 1024;
/// The largest `body_limit`: every probe that runs may hold this much.
const MAX_BODY_LIMIT: u64 = 64 * 1024 * 1024;
/// Redirects that are followed if nothing else is said; browsers stop at 20, curl at 50, people's patience at fewer.
const MAX_REDIRECTS: u8 = 10;

/// Asks over HTTP.
pub(crate) struct Http;

impl Kind for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("http", Takes::Whole), Scheme::plain("https", Takes::Whole)] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        use Expectation::{Body, Certificate, Header, Json, Status};
        &[Status, Header, Body, Json, Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let options = decode(&fields);
        fields.end();
        Some(Arc::new(HttpProbe(options?)))
    }

    fn by_label(&self, value: &str, own: OwnAddress<'_>) -> Option<Result<LabelSettings, String>> {
        Some(super::label::settings(value, own))
    }
}

/// Checked settings.
pub(in crate::probe) struct Options {
    pub(in crate::probe) first: Hop,
    pub(in crate::probe) target: Target,
    /// Redirects that may be followed; 0 judges the redirect itself.
    pub(super) redirects: u8,
    pub(super) ip: IpVersion,
    pub(super) body_limit: usize,
    pub(super) tls: Tls,
    pub(in crate::probe) proxy: Option<Address>,
    pub(super) version: Version,
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::probe) enum Version {
    /// What ALPN chooses; HTTP/1.1 without TLS.
    Auto,
    One,
    /// HTTP/2 by ALPN, or by prior knowledge without TLS (RFC 9113 section 3.3).
    Two,
}

/// Decodes everything under `http:`, or under a step of a journey.
pub(in crate::probe) fn decode(fields: &Fields<'_>) -> Option<Options> {
    let url = fields.require("url").and_then(|c| Some((decode_url(&c)?, c)));
    let method = fields.get("method").map_or(Some(Method::GET), |c| decode_method(&c));
    let compression = fields.get("compression").map_or(Some(false), |c| c.bool());
    let headers = decode_headers(fields).zip(compression).map(|(mut headers, compression)| {
        if compression {
            // One that is written among the headers counts.
            headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        }
        headers
    });
    let body = fields.get("body");
    let is_for_its_host = body.as_ref().is_some_and(|cursor| cursor.node().substituted.is_some());
    let body = body.map_or(Some(String::new()), |c| c.text());
    let redirects = fields.get("redirects").map_or(Some(MAX_REDIRECTS), |c| decode_redirects(&c));
    let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
    let body_limit = fields.get("body_limit").map_or(Some(BODY_LIMIT), |c| c.bytes(1..=MAX_BODY_LIMIT));
    let version = fields.get("http").map_or(Some(Version::Auto), |c| {
        c.one_of(&[("auto", Version::Auto), ("1.1", Version::One), ("2", Version::Two)])
    });
    let proxy = match fields.get("proxy") {
        Some(cursor) => decode_proxy(&cursor).map(Some),
        None => Some(None),
    };
    let alpn: &[&[u8]] = match version {
        Some(Version::One) => &[HTTP_1_1],
        Some(Version::Two) => &[H2],
        Some(Version::Auto) | None => &[H2, HTTP_1_1],
    };
    let tls = Tls::decode(fields.get("tls").as_ref(), alpn);
    let (url, cursor) = url?;
    let target = Target { shown: shown_url(&url, &cursor), scope: Scope::of_host(url.host_str().unwrap_or_default()) };
    let first = Hop::new(url, method?, headers?, body?.into())
        .map_err(|why| cursor.mistake(format!("{} cannot be asked: {why}", cursor.node().shown())))
        .ok()?
        .with_body_for_its_host(is_for_its_host);
    if proxy.as_ref().is_some_and(Option::is_some) && version == Some(Version::Two) && first.tls.is_none() {
        fields.cursor().mistake("http: 2 without TLS cannot go through a proxy; leave out \"http\" or \"proxy\"");
        return None;
    }
    Some(Options {
        first,
        target,
        redirects: redirects?,
        ip: ip?,
        body_limit: usize::try_from(body_limit?).ok()?,
        tls: tls?,
        proxy: proxy?,
        version: version?,
    })
}

pub(super) fn decode_url(cursor: &Cursor<'_>) -> Option<Url> {
    let text = cursor.text()?;
    let shown = cursor.node().shown();
    let url = match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        Ok(_) | Err(_) => {
            cursor.mistake(format!("{shown} is not an http URL; write it like https://example.com/health"));
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        cursor.mistake("credentials do not belong in a URL; write basic: { username: …, password_file: … }");
        return None;
    }
    Some(url)
}

/// A URL that holds a variable may hold a secret anywhere behind its host.
pub(super) fn shown_url(url: &Url, cursor: &Cursor<'_>) -> String {
    if cursor.node().substituted.is_some() {
        let mut bare = url.clone();
        bare.set_path("/");
        return format!("{}…", show(&bare));
    }
    // Keys and tokens hide in queries; people need to know that there is one, not what it says.
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}{query}", show(url))
}

fn decode_method(cursor: &Cursor<'_>) -> Option<Method> {
    let method = Method::from_bytes(cursor.text()?.to_ascii_uppercase().as_bytes()).ok();
    let method = method.filter(|method| *method != Method::CONNECT);
    if method.is_none() {
        cursor.mistake(format!("{} is not a method; write GET, HEAD, POST, PUT …", cursor.node().shown()));
    }
    method
}

fn decode_redirects(cursor: &Cursor<'_>) -> Option<u8> {
    match cursor.text()?.as_str() {
        "follow" => Some(MAX_REDIRECTS),
        "none" => Some(0),
        number => {
            let number = number.parse().ok().filter(|number| (1..=20).contains(number));
            if number.is_none() {
                let shown = cursor.node().shown();
                cursor.mistake(format!("expected follow, none or a whole number from 1 to 20, found {shown}"));
            }
            number
        }
    }
}

pub(super) fn decode_proxy(cursor: &Cursor<'_>) -> Option<Address> {
    let url = cursor.text().and_then(|text| Url::parse(&text).ok());
    let plain = |url: &Url| url.scheme() == "http" && url.path() == "/" && url.username().is_empty();
    let address = url
        .filter(plain)
        .and_then(|url| Some(Address { host: url.host().map(Host::from)?, port: url.port_or_known_default()? }));
    if address.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a proxy; write it like http://proxy.example.com:3128"));
    }
    address
}

/// Decodes `headers`, `basic` and `bearer`, and adds who we are.
pub(in crate::probe) fn decode_headers(fields: &Fields<'_>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("monitor/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(kit::http::PROBE_HEADER, HeaderValue::from_static("1"));
    let mut fine = true;
    for (name, cursor) in fields.get("headers").and_then(|c| c.entries()).unwrap_or_default() {
        match decode_header(name, &cursor) {
            Some((name, value)) => drop(headers.insert(name, value)),
            None => fine = false,
        }
    }
    if let Some(authorization) = decode_credentials(fields)? {
        headers.insert(AUTHORIZATION, authorization);
    }
    fine.then_some(headers)
}

fn decode_header(name: &str, cursor: &Cursor<'_>) -> Option<(HeaderName, HeaderValue)> {
    let text = cursor.text()?;
    let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) else {
        cursor.mistake("this cannot be sent as a header; check for spaces in the name and line breaks in the value");
        return None;
    };
    if matches!(name.as_str(), "connection" | "transfer-encoding" | "content-length" | "traceparent") {
        cursor.mistake(format!("the header {name} is set by the probe itself; remove it"));
        return None;
    }
    value.set_sensitive(cursor.node().substituted.is_some());
    Some((name, value))
}

/// The outer `None` is a mistake, the inner one means that no credentials are configured.
fn decode_credentials(fields: &Fields<'_>) -> Option<Option<HeaderValue>> {
    let has_bearer = fields.has("bearer") | fields.has("bearer_file");
    let credentials = match (fields.get("basic"), has_bearer) {
        (None, false) => return Some(None),
        (Some(basic), true) => {
            basic.mistake("both \"basic\" and \"bearer\" are set; keep one");
            return None;
        }
        (None, true) => format!("Bearer {}", fields.secret("bearer", "bearer_file")?.expose_secret()),
        (Some(basic), false) => {
            let inner = basic.fields()?;
            let username = inner.require("username").and_then(|c| c.text());
            let password = inner.secret("password", "password_file");
            inner.end();
            let password = password.unwrap_or_else(|| SecretString::from(String::new()));
            format!("Basic {}", STANDARD.encode(format!("{}:{}", username?, password.expose_secret())))
        }
    };
    let Ok(mut value) = HeaderValue::try_from(credentials) else {
        fields.cursor().mistake("the credentials hold characters that a header cannot carry");
        return None;
    };
    value.set_sensitive(true);
    Some(Some(value))
}
