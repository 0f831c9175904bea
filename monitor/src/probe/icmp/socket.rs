//! A socket for echo requests: the kind that needs no right where the system allows it (icmp(7)), else a raw one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{
    Ipv4RecvErr, Ipv4RecvTtl, Ipv4Ttl, Ipv6RecvErr, Ipv6RecvHopLimit, Ipv6Ttl, RcvBufForce,
};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};
use tokio::net::UdpSocket;

use super::packet::{behind_ip_header, hops_of_ip_header};
use crate::probe::datagram::{receive, receive_with_hops, take_errors};
use crate::probe::dial_error::explain;
use crate::probe::observation::Outcome;

/// A raw socket is handed everybody's packets from its peer: room for a burst of others beside our own, in bytes. Without the
/// right to it (CAP_NET_ADMIN) the system's default stays.
const RAW_ROOM_BYTES: usize = 1024 * 1024;

/// An open socket that hears its peer only.
#[derive(Debug)]
pub(in crate::probe) struct PingSocket {
    /// Not of UDP, but sending and receiving is the same for every socket that has a peer.
    inner: UdpSocket,
    /// True if the kernel chooses the identifier and hands us our own replies only.
    pub(in crate::probe) kernel_chooses: bool,
    shows_ip_header: bool,
}

impl PingSocket {
    /// Opens one towards an address.
    pub(super) fn open(to: IpAddr) -> Result<Self, Outcome> {
        Self::open_with(to, &Knobs::default())
    }

    /// As [`PingSocket::open`], with packets as they are wished for.
    pub(in crate::probe) fn open_with(to: IpAddr, knobs: &Knobs) -> Result<Self, Outcome> {
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
        knobs.set(&fd, to).map_err(failed)?;
        connect(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(to, 0))).map_err(failed)?;
        let inner = UdpSocket::from_std(fd.into())
            .map_err(|error| Outcome::local(format!("no socket to ping with: {error}")))?;
        Ok(Self { inner, kernel_chooses, shows_ip_header: !kernel_chooses && to.is_ipv4() })
    }

    /// Sends one packet.
    pub(in crate::probe) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.inner.send(bytes).await.map(drop)
    }

    /// Waits for a packet, or for the error that an earlier one met on its way, and gives it to `read` without IP header.
    pub(super) async fn receive<T>(&self, buffer: &mut [u8], read: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let length = receive(&self.inner, buffer).await?;
        let bytes = buffer.get(..length).unwrap_or_default();
        Ok(read(if self.shows_ip_header { behind_ip_header(bytes) } else { bytes }))
    }

    /// Takes the errors that packets met on their way until now, and returns how many there were.
    pub(super) fn take_errors(&self) -> usize {
        take_errors(&self.inner)
    }

    /// As [`PingSocket::receive`]; also returns how many hops the packet had left, where that was wished for.
    pub(in crate::probe) async fn receive_with_hops<T>(
        &self,
        buffer: &mut [u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> io::Result<(T, Option<u8>)> {
        let (length, hops) = receive_with_hops(&self.inner, buffer).await?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if self.shows_ip_header {
            return Ok((read(behind_ip_header(bytes)), hops_of_ip_header(bytes).or(hops)));
        }
        Ok((read(bytes), hops))
    }
}

/// How packets leave, beside what is in them.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::probe) struct Knobs {
    /// From this address of ours.
    pub(in crate::probe) source: Option<IpAddr>,
    /// Never in fragments.
    pub(in crate::probe) keeps_whole: bool,
    /// Hops they may take; the system's default otherwise.
    pub(in crate::probe) ttl: Option<u8>,
    /// True if replies are to tell how many hops they had left.
    pub(in crate::probe) tells_hop_limit: bool,
}

impl Knobs {
    fn set(&self, fd: &OwnedFd, to: IpAddr) -> nix::Result<()> {
        let is_v4 = to.is_ipv4();
        if let Some(source) = self.source {
            bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
        }
        if let Some(ttl) = self.ttl.map(i32::from) {
            if is_v4 { setsockopt(fd, Ipv4Ttl, &ttl) } else { setsockopt(fd, Ipv6Ttl, &ttl) }?;
        }
        if self.tells_hop_limit {
            if is_v4 { setsockopt(fd, Ipv4RecvTtl, &true) } else { setsockopt(fd, Ipv6RecvHopLimit, &true) }?;
        }
        if self.keeps_whole {
            let set = if is_v4 {
                set_ip_mtu_discover(fd, Ipv4PathMtuDiscovery::DO)
            } else {
                set_ipv6_mtu_discover(fd, Ipv6PathMtuDiscovery::DO)
            };
            set.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
        }
        Ok(())
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
