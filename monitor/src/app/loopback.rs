//! Is it down, or is it elsewhere? Within a container `localhost` is that container: where nothing but the monitor listens,
//! a refused connection says that the address is wrong, and nothing about the service (DESIGN section 7).

use std::collections::HashSet;

use kit::container;

use crate::probe::{Observation, Outcome, Reason, ReasonCode};

/// State of a listening socket, as the kernel prints it (include/net/tcp_states.h).
const LISTENS: &str = "0A";
/// Docker's own name server listens at 127.0.0.11 in every container (moby, libnetwork/resolver.go), in the order of bytes
/// in which the kernel prints it.
const DOCKERS_RESOLVER: &str = "0B00007F:";

/// Turns a refusal by this container itself into an unknown that says what to write instead. `may_be_down` says that the
/// target may share our network: it was reached from here before, or we run it.
pub(super) fn excuse(observation: &mut Observation, may_be_down: bool) {
    if !may_be_down && is_refused_here(observation) && container::is_inside() && is_alone() {
        observation.outcome = elsewhere(observation);
    }
}

fn is_refused_here(observation: &Observation) -> bool {
    let is_refused = matches!(&observation.outcome, Outcome::Fail(reason) if reason.code == ReasonCode::Refused);
    is_refused && observation.seen.address.is_some_and(|address| address.ip().is_loopback())
}

fn elsewhere(observation: &Observation) -> Outcome {
    let address = observation.seen.address.map(|address| address.to_string()).unwrap_or_default();
    Outcome::Unknown(Reason::new(
        ReasonCode::UnreachableFromHere,
        format!(
            "unreachable from here: {address} is the monitor's own container, where nothing else listens; write the \
             service's name, or for what runs on the host host.docker.internal (with extra_hosts: \
             host.docker.internal:host-gateway)"
        ),
    ))
}

/// Returns whether nobody but this program listens in its network: neither the host's programs nor those of a container
/// that shares it. If that cannot be found out, somebody may.
fn is_alone() -> bool {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(std::fs::read_to_string);
    let Ok(own) = own_sockets() else { return false };
    tables.iter().all(|table| table.as_ref().is_ok_and(|table| listeners(table).all(|socket| own.contains(socket))))
}

/// Returns the inodes of listening sockets in a table of the kernel's (proc_net_tcp.txt), without Docker's own.
fn listeners(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, state) = (columns.next()?, columns.nth(1)?);
        let inode = columns.nth(5)?;
        (state == LISTENS && !local.starts_with(DOCKERS_RESOLVER)).then_some(inode)
    })
}

fn own_sockets() -> std::io::Result<HashSet<String>> {
    let links = std::fs::read_dir("/proc/self/fd")?.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let socket =
        |link: std::path::PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    Ok(links.filter_map(socket).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kit::clock::Stamp;

    use super::*;
    use crate::probe::{CheckId, Seen, Why};

    fn refused_by(address: &str, code: ReasonCode) -> Observation {
        Observation {
            check: CheckId::new("a", "b"),
            started: Stamp::now(),
            took: Duration::ZERO,
            phases: Vec::new(),
            outcome: Outcome::Fail(Reason::new(code, "connection refused")),
            soft: Vec::new(),
            seen: Seen { address: Some(address.parse().unwrap()), ..Seen::default() },
            why: Why::Schedule,
            trace_id: String::new(),
            is_recorded: false,
        }
    }

    #[test]
    fn only_a_refusal_by_this_host_itself_may_be_our_own_mistake() {
        for (address, code, is_it) in [
            ("127.0.0.1:80", ReasonCode::Refused, true),
            ("[::1]:80", ReasonCode::Refused, true),
            ("172.17.0.2:80", ReasonCode::Refused, false),
            ("127.0.0.1:80", ReasonCode::Timeout, false),
        ] {
            assert_eq!(is_refused_here(&refused_by(address, code)), is_it, "{address} {code:?}");
        }
        let Outcome::Unknown(reason) = elsewhere(&refused_by("127.0.0.1:80", ReasonCode::Refused)) else {
            panic!("no")
        };
        assert!(reason.text.starts_with("unreachable from here: 127.0.0.1:80 is the monitor's own"), "{}", reason.text);
    }

    #[test]
    fn who_listens_is_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 00 100 0 0 10 0\n   \
            1: 0B00007F:9C4F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 00 100 0 0 10 0\n   \
            2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 333 1 00 20 4 30 10 -1\n";
        assert_eq!(listeners(table).collect::<Vec<_>>(), ["111"]);
        // A socket of our own is known as that, in the real table too.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = format!("0100007F:{:04X}", listener.local_addr().unwrap().port());
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&port)).unwrap();
        let own = own_sockets().unwrap();
        assert!(listeners(line).all(|socket| own.contains(socket)) && listeners(line).count() == 1, "{line}");
    }
}
