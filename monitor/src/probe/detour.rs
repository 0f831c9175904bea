//! Another way to the same place: a probe asks its own question as ever, and only connects somewhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{Address, Host};
use super::resolve::is_localhost;

/// What containers call the host of theirs (Docker's `host-gateway` and Docker Desktop, Podman).
const HOST_OF_CONTAINERS: [&str; 3] = ["host.docker.internal", "gateway.docker.internal", "host.containers.internal"];

/// Who would connect to one address connects to others instead, the first that takes it, as with `--connect-to` of curl(1).
/// Names in headers and certificates stay those of the question; redirects to other addresses lead there as ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detour {
    from: Address,
    to: Vec<SocketAddr>,
}

impl Detour {
    /// Returns the way around an address of this host at which something is published: each of `ways` is where that is, and
    /// where it leads; `found` is where its name led when it was last asked. None if none of them leads from this address to
    /// another.
    pub fn around(
        address: &Address,
        found: Option<IpAddr>,
        ways: impl IntoIterator<Item = (SocketAddr, SocketAddr)>,
    ) -> Option<Self> {
        let asked: Vec<IpAddr> = match &address.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) if is_localhost(name) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            // Which of its addresses that is only the host knows: what is published at all of them is so there.
            Host::Name(name) if HOST_OF_CONTAINERS.iter().any(|host| name.eq_ignore_ascii_case(host)) => {
                found.into_iter().chain([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]).collect()
            }
            Host::Name(_) => found.into_iter().collect(),
        };
        let leads = |outside: SocketAddr| {
            outside.port() == address.port && asked.iter().any(|asked| is_same_place(outside.ip(), *asked))
        };
        let mut to: Vec<SocketAddr> = Vec::new();
        for (outside, inside) in ways {
            let is_other = !asked.iter().any(|asked| SocketAddr::new(*asked, address.port) == inside);
            if leads(outside) && is_other && !to.contains(&inside) {
                to.push(inside);
            }
        }
        (!to.is_empty()).then(|| Self { from: address.clone(), to })
    }

    /// Returns what it leads around.
    pub fn from(&self) -> &Address {
        &self.from
    }

    /// Returns where to connect instead, if it leads around this address.
    pub(super) fn of(&self, address: &Address) -> Option<&[SocketAddr]> {
        (self.from == *address).then_some(self.to.as_slice())
    }
}

/// Whether who asks at `asked` asks what is published at `outside`. What is published at every address of the host is so at
/// loopback, of either family; an unspecified destination is loopback (Linux, ip(7)).
fn is_same_place(outside: IpAddr, asked: IpAddr) -> bool {
    let (outside, asked) = (outside.to_canonical(), asked.to_canonical());
    let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    outside == asked || outside.is_unspecified() && is_here(asked) || asked.is_unspecified() && outside.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says where `asked` leads if this is published, `outside>inside` each.
    fn check(asked: &str, published: &str, expected: &str) {
        check_found(asked, "", published, expected);
    }

    /// The same if the name led to `found`.
    fn check_found(asked: &str, found: &str, published: &str, expected: &str) {
        let address = Address::parse(asked).unwrap();
        let ways = published.split(' ').map(|way| way.split_once('>').unwrap());
        let ways = ways.map(|(outside, inside)| (outside.parse().unwrap(), inside.parse().unwrap()));
        let detour = Detour::around(&address, found.parse().ok(), ways);
        let to: Vec<String> =
            detour.iter().flat_map(|detour| detour.of(&address).unwrap()).map(ToString::to_string).collect();
        assert_eq!(to.join(" "), expected, "{asked} by {published}");
    }

    #[test]
    fn what_is_published_on_this_host_can_be_asked_inside() {
        let own = "172.18.0.3:80";
        for asked in
            ["127.0.0.1:8080", "127.0.0.2:8080", "localhost:8080", "web.localhost:8080", "[::1]:8080", "0.0.0.0:8080"]
        {
            check(asked, "0.0.0.0:8080>172.18.0.3:80", own);
        }
        check("[::1]:8080", "[::]:8080>172.18.0.3:80", own);
        check("127.0.0.1:8080", "127.0.0.1:8080>172.18.0.3:80", own);
        check("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080>172.18.0.3:80", own);
        check("0.0.0.0:8080", "127.0.0.1:8080>172.18.0.3:80", own);
        check("10.0.0.5:8080", "10.0.0.5:8080>172.18.0.3:80", own);
        check(
            "127.0.0.1:80",
            "0.0.0.0:80>172.18.0.3:80 [::]:80>172.18.0.3:80 0.0.0.0:80>172.19.0.3:80",
            "172.18.0.3:80 172.19.0.3:80",
        );
    }

    #[test]
    fn who_asks_something_else_has_no_other_way() {
        for asked in [
            "127.0.0.1:8081",
            "172.18.0.3:80",
            "172.18.0.3:8080",
            "10.0.0.5:8080",
            "web:8080",
            "example.com:8080",
            "localhost.example.com:8080",
        ] {
            check(asked, "0.0.0.0:8080>172.18.0.3:80", "");
        }
        check("127.0.0.1:8080", "127.0.0.2:8080>172.18.0.3:80", "");
        check("127.0.0.1:8080", "10.0.0.5:8080>172.18.0.3:80", "");
        check("172.18.0.3:80", "172.18.0.3:80>172.18.0.3:80", "");
    }

    #[test]
    fn a_name_leads_where_it_was_found() {
        let own = "172.18.0.3:80";
        check_found("shop.example.com:8080", "10.0.0.5", "10.0.0.5:8080>172.18.0.3:80", own);
        check_found("shop.example.com:8080", "127.0.0.1", "0.0.0.0:8080>172.18.0.3:80", own);
        check_found("shop.example.com:8080", "10.0.0.6", "10.0.0.5:8080>172.18.0.3:80 0.0.0.0:8080>172.18.0.3:80", "");
        // Who is in a container does not know the host's addresses, but its name.
        check_found("host.docker.internal:8080", "172.17.0.1", "0.0.0.0:8080>172.18.0.3:80", own);
        check("host.containers.internal:8080", "[::]:8080>172.18.0.3:80", own);
        check_found("host.docker.internal:8080", "172.17.0.1", "10.0.0.5:8080>172.18.0.3:80", "");
        check_found("host.docker.internal:8081", "172.17.0.1", "0.0.0.0:8080>172.18.0.3:80", "");
    }
}
