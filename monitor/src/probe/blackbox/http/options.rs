//! The options of prober `http`, checked once at load.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, InvalidHeaderValue, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use kit::config::{Cursor, Environment, Fields};
use secrecy::ExposeSecret;

use super::expected::Expected;
use super::oauth2::{self, Tokens};
use super::proxies::{self, Proxies};
use crate::probe::blackbox::AGENT;
use crate::probe::blackbox::file::{body_file, flag, preference, secret, size, unsupported};
use crate::probe::blackbox::shown::is_signing;
use crate::probe::blackbox::tls::Secrecy;
use crate::probe::blackbox::visit::Preference;
use crate::probe::tls_options::{H2, HTTP_1_1};

/// What is asked and expected.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) method: Method,
    /// A `host` is the name of a virtual host.
    pub(super) headers: HeaderMap,
    /// For requests that neither their headers nor their URL sign.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) body: Bytes,
    pub(super) preference: Preference,
    pub(super) secrecy: Secrecy,
    pub(super) proxies: Proxies,
    pub(super) tokens: Option<Tokens>,
    pub(super) follows: bool,
    pub(super) skips_resolving: bool,
    pub(super) compression: Option<Compression>,
    /// In bytes; none is written for as much as there is.
    pub(super) body_limit: Option<u64>,
    pub(super) expected: Expected,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Deflate,
    Identity,
}

pub(super) fn decode(fields: &Fields<'_>, environment: &Environment) -> Option<Options> {
    let is_supported = unsupported(
        fields,
        &[
            ("enable_http3", "write enable_http2: true, or leave both out"),
            ("use_proxy_dns", "write skip_resolve_phase_with_proxy: true"),
        ],
    );
    let method = fields.get("method").map_or(Some(Method::GET), |c| decode_method(&c));
    let compression = match fields.get("compression") {
        Some(cursor) => decode_compression(&cursor).map(Some),
        None => Some(None),
    };
    let headers = decode_headers(fields, compression.flatten());
    let authorization = credentials(fields);
    let body = decode_body(fields);
    let preference = preference(fields);
    let has_two = flag(fields, "enable_http2", true);
    let alpn: &[&[u8]] = if has_two == Some(true) { &[H2, HTTP_1_1] } else { &[HTTP_1_1] };
    let secrecy = Secrecy::decode(fields.get("tls_config"), alpn);
    let proxies = proxies::decode(fields, environment, secrecy.as_ref());
    let tokens = match fields.get("oauth2") {
        Some(cursor) => oauth2::decode(&cursor, environment).map(Some),
        None => Some(None),
    };
    let follows = flag(fields, "follow_redirects", true);
    let stays = flag(fields, "no_follow_redirects", false);
    let skips_resolving = flag(fields, "skip_resolve_phase_with_proxy", false);
    let body_limit = match fields.get("body_size_limit") {
        Some(cursor) => size(&cursor).map(|bytes| Some(bytes).filter(|bytes| *bytes > 0)),
        None => Some(None),
    };
    let expected = Expected::decode(fields);
    (is_supported && has_two.is_some()).then_some(())?;
    Some(Options {
        method: method?,
        headers: headers?,
        authorization: authorization?,
        body: body?,
        preference: preference?,
        secrecy: secrecy?,
        proxies: proxies?,
        tokens: tokens?,
        follows: follows? && !stays?,
        skips_resolving: skips_resolving?,
        compression: compression?,
        body_limit: body_limit?,
        expected: expected?,
    })
}

fn decode_method(cursor: &Cursor<'_>) -> Option<Method> {
    let method = Method::from_bytes(cursor.text()?.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    if method.is_none() {
        cursor.mistake(format!("{} is not a method; write GET, HEAD, POST, PUT …", cursor.node().shown()));
    }
    method
}

fn decode_compression(cursor: &Cursor<'_>) -> Option<Compression> {
    if cursor.node().scalar_text().as_deref() == Some("br") {
        cursor.mistake("\"br\" is not supported; write gzip, deflate or identity");
        return None;
    }
    let known = [("gzip", Compression::Gzip), ("deflate", Compression::Deflate), ("identity", Compression::Identity)];
    cursor.one_of(&known)
}

fn decode_body(fields: &Fields<'_>) -> Option<Bytes> {
    match (fields.get("body"), fields.get("body_file")) {
        (Some(_), Some(file)) => {
            file.mistake("both \"body\" and \"body_file\" are set; keep one");
            None
        }
        (Some(text), None) => text.text().map(Bytes::from),
        (None, Some(file)) => body_file(&file).map(Bytes::from),
        (None, None) => Some(Bytes::new()),
    }
}

pub(super) fn header_name(cursor: &Cursor<'_>, text: &str) -> Option<HeaderName> {
    HeaderName::try_from(text).map_err(|_| cursor.mistake(format!("{text:?} is not the name of a header"))).ok()
}

/// Decodes `headers`, `http_headers`, and who we are.
fn decode_headers(fields: &Fields<'_>, compression: Option<Compression>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(packed) = compression {
        let name = match packed {
            Compression::Gzip => "gzip",
            Compression::Deflate => "deflate",
            Compression::Identity => "identity",
        };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(name));
    }
    let mut is_fine = true;
    for (name, cursor) in fields.get("headers").and_then(|c| c.entries()).unwrap_or_default() {
        match cursor.text().and_then(|text| header(&cursor, name, &text, is_signing(name))) {
            Some((name, _)) if is_of_the_connection(&name) => {}
            Some((name, value)) => drop(headers.insert(name, value)),
            None => is_fine = false,
        }
    }
    for (name, cursor) in fields.get("http_headers").and_then(|c| c.entries()).unwrap_or_default() {
        is_fine &= listed_header(&mut headers, name, &cursor).is_some();
    }
    is_fine.then_some(headers)
}

