//! A socket for echo requests: the kind that needs no right where the system allows it (icmp(7)), else a raw one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr, RcvBufForce};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, setsockopt, socket};
use tokio::net::UdpSocket;

use super::packet::behind_ip_header;
use crate::probe::datagram::receive;
use crate::probe::dial_error::explain;
use crate::probe::observation::Outcome;

/// A raw socket is handed everybody's packets from its peer: room for a burst of others beside our own, in bytes. Without the
/// right to it (CAP_NET_ADMIN) the system's default stays.
const RAW_ROOM_BYTES: usize = 1024 * 1024;

/// An open socket that hears its peer only.
#[derive(Debug)]
pub(super) struct PingSocket {
    /// Not of UDP, but sending and receiving is the same for every socket that has a peer.
    inner: UdpSocket,
    /// True if the kernel chooses the identifier and hands us our own replies only.
    pub(super) kernel_chooses: bool,
    shows_ip_header: bool,
}

impl PingSocket {
    /// Opens one towards an address.
    pub(super) fn open(to: IpAddr) -> Result<Self, Outcome> {
        let (family, protocol) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let open = |kind| socket(family, kind, flags, protocol);
        let (fd, kernel_chooses) = match open(SockType::Datagram) {
            Ok(fd) => (fd, true),
            Err(Errno::EACCES | Errno::EPERM | Errno::EPROTONOSUPPORT) => {
                let fd = open(SockType::Raw).map_err(|error| no_right(error, to))?;
                let _best_effort = setsockopt(&fd, RcvBufForce, &RAW_ROOM_BYTES);
                (fd, false)
            }
            Err(error) => return Err(no_right(error, to)),
        };
        let failed = |error: Errno| explain(&[(SocketAddr::new(to, 0), error.into())]);
        // So that "host unreachable" is heard at once instead of as silence (ip(7), IP_RECVERR).
        match to {
            IpAddr::V4(_) => setsockopt(&fd, Ipv4RecvErr, &true),
            IpAddr::V6(_) => setsockopt(&fd, Ipv6RecvErr, &true),
        }
        .map_err(failed)?;
        connect(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(to, 0))).map_err(failed)?;
        let inner = UdpSocket::from_std(fd.into())
            .map_err(|error| Outcome::local(format!("no socket to ping with: {error}")))?;
        Ok(Self { inner, kernel_chooses, shows_ip_header: !kernel_chooses && to.is_ipv4() })
    }

    /// Sends one packet.
    pub(super) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.inner.send(bytes).await.map(drop)
    }

    /// Waits for a packet, or for the error that an earlier one met on its way, and gives it to `read` without IP header.
    pub(super) async fn receive<T>(&self, buffer: &mut [u8], read: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let length = receive(&self.inner, buffer).await?;
        let bytes = buffer.get(..length).unwrap_or_default();
        Ok(read(if self.shows_ip_header { behind_ip_header(bytes) } else { bytes }))
    }
}

fn no_right(error: Errno, to: IpAddr) -> Outcome {
    match error {
        Errno::EACCES | Errno::EPERM => Outcome::local(
            "this process may not ping; allow it with sysctl net.ipv4.ping_group_range=\"0 2147483647\" (for IPv6, too), or \
             give it CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW of systemd, cap_add: [NET_RAW] of Docker)",
        ),
        Errno::EAFNOSUPPORT => Outcome::local(format!("no route from this machine to {to}")),
        error => Outcome::local(format!("no socket to ping {to} with: {error}")),
    }
}
