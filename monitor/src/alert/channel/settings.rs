//! What several channels read alike from their settings.

use http::{HeaderName, HeaderValue, header};
use kit::config::{Cursor, Fields};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Reads a URL that may be secret as a whole (chat services put the token into the path): `key: URL`, `key: ${VARIABLE}`,
/// or `file_key: PATH`.
pub(super) fn url(fields: &Fields<'_>, key: &'static str, file_key: &'static str) -> Option<Url> {
    if let Some(file) = fields.get(file_key) {
        let text = fields.secret(key, file_key)?;
        return parse(text.expose_secret(), &file);
    }
    let cursor = fields.require(key)?;
    parse(&cursor.text()?, &cursor)
}

/// Reads the address of an API, which is not secret; `default` is the vendor's own.
pub(super) fn base_url(fields: &Fields<'_>, default: &str) -> Option<Url> {
    match fields.get("base_url") {
        Some(cursor) => parse(&cursor.text()?, &cursor),
        None => Url::parse(default).ok(),
    }
}

/// Appends a path to the address of an API, whether that ends with a slash or not. `path` must be fit for a URL.
pub(super) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Reads a secret that must be there.
pub(super) fn secret(fields: &Fields<'_>, key: &'static str, file_key: &'static str) -> Option<SecretString> {
    if !fields.has(key) && !fields.has(file_key) {
        fields.cursor().mistake(format!("{file_key:?} is missing"));
        return None;
    }
    fields.secret(key, file_key)
}

/// Makes `Authorization: SCHEME SECRET`.
pub(super) fn authorization(fields: &Fields<'_>, scheme: &str, secret: &SecretString) -> Option<Header> {
    let Ok(mut value) = HeaderValue::try_from(format!("{scheme} {}", secret.expose_secret())) else {
        fields.cursor().mistake("the secret has characters that a header cannot carry");
        return None;
    };
    value.set_sensitive(true);
    Some((header::AUTHORIZATION, value))
}

/// A header of a request.
pub(super) type Header = (HeaderName, HeaderValue);

/// Takes an address that may be secret.
pub(in crate::alert) fn parse(text: &str, cursor: &Cursor<'_>) -> Option<Url> {
    // The value may be secret: what is wrong with it is said without showing it.
    match Url::parse(text.trim()) {
        Ok(url) => take_web_url(url, cursor),
        Err(error) => {
            cursor.mistake(format!("not a URL: {error}; write one like https://hooks.example.com/path"));
            None
        }
    }
}

/// Takes an address that a request can be sent to, or a person can open.
pub(in crate::alert) fn take_web_url(url: Url, cursor: &Cursor<'_>) -> Option<Url> {
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Some(url);
    }
    cursor.mistake("the URL must begin with http:// or https:// and name a host");
    None
}

/// Shows where a URL leads, without path, query or credentials, any of which may be secret.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}
