//! Datagram sockets whose errors are heard when they come, not with the next packet.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::dial_error::explain;
use super::observation::Outcome;

/// The longest UDP payload there is, in bytes.
pub(super) const LONGEST_DATAGRAM: usize = 65_535;

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

/// Waits for a datagram, or for the error that one of ours met on its way.
///
/// Tokio's own `recv` waits for data only: a refusal that comes while it waits would wake nobody.
pub(super) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    let receiving = || Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?);
    socket.async_io(Interest::READABLE | Interest::ERROR, receiving).await
}
