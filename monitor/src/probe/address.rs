//! Hosts and `host:port` addresses as they are written in configuration and URLs.

use std::fmt;
use std::net::IpAddr;

use kit::config::Cursor;
use rustls::pki_types::ServerName;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A name that is looked up for every probe, or an address that needs no lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Ip(IpAddr),
}

impl Address {
    /// Decodes `host:port`; the port must be written.
    pub(crate) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let parsed = Self::parse(&cursor.text()?);
        if parsed.is_none() {
            let shown = cursor.node().shown();
            cursor.mistake(format!("{shown} is not an address; write host:port, like example.com:443 or [::1]:443"));
        }
        parsed
    }

    /// Parses `host:port`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Self { host: Host::parse(host)?, port })
    }
}

impl Host {
    /// Parses a name, an IPv4 address or an IPv6 address in brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        url::Host::parse(text).ok().filter(|_| !text.is_empty()).map(Self::from)
    }

    /// Returns the name a certificate must carry; `None` if no certificate can carry it.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        match self {
            Self::Ip(address) => Some(ServerName::IpAddress((*address).into())),
            // A final dot means "absolute" in DNS; SNI and certificates go without it (RFC 6066 section 3).
            Self::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
        }
    }
}

impl<S: Into<String>> From<url::Host<S>> for Host {
    fn from(host: url::Host<S>) -> Self {
        match host {
            url::Host::Domain(name) => Self::Name(name.into()),
            url::Host::Ipv4(address) => Self::Ip(address.into()),
            url::Host::Ipv6(address) => Self::Ip(address.into()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use kit::config::{Mistakes, Node};

    use super::*;

    fn decode(text: &str) -> Result<String, String> {
        let node = Node::parse("m.yml", &format!("'{text}'")).unwrap();
        let mistakes = Mistakes::default();
        match Address::decode(&Cursor::top(&node, &mistakes)) {
            Some(address) => Ok(address.to_string()),
            None => Err(mistakes.into_sorted()[0].message.clone()),
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["example.com:443", "127.0.0.1:80", "[::1]:5432"] {
            assert_eq!(decode(text), Ok(text.to_owned()));
        }
        for text in ["example.com", ":80", "example.com:0", "example.com:http", "::1:80", "http://example.com:80"] {
            let message = decode(text).unwrap_err();
            assert!(message.ends_with("write host:port, like example.com:443 or [::1]:443"), "{message}");
        }
    }
}
