//! Datagram sockets whose errors are heard when they come, not with the next packet.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recv, recvmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::dial_error::explain;
use super::observation::{Outcome, Phase, ReasonCode};
use super::run::Run;

/// The longest UDP payload there is, in bytes.
pub(super) const LONGEST_DATAGRAM: usize = 65_535;
/// Datagrams that are read at most while the answer is waited for.
pub(super) const MAX_DATAGRAMS: usize = 100;

/// Opens a socket to the first address to which there is a way.
///
/// A UDP socket "connects" without sending anything (udp(7)), and then hears only from there.
pub(super) async fn open(addresses: &[SocketAddr]) -> Result<(UdpSocket, SocketAddr), Outcome> {
    let mut errors = Vec::new();
    for address in addresses {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let opened = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await?;
            Ok(socket)
        };
        match opened.await {
            Ok(socket) => return Ok((socket, *address)),
            Err(error) => errors.push((*address, error)),
        }
    }
    Err(explain(&errors))
}

/// What comes back, datagram by datagram, until the time for it is over.
pub(super) struct Replies<'a> {
    socket: &'a UdpSocket,
    address: SocketAddr,
    buffer: Vec<u8>,
    limit: Instant,
}

impl<'a> Replies<'a> {
    /// Sends a question; what is waited for from now on is the first byte.
    pub(super) async fn to(
        run: &mut Run,
        socket: &'a UdpSocket,
        address: SocketAddr,
        question: &[u8],
    ) -> Result<Self, Outcome> {
        run.enter(Phase::FirstByte);
        socket.send(question).await.map_err(|error| explain(&[(address, error)]))?;
        Ok(Self { socket, address, buffer: vec![0; LONGEST_DATAGRAM], limit: run.last_word() })
    }

    /// Stops waiting sooner.
    pub(super) fn until(self, limit: Instant) -> Self {
        Self { limit: self.limit.min(limit), ..self }
    }

    /// Waits for the next; none when the time is over.
    ///
    /// # Errors
    /// The fail when the way back says that nobody is there.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, Outcome> {
        let receiving = receive(self.socket, &mut self.buffer);
        let Ok(received) = tokio::time::timeout_at(self.limit, receiving).await else { return Ok(None) };
        let length = received.map_err(|error| explain(&[(self.address, error)]))?;
        Ok(Some(self.buffer.get(..length).unwrap_or_default()))
    }
}

/// Sends one datagram, and waits until `answer` knows one for its answer; none if nothing came at all.
///
/// # Errors
/// The fail when the way back says that nobody is there, or when only others' datagrams came.
pub(super) async fn exchange<T>(
    run: &mut Run,
    socket: &UdpSocket,
    address: SocketAddr,
    question: &[u8],
    mut answer: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>, Outcome> {
    let mut replies = Replies::to(run, socket, address, question).await?;
    let mut others = 0;
    while others < MAX_DATAGRAMS {
        let Some(reply) = replies.next().await? else { break };
        if let Some(answer) = answer(reply) {
            run.leave();
            return Ok(Some(answer));
        }
        others += 1;
    }
    if others == 0 {
        return Ok(None);
    }
    Err(Outcome::fail(ReasonCode::Protocol, format!("{others} datagrams came, and none answers our question")))
}

/// Waits for a datagram, or for the error that one of ours met on its way.
///
/// Tokio's own `recv` waits for data only: a refusal that comes while it waits would wake nobody.
pub(super) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    let receiving = || Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?);
    socket.async_io(Interest::READABLE | Interest::ERROR, receiving).await
}

/// Takes what a socket with `IP_RECVERR` has queued of errors, and returns how many there were: each is of one packet of
/// ours, while `recv` tells those that came together once (ip(7)).
pub(super) fn take_errors(socket: &UdpSocket) -> usize {
    let take = || recvmsg::<()>(socket.as_raw_fd(), &mut [], None, MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT);
    std::iter::repeat_with(take).take_while(Result::is_ok).count()
}

/// As [`receive`]; also returns the hops that the packet had left, if the socket was told to tell them.
pub(super) async fn receive_with_hops(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    let receiving = || {
        let mut space = nix::cmsg_space!(i32);
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
        let hops = message.cmsgs()?.find_map(|told| match told {
            ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => u8::try_from(hops).ok(),
            _ => None,
        });
        Ok((message.bytes, hops))
    };
    socket.async_io(Interest::READABLE | Interest::ERROR, receiving).await
}