fn listed_header(headers: &mut HeaderMap, name: &str, cursor: &Cursor<'_>) -> Option<()> {
    let fields = cursor.fields()?;
    let mut values: Vec<(String, bool)> = Vec::new();
    values.extend(fields.get("values").map(|c| c.texts()).unwrap_or_default().into_iter().map(|value| (value, false)));
    for secret in fields.get("secrets").map(|c| c.texts()).unwrap_or_default() {
        kit::secrets::know([secret.as_str()]);
        values.push((secret, true));
    }
    for file in fields.get("files").map(|c| c.items()).unwrap_or_default() {
        let path = file.text()?;
        let read = kit::config::read_secret_file(std::path::Path::new(&path));
        let read = read.map_err(|error| file.mistake(format!("cannot read the secret file {path}: {error}"))).ok()?;
        kit::secrets::know([read.as_str()]);
        values.push((read, true));
    }
    fields.end();
    for (value, is_secret) in values {
        let (name, value) = header(cursor, name, &value, is_secret)?;
        if !is_of_the_connection(&name) {
            headers.append(name, value);
        }
    }
    Some(())
}

/// What a client of Go's sets itself, whatever is configured.
fn is_of_the_connection(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | TRANSFER_ENCODING | CONTENT_LENGTH)
}

/// Makes a header of texts; its value shows nowhere if it is secret.
pub(super) fn header(
    cursor: &Cursor<'_>,
    name: &str,
    text: &str,
    is_secret: bool,
) -> Option<(HeaderName, HeaderValue)> {
    let name = header_name(cursor, name)?;
    let Ok(mut value) = HeaderValue::from_str(text) else {
        cursor.mistake("this cannot be sent as a header; check for line breaks");
        return None;
    };
    value.set_sensitive(is_secret);
    Some((name, value))
}

/// The outer none is a mistake, the inner one means that no credentials are configured.
pub(in crate::probe::blackbox) fn credentials(fields: &Fields<'_>) -> Option<Option<HeaderValue>> {
    let basic = fields.get("basic_auth");
    let authorization = fields.get("authorization");
    let bearer = secret(fields, "bearer_token", "bearer_token_file")?;
    // Decoded by who can fetch tokens.
    let oauth2 = fields.get("oauth2");
    let written = [basic.is_some(), authorization.is_some(), bearer.is_some(), oauth2.is_some()];
    if written.iter().filter(|is| **is).count() > 1 {
        fields.cursor().mistake("more than one of basic_auth, authorization, bearer_token and oauth2 is set; keep one");
        return None;
    }
    let made = if let Some(cursor) = basic {
        let inner = cursor.fields()?;
        let name = username(&inner)?;
        let password = secret(&inner, "password", "password_file")?;
        inner.end();
        let password = password.map(|password| password.expose_secret().to_owned()).unwrap_or_default();
        self::basic(&name, &password)
    } else if let Some(cursor) = authorization {
        let inner = cursor.fields()?;
        let kind = inner.get("type").map_or(Some("Bearer".to_owned()), |c| c.text())?;
        let token = secret(&inner, "credentials", "credentials_file")?;
        inner.end();
        if kind.eq_ignore_ascii_case("basic") {
            cursor.mistake("write basic_auth: { username: …, password_file: … } instead of this type");
            return None;
        }
        let token = token.map(|token| token.expose_secret().to_owned()).unwrap_or_default();
        HeaderValue::from_str(&format!("{kind} {token}"))
    } else if let Some(token) = bearer {
        HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
    } else {
        return Some(None);
    };
    let Ok(mut value) = made else {
        fields.cursor().mistake("the credentials hold characters that a header cannot carry");
        return None;
    };
    value.set_sensitive(true);
    Some(Some(value))
}

fn username(fields: &Fields<'_>) -> Option<String> {
    let Some(file) = fields.get("username_file") else {
        return fields.get("username").map_or(Some(String::new()), |c| c.text());
    };
    let path = file.text()?;
    let read = kit::config::read_secret_file(std::path::Path::new(&path));
    read.map_err(|error| file.mistake(format!("cannot read {path}: {error}"))).ok()
}

/// RFC 7617 section 2.
pub(super) fn basic(name: &str, password: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))?;
    value.set_sensitive(true);
    Ok(value)
}
