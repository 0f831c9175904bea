//! What several channels read alike from their settings.

use kit::config::{Cursor, Fields};
use secrecy::ExposeSecret;
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

fn parse(text: &str, cursor: &Cursor<'_>) -> Option<Url> {
    // The value may be secret: what is wrong with it is said without showing it.
    match Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        Ok(_) => {
            cursor.mistake("the URL must begin with http:// or https:// and name a host");
            None
        }
        Err(error) => {
            cursor.mistake(format!("not a URL: {error}; write one like https://hooks.example.com/path"));
            None
        }
    }
}

/// Shows where a URL leads, without path, query or credentials, any of which may be secret.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}
