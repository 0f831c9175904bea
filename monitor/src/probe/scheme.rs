//! A URL as a kind's settings, for people at a command line: `redis://cache` is `redis: { address: "cache:6379" }`.

use serde_json::{Map, Value, json};
use url::Url;

/// A URL scheme that a kind answers to.
#[derive(Debug, Clone, Copy)]
pub struct Scheme {
    /// What stands before `://`.
    pub name: &'static str,
    /// What of the URL the kind wants.
    pub takes: Takes,
    /// True if it means TLS, where the kind wants that written as `tls: {}`.
    pub tls: bool,
}

/// What of a URL becomes a setting.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// All of it, as `url`.
    Whole,
    /// `host:port`, as `address`; the port is this one if none is written, and must be written if there is none.
    Address(Option<u16>),
    /// The host alone, under this key.
    Host(&'static str),
}

impl Scheme {
    /// A scheme without TLS.
    pub const fn plain(name: &'static str, takes: Takes) -> Self {
        Self { name, takes, tls: false }
    }

    /// A scheme that means TLS.
    pub const fn secure(name: &'static str, takes: Takes) -> Self {
        Self { name, takes, tls: true }
    }

    /// Returns the settings that a URL of this scheme comes to.
    ///
    /// # Errors
    /// One sentence that says how to write it.
    pub(super) fn settings(&self, text: &str) -> Result<Map<String, Value>, String> {
        let mut settings = Map::new();
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("credentials do not belong in a URL, where everybody can read them; write username and \
                        password_file into the check"
                .to_owned());
        }
        let behind = rest.strip_prefix(authority).unwrap_or_default();
        if !matches!(self.takes, Takes::Whole) && !matches!(behind, "" | "/") {
            return Err(format!(
                "{text}: what follows the host is not taken from a URL; write {}://{authority} and set the rest in the check",
                self.name
            ));
        }
        match self.takes {
            Takes::Whole => _ = settings.insert("url".to_owned(), text.into()),
            Takes::Host(key) => _ = settings.insert(key.to_owned(), authority.into()),
            Takes::Address(default) => {
                // Any name will do for a scheme that knows no port of its own.
                let parsed = Url::parse(&format!("any://{authority}")).ok();
                let parsed = parsed.as_ref().filter(|url| url.has_host());
                let (host, port) =
                    parsed.map(|url| (url.host_str().unwrap_or_default(), url.port())).unwrap_or_default();
                let port = port.or(default).filter(|_| !host.is_empty());
                let Some(port) = port else {
                    return Err(format!("{text} has no host and port; write it like {}://example.com:1234", self.name));
                };
                settings.insert("address".to_owned(), format!("{host}:{port}").into());
            }
        }
        if self.tls {
            settings.insert("tls".to_owned(), json!({}));
        }
        Ok(settings)
    }
}
