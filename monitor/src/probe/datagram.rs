//! Datagram sockets whose errors are heard when they come, not with the next packet.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Waits for a datagram, or for the error that one of ours met on its way.
///
/// Tokio's own `recv` waits for data only: a refusal that comes while it waits would wake nobody.
pub(super) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    let receiving = || Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?);
    socket.async_io(Interest::READABLE | Interest::ERROR, receiving).await
}
