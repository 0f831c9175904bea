//! Who is reached without a proxy: `no_proxy`, and `NO_PROXY` of the environment, as golang.org/x/net/http/httpproxy reads
//! them.

use std::net::IpAddr;

use kit::http::Network;

use crate::probe::address::Host;

/// The list; each of one port, or of any.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<(Exception, Option<u16>)>);

#[derive(Debug, PartialEq, Eq)]
enum Exception {
    Everybody,
    /// This name and every one below it.
    Name(String),
    /// Every name below this one.
    Below(String),
    Addresses(Network),
}

impl Exceptions {
    /// Reads a list with commas; what cannot be read excepts nobody, as there.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.split(',').map(str::trim).filter_map(exception).collect())
    }

    /// Returns whether this host is reached without a proxy: by its name, or by the address it has, once that is known.
    /// Loopback always is.
    pub(super) fn has(&self, host: &Host, port: u16, address: Option<IpAddr>) -> bool {
        let (name, own) = match host {
            Host::Name(name) => (Some(name.as_str()), None),
            Host::Ip(ip) => (None, Some(*ip)),
        };
        let addresses = own.into_iter().chain(address);
        if name == Some("localhost") || addresses.clone().any(|address| address.to_canonical().is_loopback()) {
            return true;
        }
        let is_of = |exception: &Exception| match exception {
            Exception::Everybody => true,
            Exception::Name(known) => name.is_some_and(|name| name == known || is_below(name, known)),
            Exception::Below(known) => name.is_some_and(|name| is_below(name, known)),
            Exception::Addresses(network) => addresses.clone().any(|address| network.contains(address)),
        };
        let mut of_port = self.0.iter().filter(|(_, known)| known.is_none_or(|known| known == port));
        of_port.any(|(exception, _)| is_of(exception))
    }
}

fn is_below(name: &str, known: &str) -> bool {
    name.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'))
}

fn exception(word: &str) -> Option<(Exception, Option<u16>)> {
    if word == "*" {
        return Some((Exception::Everybody, None));
    }
    if let Ok(network) = word.parse() {
        return Some((Exception::Addresses(network), None));
    }
    let (host, port) = match word.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, Some(port)),
        _ => (word, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(network) = bare.parse() {
        return Some((Exception::Addresses(network), port));
    }
    let below = host.strip_prefix('*').unwrap_or(host).strip_prefix('.');
    let name = below.unwrap_or(host);
    // A name with letters that are not ASCII is what DNS calls it (RFC 5891), as it is in the target's URL.
    let name = url::Host::parse(name).map_or_else(|_| name.to_ascii_lowercase(), |name| name.to_string());
    let excepted = if below.is_some() { Exception::Below(name) } else { Exception::Name(name) };
    (!host.is_empty()).then_some((excepted, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_without_a_proxy_may_be_of_one_port() {
        let name = |name: &str| Exception::Name(name.to_owned());
        let below = |name: &str| Exception::Below(name.to_owned());
        let network = |network: &str| Exception::Addresses(network.parse().unwrap());
        for (word, expected) in [
            ("*", Some((Exception::Everybody, None))),
            ("Shop.example", Some((name("shop.example"), None))),
            (".shop.example", Some((below("shop.example"), None))),
            ("*.shop.example:8443", Some((below("shop.example"), Some(8443)))),
            ("bücher.example", Some((name("xn--bcher-kva.example"), None))),
            ("10.0.0.0/8", Some((network("10.0.0.0/8"), None))),
            ("10.0.0.1:80", Some((network("10.0.0.1"), Some(80)))),
            ("::1", Some((network("::1"), None))),
            ("[::1]:80", Some((network("::1"), Some(80)))),
            (":80", None),
            ("", None),
        ] {
            assert_eq!(exception(word), expected, "{word}");
        }
    }

    #[test]
    fn a_host_is_excepted_by_its_name_or_its_address_and_loopback_always_is() {
        for (list, host, address, expected) in [
            ("shop.example", "shop.example:80", None, true),
            ("shop.example", "a.shop.example:80", None, true),
            ("shop.example", "workshop.example:80", None, false),
            (".shop.example", "shop.example:80", None, false),
            (".shop.example", "a.shop.example:80", None, true),
            ("shop.example:443", "shop.example:80", None, false),
            ("10.0.0.0/8", "10.1.2.3:80", None, true),
            ("10.0.0.0/8", "shop.example:80", None, false),
            ("10.0.0.0/8", "shop.example:80", Some("10.1.2.3"), true),
            ("a,10.0.0.0/8 , b", "shop.example:80", Some("11.1.2.3"), false),
            ("a, *", "shop.example:80", None, true),
            ("", "localhost:80", None, true),
            ("", "127.0.0.2:80", None, true),
            ("", "[::1]:80", None, true),
            ("", "shop.example:80", Some("127.0.0.1"), true),
            ("", "shop.example:80", Some("192.0.2.1"), false),
        ] {
            let (host, port) = host.rsplit_once(':').unwrap();
            let (host, port) = (Host::parse(host).unwrap(), port.parse().unwrap());
            let address = address.map(|address: &str| address.parse().unwrap());
            assert_eq!(Exceptions::parse(list).has(&host, port, address), expected, "{list:?} {host} {address:?}");
        }
    }
}
