//! One proxy: where it is, how it is spoken to, and what it is told.

use std::fmt;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use kit::config::Cursor;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use url::Url;

use super::options::{basic, header};
use super::socks::{self, Login};
use super::userinfo::userinfo;
use crate::probe::address::{Address, Host};
use crate::probe::blackbox::tls::Secrecy;
use crate::probe::handshake::shake_hands;
use crate::probe::http::tunnel;
use crate::probe::observation::{Outcome, Reason};
use crate::probe::run::Run;
use crate::probe::stream::Stream;
use crate::probe::tls_options::{HTTP_1_1, Tls};

/// Where SOCKS proxies listen (RFC 1928 section 3).
const SOCKS_PORT: u16 = 1080;

/// A proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: Address,
    kind: Kind,
    credentials: Option<HeaderValue>,
    /// What CONNECT requests carry.
    connect: HeaderMap,
}

#[derive(Debug)]
enum Kind {
    Plain,
    /// With the name that its certificate must carry.
    Secure(Tls),
    Socks(Option<Login>),
}

impl Proxy {
    /// Reads a proxy's URL; `connect` is what is written for CONNECT requests.
    pub(super) fn parse(text: &str, connect: &HeaderMap, secrecy: &Secrecy) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = Host::parse(url.host_str()?)?;
        let userinfo = userinfo(&url);
        kit::secrets::know(userinfo.iter().map(|(_, password)| password.as_str()));
        let kind = match url.scheme() {
            "http" => Kind::Plain,
            "https" => Kind::Secure(towards(&host, secrecy)?),
            // Both leave names to the proxy, as in Go.
            "socks5" | "socks5h" => match userinfo.clone() {
                Some((user, password)) => Kind::Socks(Some(Login::new(user, password)?)),
                None => Kind::Socks(None),
            },
            _ => return None,
        };
        let credentials = userinfo.map(|(user, password)| basic(&user, &password)).transpose().ok()?;
        let mut connect = connect.clone();
        if let Some(credentials) = &credentials {
            connect.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let port = url.port_or_known_default().unwrap_or(SOCKS_PORT);
        Some(Self { address: Address { host, port }, kind, credentials, connect })
    }

    /// Returns whether a request without TLS is for the proxy to read (RFC 9112 section 3.2.2).
    pub(super) fn reads_requests(&self) -> bool {
        !matches!(self.kind, Kind::Socks(_))
    }

    pub(super) fn add_credentials(&self, headers: &mut HeaderMap) {
        if let Some(credentials) = &self.credentials {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
    }

    /// Makes of a connection to the proxy one that leads to `to`, over which TLS may follow.
    pub(super) async fn lead(
        &self,
        run: &mut Run,
        mut stream: TcpStream,
        to: &Address,
        is_tls: bool,
    ) -> Result<Stream, Outcome> {
        let stream = match &self.kind {
            Kind::Plain => Stream::Plain(stream),
            Kind::Secure(tls) => self.secure(run, stream, tls).await.map_err(|outcome| self.say_whose(outcome))?,
            Kind::Socks(login) => {
                socks::ask(run, &mut stream, to, login.as_ref()).await?;
                return Ok(Stream::Plain(stream));
            }
        };
        if is_tls { tunnel(run, stream, to, &self.connect).await } else { Ok(stream) }
    }

    async fn secure(&self, run: &mut Run, stream: TcpStream, tls: &Tls) -> Result<Stream, Outcome> {
        let name = tls.server_name.as_ref().ok_or_else(|| Outcome::local("no certificate can carry its name"))?;
        let secured = shake_hands(run, stream, &tls.config, name).await;
        // What the proxy shows is not the target's.
        run.handshake = None;
        Ok(Stream::Tls(secured?.stream))
    }

    /// Says that it is the proxy at which something is wrong.
    pub(super) fn say_whose(&self, outcome: Outcome) -> Outcome {
        let of_proxy = |Reason { code, text }| Reason::new(code, format!("{self}: {text}"));
        match outcome {
            Outcome::Fail(reason) => Outcome::Fail(of_proxy(reason)),
            Outcome::Unknown(reason) => Outcome::Unknown(of_proxy(reason)),
            Outcome::Pass => Outcome::Pass,
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {}", self.address)
    }
}

/// The module's TLS towards the proxy, as in Go: `server_name` is asked for there too. HTTP/2 is not offered: CONNECT is
/// sent as HTTP/1.1.
fn towards(host: &Host, secrecy: &Secrecy) -> Option<Tls> {
    let server_name = secrecy.tls.server_name.clone().or_else(|| host.server_name())?;
    let mut config = ClientConfig::clone(&secrecy.tls.config);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    let config = Arc::new(config);
    Some(Tls { for_others: config.clone(), config, server_name: Some(server_name) })
}

/// Decodes `proxy_connect_header`: names with a list of values each, all of them secret.
pub(super) fn connect_header(cursor: &Cursor<'_>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut is_fine = true;
    for (name, cursor) in cursor.entries()? {
        for value in cursor.texts() {
            kit::secrets::know([value.as_str()]);
            match header(&cursor, name, &value, true) {
                Some((name, _)) if is_of_the_request(&name) => {}
                Some((name, value)) => drop(headers.append(name, value)),
                None => is_fine = false,
            }
        }
    }
    is_fine.then_some(headers)
}

/// What Go sets itself in a CONNECT request, whatever is configured.
fn is_of_the_request(name: &HeaderName) -> bool {
    matches!(*name, HOST | CONTENT_LENGTH | TRANSFER_ENCODING | TRAILER)
}
