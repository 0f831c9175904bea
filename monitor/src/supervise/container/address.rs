//! Where an engine is reached: a socket, or TCP with certificates of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use kit::config::{Cursor, Fields};

use crate::probe::Scope;

/// Where Docker listens unless told otherwise (`dockerd --help`); Podman's compatible API does so elsewhere.
pub(super) const STANDARD_ENGINE: &str = "unix:///var/run/docker.sock";

/// Where an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `unix:///…` or `tcp://host:port`.
    pub(super) shown: String,
    tls: Option<Certificates>,
}

/// Files, in PEM, as `dockerd --tlsverify` wants them of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Certificates {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Default for Address {
    fn default() -> Self {
        Self { shown: STANDARD_ENGINE.to_owned(), tls: None }
    }
}

impl Address {
    /// Reads `engine:` and `tls:`.
    pub(crate) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let tls = fields.get("tls");
        let Some(engine) = fields.get("engine") else {
            if let Some(tls) = tls {
                tls.mistake("certificates are for an engine over TCP; write \"engine: tcp://host:2376\" too");
            }
            return Some(Self::default());
        };
        let shown = address(&engine)?;
        let tls = match tls {
            Some(tls) if shown.starts_with("unix:") => {
                tls.mistake("a socket has no certificates; leave \"tls\" out");
                return None;
            }
            Some(tls) => Some(certificates(&tls)?),
            None => None,
        };
        Some(Self { shown, tls })
    }

    /// Reads an address as the `docker` command takes it; of one over TCP the certificates are in a folder, as
    /// `DOCKER_CERT_PATH` names it, with the names that `docker` gives them.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn parse(shown: &str, certificates: Option<&Path>) -> Result<Self, String> {
        if !is_address(shown) {
            return Err(format!("write {STANDARD_ENGINE}, or tcp://host:2376"));
        }
        let files = |folder: &Path| Certificates {
            ca: folder.join("ca.pem"),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        let tls = certificates.filter(|_| shown.starts_with("tcp:")).map(files);
        Ok(Self { shown: shown.to_owned(), tls })
    }

    /// Returns the host it is on, if that is not this one.
    pub(super) fn host(&self) -> Option<&str> {
        let (host, _port) = self.shown.strip_prefix("tcp://")?.rsplit_once(':')?;
        Some(host)
    }

    /// Returns whether its engine is on this host, as far as the address tells.
    pub(super) fn is_here(&self) -> bool {
        self.host().is_none_or(|host| Scope::of_host(host) == Scope::Local)
    }

    /// Connects, which reads certificates and looks for a socket: the first question finds out whether anybody answers.
    pub(super) fn connect(&self, patience: Duration) -> Result<Docker, Error> {
        let secs = patience.as_secs();
        match &self.tls {
            Some(Certificates { ca, cert, key }) => {
                Docker::connect_with_ssl(&self.shown, key, cert, ca, secs, API_DEFAULT_VERSION)
            }
            None if self.shown.starts_with("tcp:") => Docker::connect_with_http(&self.shown, secs, API_DEFAULT_VERSION),
            None => Docker::connect_with_unix(self.shown.trim_start_matches("unix://"), secs, API_DEFAULT_VERSION),
        }
    }
}

fn address(cursor: &Cursor<'_>) -> Option<String> {
    let address = cursor.text()?;
    if is_address(&address) {
        return Some(address);
    }
    cursor.mistake(format!("{address:?} is no engine; write {STANDARD_ENGINE}, or tcp://host:2376 with \"tls\""));
    None
}

fn is_address(address: &str) -> bool {
    let is_socket = address.strip_prefix("unix://").is_some_and(|path| path.starts_with('/'));
    let is_tcp = address.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':')).is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) && !host.contains(['/', '@'])
    });
    is_socket || is_tcp
}

fn certificates(cursor: &Cursor<'_>) -> Option<Certificates> {
    let fields = cursor.fields()?;
    let file = |key: &'static str| {
        let file = fields.get(key).and_then(|c| c.text()).map(PathBuf::from);
        if file.is_none() && !fields.has(key) {
            cursor.mistake(format!("no {key:?}: an engine over TLS wants ca_file, cert_file and key_file"));
        }
        file
    };
    let certificates = Certificates { ca: file("ca_file")?, cert: file("cert_file")?, key: file("key_file")? };
    fields.end();
    Some(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_here_by_its_socket_or_over_loopback() {
        for (address, expected) in [
            (STANDARD_ENGINE, true),
            ("tcp://127.0.0.1:2375", true),
            ("tcp://[::1]:2375", true),
            ("tcp://localhost:2375", true),
            ("tcp://docker-proxy:2375", false),
            ("tcp://10.0.0.7:2376", false),
        ] {
            assert_eq!(Address::parse(address, None).unwrap().is_here(), expected, "{address}");
        }
    }
}
