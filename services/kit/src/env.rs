//! Settings from environment variables: texts, numbers, durations, URLs and secrets, with every mistake collected.
//!
//! For services that have a handful of settings and no file; daemons with a file use `config`.

use std::cell::RefCell;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU64};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::{Environment, parse_bytes, parse_duration};
use crate::http::Network;

/// Reads variables and collects what is wrong with them. An empty variable counts as not set (compose writes `${X:-}`).
///
/// A reader that finds a mistake returns the default, or an empty value; [`Self::finish`] sees to it that it is not used.
#[derive(Debug)]
pub struct Variables<'a> {
    environment: &'a Environment,
    mistakes: RefCell<Vec<String>>,
}

impl<'a> Variables<'a> {
    /// Reads from `environment`.
    pub fn new(environment: &'a Environment) -> Self {
        Self { environment, mistakes: RefCell::default() }
    }

    /// Returns the trimmed text of `name`, if it is set.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// Returns `name` as a `T`; `wanted` says what to write, such as "a port from 1 to 65535". Not for secrets: a
    /// mistake shows the value.
    pub fn parsed<T: FromStr>(&self, name: &str, default: T, wanted: &str) -> T {
        let Some(text) = self.text(name) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.mistake(name, format_args!("{text:?} is not {wanted}"));
            default
        })
    }

    /// Returns `name` as a length of time above zero: seconds, or a number with a unit (`5`, `0.5`, `500ms`, `2m`).
    pub fn duration(&self, name: &str, default: Duration) -> Duration {
        let Some(text) = self.text(name) else { return default };
        let length = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => parse_duration(text).ok(),
        };
        length.filter(|length| !length.is_zero()).unwrap_or_else(|| {
            let wanted = "a duration above zero; write seconds or a number with a unit, like 5, 500ms or 2m";
            self.mistake(name, format_args!("{text:?} is not {wanted}"));
            default
        })
    }

    /// Returns `name` as a number of milliseconds above zero.
    pub fn millis(&self, name: &str, default_ms: u64) -> Duration {
        let default = NonZeroU64::new(default_ms).unwrap_or(NonZeroU64::MIN);
        Duration::from_millis(self.parsed(name, default, "a number of milliseconds above zero").get())
    }

    /// Returns `name` as a number of bytes: `512`, `64KiB`, `10MB`.
    pub fn bytes(&self, name: &str, default: u64) -> u64 {
        let Some(text) = self.text(name) else { return default };
        parse_bytes(text).unwrap_or_else(|wrong| {
            self.mistake(name, wrong);
            default
        })
    }

    /// Returns `name` as the base URL of an HTTP server, if it is set and right. A mistake never shows the value, which
    /// may carry credentials.
    pub fn base_url(&self, name: &str) -> Option<Url> {
        let text = self.text(name)?;
        let wrong = match Url::parse(text) {
            Err(error) => error.to_string(),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => format!("{} is not http or https", url.scheme()),
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                "a base has no query or fragment".to_owned()
            }
            Ok(url) => return Some(url),
        };
        self.mistake(name, format_args!("not the URL of a server ({wrong}); write it like http://127.0.0.1:8000"));
        None
    }

    /// As [`Self::base_url`], for one whose credentials belong into `other` variables.
    pub fn bare_url(&self, name: &str, other: &str) -> Option<Url> {
        let url = self.base_url(name)?;
        if url.username().is_empty() && url.password().is_none() {
            return Some(url);
        }
        self.mistake(name, format_args!("credentials are in it; put them into {other}"));
        None
    }

    /// Returns `name` as the URL of a Redis server, if it is set and right. A mistake never shows the value, which may carry a
    /// password.
    pub fn redis_url(&self, name: &str) -> Option<SecretString> {
        let url = self.secret(name)?;
        // Behind the slash is the number of a database, and nothing else.
        let database = |url: &Url| url.path().trim_start_matches('/').to_owned();
        let is_one = |url: &Url| {
            matches!(url.scheme(), "redis" | "rediss")
                && url.has_host()
                && (database(url).is_empty() || database(url).parse::<u16>().is_ok())
        };
        if Url::parse(url.expose_secret()).is_ok_and(|url| is_one(&url)) {
            return Some(url);
        }
        self.mistake(name, "not the URL of a Redis server; write it like redis://:PASSWORD@127.0.0.1:6379/0");
        None
    }

    /// Returns the networks of proxies whose word is believed, as `127.0.0.1,10.0.0.0/8`, or `none`.
    pub fn networks(&self, name: &str, default: &str) -> Vec<Network> {
        let text = match self.text(name).unwrap_or(default) {
            "none" => return Vec::new(),
            text => text,
        };
        let read = |part: &str| {
            let network = part.trim().parse();
            network.map_err(|wanted: &str| self.mistake(name, format_args!("{part:?}: {wanted}"))).ok()
        };
        let networks: Vec<Network> = text.split(',').filter_map(read).collect();
        if networks.iter().any(Network::is_everything) {
            self.mistake(name, "believes everybody; write the addresses of your proxies");
        }
        networks
    }

    /// Returns where to listen: `HOST` (default 127.0.0.1, so that nothing is open by accident; 0.0.0.0 in containers) and
    /// `PORT`.
    pub fn address(&self, default_port: NonZeroU16) -> SocketAddr {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let host = self.parsed("HOST", loopback, "an IP address; write 127.0.0.1, or 0.0.0.0 in containers");
        let port = self.parsed("PORT", default_port, "a port; write a number from 1 to 65535");
        SocketAddr::new(host, port.get())
    }

    /// Returns the URL under which whoever listens at [`Self::address`] is reached on its own machine.
    pub fn own_url(&self, default_port: NonZeroU16, path: &str) -> String {
        format!("http://{}{path}", reached_at(self.address(default_port)))
    }

    /// Returns the secret in `name`, or in the file that `<name>_FILE` names, without the white space around it.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        let file_name = format!("{name}_FILE");
        match (self.text(name), self.text(&file_name)) {
            (None, None) => None,
            (Some(text), None) => Some(crate::secrets::secret(text)),
            (None, Some(path)) => self.secret_file(&file_name, path),
            (Some(_), Some(_)) => {
                self.mistake(name, format_args!("{name} and {file_name} are both set; keep one of the two"));
                None
            }
        }
    }

    /// Returns the secret in `name` or `<name>_FILE`; that neither is set is a mistake, and `purpose` says what it is
    /// for.
    pub fn required_secret(&self, name: &str, purpose: &str) -> SecretString {
        let before = self.mistakes.borrow().len();
        self.secret(name).unwrap_or_else(|| {
            if self.mistakes.borrow().len() == before {
                let where_to = format_args!("set {name}, or {name}_FILE to the path of a file that holds it");
                self.mistake(name, format_args!("not set; {where_to} ({purpose})"));
            }
            SecretString::from("")
        })
    }

    /// Adds a mistake in `name` that only the caller can see.
    pub fn mistake(&self, name: &str, message: impl Display) {
        self.mistakes.borrow_mut().push(format!("{name}: {message}"));
    }

    /// Returns `settings` if nothing was wrong.
    ///
    /// # Errors
    /// Every mistake, one line each, in the order of reading.
    pub fn finish<T>(self, settings: T) -> Result<T, Vec<String>> {
        let mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }

    fn secret_file(&self, name: &str, path: &str) -> Option<SecretString> {
        match crate::secret_file::read(Path::new(path)) {
            Ok(secret) if !secret.is_empty() => return Some(crate::secrets::secret(secret)),
            Ok(_) => self.mistake(name, format_args!("{path} is empty; write the secret into it")),
            Err(error) => self.mistake(name, format_args!("cannot read {path}: {error}")),
        }
        None
    }
}

/// Returns where whoever listens at an address is reached on its own machine.
pub fn reached_at(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
