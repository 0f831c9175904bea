//! A TCP connection to a host, over the IP version that was asked for, with every failure in words.
//!
//! Sockets are closed the normal way (FIN), not with a zero linger: RST would show up as an error in the target's log
//! and can abort its `accept`. The TIME_WAIT this may leave with us lasts 60 s and costs one of 28 thousand ports *per
//! target address*, which one probe a second never exhausts. A probe that is cut while bytes are unread does send RST
//! (RFC 2525 section 2.17), so an endless answer stops at once.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kit::config::{Cursor, Fields};
use tokio::net::TcpStream;

use super::address::{Address, Host};
use super::dial_error::explain;
use super::observation::{Outcome, Phase, Reason, ReasonCode};
use super::resolve::{Families, either, is_localhost, resolve};
use super::run::Run;

/// How long one attempt is alone before the next begins (RFC 8305 section 5, "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one family that are tried; a name with more is a content network, where a few tell as much.
const MAX_ADDRESSES: usize = 4;

/// Which IP version a probe uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum IpVersion {
    /// Happy eyeballs (RFC 8305): the first family that answers.
    #[default]
    Any,
    V4,
    V6,
    /// Both must answer; one that does not degrades the check.
    Both,
}

impl IpVersion {
    /// Decodes `ip:`.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        cursor.one_of(&[("any", Self::Any), ("ipv4", Self::V4), ("ipv6", Self::V6), ("both", Self::Both)])
    }

    /// Decodes `ip:` where nothing connects: which of both families answers cannot be told from one datagram.
    pub(super) fn decode_datagram(fields: &Fields<'_>) -> Option<Self> {
        let Some(cursor) = fields.get("ip") else { return Some(Self::Any) };
        let version = Self::decode(&cursor)?;
        if version == Self::Both {
            cursor.mistake("\"ip: both\" needs a connection; write a check for each of ipv4 and ipv6");
            return None;
        }
        Some(version)
    }

    /// Which families it needs addresses of.
    pub(super) fn families(self) -> Families {
        match self {
            Self::V4 => Families::V4,
            Self::V6 => Families::V6,
            Self::Any | Self::Both => Families::Each,
        }
    }
}

/// Connects; the address that was talked to goes into [`Run::seen`].
///
/// # Cancel safety
/// Dropping the future closes every socket it opened.
pub(super) async fn dial(run: &mut Run, to: &Address, version: IpVersion) -> Result<TcpStream, Outcome> {
    let detour = run.detour.as_ref().and_then(|detour| detour.of(to));
    let detour: Option<VecDeque<SocketAddr>> = detour.map(|to| to.iter().copied().take(MAX_ADDRESSES).collect());
    let (stream, address) = match detour {
        Some(addresses) => connect_any(run, &addresses).await?,
        None => connect_straight(run, to, version).await?,
    };
    run.seen.address = Some(address);
    // Small requests must leave at once. Failing to set it changes only timing.
    let _best_effort = stream.set_nodelay(true);
    Ok(stream)
}

async fn connect_straight(run: &mut Run, to: &Address, version: IpVersion) -> Result<(TcpStream, SocketAddr), Outcome> {
    if version == IpVersion::Both {
        let (v6, v4) = resolve(run, &to.host, version.families()).await;
        let v6 = v6.unwrap_or_else(|| Ok(Vec::new())).map_err(|gap| gap.outcome);
        let v4 = v4.unwrap_or_else(|| Ok(Vec::new())).map_err(|gap| gap.outcome);
        connect_both(run, v6, v4, to.port).await
    } else {
        let addresses = addresses(run, to, version).await?;
        connect_any(run, &addresses.into()).await
    }
}

/// Returns the addresses that are tried, the first choice first.
pub(super) async fn addresses(run: &mut Run, to: &Address, version: IpVersion) -> Result<Vec<SocketAddr>, Outcome> {
    let (v6, v4) = resolve(run, &to.host, version.families()).await;
    let (v6, v4) = either(v6, v4)?;
    Ok(in_order(&to.host, v6, v4, to.port))
}

