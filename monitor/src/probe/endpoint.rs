//! Where a kind that speaks a protocol of its own connects: `address`, `ip`, and `tls` if it is written.

use std::fmt;
use std::net::SocketAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::address::Address;
use super::dial::{IpVersion, addresses, dial};
use super::handshake::{Secured, shake_hands};
use super::kinds::{Probe, Scope, Target};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::stream::Stream;
use super::tls::name_for;
use super::tls_options::Tls;
use super::wire::Wire;

/// A probe that holds one dialog with one endpoint.
pub(super) trait Dialog: Send + Sync + fmt::Debug + 'static {
    /// Whom it talks to.
    fn endpoint(&self) -> &Endpoint;

    /// Talks once, as [`Probe::ask`] says.
    fn hold(&self, run: &mut Run) -> impl Future<Output = Result<Facts, Outcome>> + Send;
}

impl<D: Dialog> Probe for D {
    fn target(&self) -> Target {
        self.endpoint().target()
    }

    fn connects_to(&self) -> Option<&Address> {
        Some(&self.endpoint().address)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.hold(run).boxed()
    }
}

/// One address, over one IP version, with or without TLS.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    ip: IpVersion,
    pub(super) tls: Option<Secrecy>,
}

/// How to speak TLS with an endpoint.
#[derive(Debug)]
pub(super) struct Secrecy {
    tls: Tls,
    name: ServerName<'static>,
}

impl Secrecy {
    /// Shakes hands on an open connection.
    pub(super) async fn secure(&self, run: &mut Run, stream: TcpStream) -> Result<Secured, Outcome> {
        shake_hands(run, stream, &self.tls.config, &self.name).await
    }

    /// Shakes hands in the middle of a dialog.
    pub(super) async fn upgrade(&self, run: &mut Run, wire: Wire) -> Result<Wire, Outcome> {
        let Some(stream) = wire.into_plain() else {
            return Err(Outcome::fail(ReasonCode::Protocol, "somebody spoke before TLS began"));
        };
        let secured = self.secure(run, stream).await?;
        Ok(Wire::new(run, Stream::Tls(secured.stream)))
    }
}

impl Endpoint {
    /// Joins what was decoded elsewhere.
    pub(super) fn new(address: Address, ip: IpVersion, tls: Option<(Tls, ServerName<'static>)>) -> Self {
        Self { address, ip, tls: tls.map(|(tls, name)| Secrecy { tls, name }) }
    }

    /// Decodes `address`, `ip` and `tls`; without `tls` nothing is encrypted.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        Self::decode_with(fields, false)
    }

    /// As [`Endpoint::decode`]; where TLS is `wanted` it needs no `tls` to be written.
    pub(super) fn decode_with(fields: &Fields<'_>, wanted: bool) -> Option<Self> {
        Self::decode_at(fields, fields.require("address"), wanted, &[])
    }

    /// As [`Endpoint::decode_with`], with the address at a key of another name, and what ALPN offers.
    pub(super) fn decode_at(
        fields: &Fields<'_>,
        address: Option<Cursor<'_>>,
        wanted: bool,
        alpn: &[&[u8]],
    ) -> Option<Self> {
        let bare = Self::decode_bare_at(fields, address);
        let address = bare.as_ref().map(|bare| &bare.address);
        let written = fields.get("tls");
        let tls = match &written {
            None if !wanted => Some(None),
            _ => Tls::decode(written.as_ref(), alpn).zip(address).and_then(|(tls, address)| {
                let blamed = written.as_ref().and_then(|cursor| cursor.fields());
                let name = name_for(blamed.as_ref().unwrap_or(fields), &address.host, &tls)?;
                Some(Some(Secrecy { tls, name }))
            }),
        };
        let tls = tls?;
        Some(Self { tls, ..bare? })
    }

    /// Decodes `address` and `ip`, for protocols that never run over TLS.
    pub(super) fn decode_bare(fields: &Fields<'_>) -> Option<Self> {
        Self::decode_bare_at(fields, fields.require("address"))
    }

    /// As [`Endpoint::decode_bare`], for protocols over UDP.
    pub(super) fn decode_datagram(fields: &Fields<'_>) -> Option<Self> {
        let address = fields.require("address").and_then(|c| Address::decode(&c));
        let ip = IpVersion::decode_datagram(fields);
        Some(Self { address: address?, ip: ip?, tls: None })
    }

    fn decode_bare_at(fields: &Fields<'_>, address: Option<Cursor<'_>>) -> Option<Self> {
        let address = address.and_then(|c| Address::decode(&c));
        let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
        Some(Self { address: address?, ip: ip?, tls: None })
    }

    /// Reports a password that would go out in plain text to another host; `instead` is what to write.
    pub(super) fn refuse_bare_password(&self, fields: &Fields<'_>, login: &Login, instead: &str) {
        let is_local = self.target().scope == Scope::Local;
        if login.password().is_some() && self.tls.is_none() && !is_local {
            let text = format!("a password is not sent in plain text to another host; write {instead}");
            fields.cursor().mistake(text);
        }
    }

    /// What is asked, for people.
    pub(super) fn target(&self) -> Target {
        Target { shown: self.address.to_string(), scope: Scope::of_host(&self.address.host.to_string()) }
    }

    /// Returns where a datagram can go, the first choice first.
    pub(super) async fn addresses(&self, run: &mut Run) -> Result<Vec<SocketAddr>, Outcome> {
        addresses(run, &self.address, self.ip).await
    }

    /// Connects, without TLS.
    pub(super) async fn dial(&self, run: &mut Run) -> Result<TcpStream, Outcome> {
        dial(run, &self.address, self.ip).await
    }

    /// Connects without TLS, to begin it later or never.
    pub(super) async fn connect_bare(&self, run: &mut Run) -> Result<Wire, Outcome> {
        let stream = self.dial(run).await?;
        Ok(Wire::new(run, Stream::Plain(stream)))
    }

    /// Connects, and shakes hands where TLS is configured; what is read then are whole messages.
    pub(super) async fn connect(&self, run: &mut Run) -> Result<Wire, Outcome> {
        let stream = self.stream(run).await?;
        Ok(Wire::new(run, stream))
    }

    /// Connects, and shakes hands where TLS is configured.
    pub(super) async fn stream(&self, run: &mut Run) -> Result<Stream, Outcome> {
        let stream = self.dial(run).await?;
        match &self.tls {
            None => Ok(Stream::Plain(stream)),
            Some(secrecy) => Ok(Stream::Tls(secrecy.secure(run, stream).await?.stream)),
        }
    }
}
