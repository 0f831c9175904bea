//! Why a connection could not be made: the target's fault or ours, in words that name the address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::errno::Errno;

use super::observation::{Outcome, Reason, ReasonCode};

/// Judges failed attempts together: one that the target answered outweighs those we could not make.
pub(super) fn explain(errors: &[(SocketAddr, io::Error)]) -> Outcome {
    let mut groups: Vec<(ReasonCode, String, Vec<String>)> = Vec::new();
    for (address, error) in errors {
        let (code, words) = judge(*address, error);
        match groups.iter_mut().find(|(_, known, _)| *known == words) {
            Some((_, _, addresses)) => addresses.push(show(*address)),
            None => groups.push((code, words, vec![show(*address)])),
        }
    }
    groups.sort_by_key(|(code, _, _)| *code == ReasonCode::Local);
    let code = groups.first().map_or(ReasonCode::Local, |(code, _, _)| *code);
    let texts: Vec<String> =
        groups.iter().map(|(_, words, addresses)| format!("{words} {}", addresses.join(" and "))).collect();
    let reason = Reason::new(
        code,
        if texts.is_empty() { "there is no address to connect to".to_owned() } else { texts.join("; ") },
    );
    if code == ReasonCode::Local { Outcome::Unknown(reason) } else { Outcome::Fail(reason) }
}

/// Where there is no port (ICMP) none is shown.
fn show(address: SocketAddr) -> String {
    if address.port() == 0 { address.ip().to_string() } else { address.to_string() }
}

/// Returns the cause, and words that an address can follow. [`ReasonCode::Local`] means that we could not ask.
fn judge(address: SocketAddr, error: &io::Error) -> (ReasonCode, String) {
    let (code, words) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ECONNREFUSED) => (ReasonCode::Refused, "connection refused by"),
        Some(Errno::ECONNRESET) => (ReasonCode::Reset, "connection reset by"),
        Some(Errno::ETIMEDOUT) => (ReasonCode::Timeout, "no answer to the connection request from"),
        Some(Errno::EHOSTUNREACH | Errno::ENETUNREACH) if has_route(address) => {
            (ReasonCode::Unreachable, "host unreachable:")
        }
        Some(Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ENETDOWN | Errno::EAFNOSUPPORT) => {
            (ReasonCode::Local, "no route from this machine to")
        }
        Some(Errno::EADDRNOTAVAIL) => (ReasonCode::Local, "no free local address or port to reach"),
        Some(Errno::EMFILE | Errno::ENFILE) => (ReasonCode::Local, "no file descriptor left to reach"),
        Some(Errno::EACCES | Errno::EPERM) => (ReasonCode::Local, "this machine forbids connections to"),
        Some(Errno::ENOBUFS | Errno::ENOMEM) => (ReasonCode::Local, "no memory left to reach"),
        _ => return (ReasonCode::Unreachable, format!("cannot connect ({error}) to")),
    };
    (code, words.to_owned())
}

/// Asks the kernel's routing table; a UDP socket "connects" without sending anything (udp(7)).
pub(super) fn has_route(address: SocketAddr) -> bool {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    };
    socket.and_then(|socket| socket.connect(address)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errors: &[(&str, Errno)], code: ReasonCode, text: &str) {
        let errors: Vec<(SocketAddr, io::Error)> = errors
            .iter()
            .map(|(address, errno)| (address.parse().unwrap(), io::Error::from_raw_os_error(*errno as i32)))
            .collect();
        let expected = Reason::new(code, text);
        let expected = if code == ReasonCode::Local { Outcome::Unknown(expected) } else { Outcome::Fail(expected) };
        assert_eq!(explain(&errors), expected);
    }

    #[test]
    fn what_the_target_answered_is_a_fail_and_our_own_trouble_is_unknown() {
        let (v4, v6) = ("127.0.0.1:80", "[::1]:80");
        check(&[(v4, Errno::ECONNREFUSED)], ReasonCode::Refused, "connection refused by 127.0.0.1:80");
        check(&[(v4, Errno::EHOSTUNREACH)], ReasonCode::Unreachable, "host unreachable: 127.0.0.1:80");
        check(&[(v4, Errno::EMFILE)], ReasonCode::Local, "no file descriptor left to reach 127.0.0.1:80");
        check(&[(v4, Errno::EPERM)], ReasonCode::Local, "this machine forbids connections to 127.0.0.1:80");
        check(
            &[(v6, Errno::ECONNREFUSED), (v4, Errno::ECONNREFUSED)],
            ReasonCode::Refused,
            "connection refused by [::1]:80 and 127.0.0.1:80",
        );
        check(
            &[(v6, Errno::EADDRNOTAVAIL), (v4, Errno::ECONNREFUSED)],
            ReasonCode::Refused,
            "connection refused by 127.0.0.1:80; no free local address or port to reach [::1]:80",
        );
    }
}