/// Families take turns, IPv6 first (RFC 8305 section 4); `localhost` begins with IPv4, where most local services are.
fn in_order(host: &Host, v6: Vec<IpAddr>, v4: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let v4_first = matches!(host, Host::Name(name) if is_localhost(name));
    let (mut first, mut second) =
        if v4_first { (v4.into_iter(), v6.into_iter()) } else { (v6.into_iter(), v4.into_iter()) };
    let mut order = Vec::new();
    for _ in 0..MAX_ADDRESSES {
        order.extend(first.next().into_iter().chain(second.next()).map(|address| SocketAddr::new(address, port)));
    }
    order
}

async fn connect_any(run: &mut Run, addresses: &VecDeque<SocketAddr>) -> Result<(TcpStream, SocketAddr), Outcome> {
    run.seen.address = addresses.front().copied();
    let raced = run.phase(Phase::Connect, race(addresses)).await;
    raced.map_err(|errors| explain(&errors))
}

/// Starts one attempt after the other and returns the first that succeeds, or every error.
async fn race(addresses: &VecDeque<SocketAddr>) -> Result<(TcpStream, SocketAddr), Vec<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::new();
    let mut errors = Vec::new();
    loop {
        match waiting.next() {
            Some(address) => attempts.push(connect(address)),
            None if attempts.is_empty() => return Err(errors),
            None => {}
        }
        tokio::select! {
            biased;
            Some((address, connected)) = attempts.next() => match connected {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => errors.push((address, error)),
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

async fn connect(address: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    (address, TcpStream::connect(address).await)
}

/// Connects over each family and keeps the IPv6 connection, or the only one there is.
async fn connect_both(
    run: &mut Run,
    v6: Result<Vec<IpAddr>, Outcome>,
    v4: Result<Vec<IpAddr>, Outcome>,
    port: u16,
) -> Result<(TcpStream, SocketAddr), Outcome> {
    run.seen.address = v6.iter().chain(&v4).flatten().next().map(|address| SocketAddr::new(*address, port));
    run.enter(Phase::Connect);
    let (v6, v4) = futures_util::future::join(connect_family(v6, "IPv6", port), connect_family(v4, "IPv4", port)).await;
    run.leave();
    both(run, v6, v4)
}

/// Joins what each family came to where both must do: one that fails degrades, and IPv6's is kept.
pub(super) fn both<T>(run: &mut Run, v6: Result<T, Outcome>, v4: Result<T, Outcome>) -> Result<T, Outcome> {
    let (connected, other) = match (v6, v4) {
        (Ok(connected), other) => (connected, other.map(drop)),
        (other, Ok(connected)) => (connected, other.map(drop)),
        (Err(Outcome::Fail(v6)), Err(Outcome::Fail(v4))) => {
            return Err(Outcome::fail(v4.code, format!("IPv6: {}; IPv4: {}", v6.text, v4.text)));
        }
        // One family fails and the other could not be tried: the one that was asked decides.
        (Err(fail @ Outcome::Fail(_)), Err(_)) | (Err(_), Err(fail)) => return Err(fail),
    };
    match other {
        Err(Outcome::Fail(reason)) => run.soft.push(Reason::new(ReasonCode::Partial, reason.text)),
        Err(Outcome::Unknown(reason)) => run.seen.remark(format!("one family was not checked: {}", reason.text)),
        Ok(()) | Err(Outcome::Pass) => {}
    }
    Ok(connected)
}

async fn connect_family(
    found: Result<Vec<IpAddr>, Outcome>,
    family: &str,
    port: u16,
) -> Result<(TcpStream, SocketAddr), Outcome> {
    let addresses: VecDeque<SocketAddr> =
        found?.into_iter().take(MAX_ADDRESSES).map(|address| SocketAddr::new(address, port)).collect();
    if addresses.is_empty() {
        return Err(Outcome::fail(ReasonCode::Dns, format!("there is no {family} address")));
    }
    race(&addresses).await.map_err(|errors| explain(&errors))
}
