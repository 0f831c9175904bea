//! Who may be asked: what is not on the list is refused, by name before it is looked up, and by address before it is
//! connected to, so that a name whose address changes in between gains nothing.

use std::fmt;
use std::net::IpAddr;

use kit::config::Cursor;
use kit::http::Network;

use super::guarded::{GUARDED_NAMES, is_guarded, meant};
use crate::probe::address::{Address, Host};

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    rules: Vec<Rule>,
}

/// One entry: `[scheme://]host[:port]`, a network for a host, `*`, or the path of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    scheme: Option<String>,
    who: Who,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Everybody,
    /// In lower case and without a final dot.
    Name(String),
    /// Every name below this one.
    Below(String),
    Addresses {
        network: Network,
        /// True if it was written to reach what [`is_guarded`] guards.
        is_guarded: bool,
    },
    Socket(String),
    /// Ends with a slash.
    Folder(String),
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) scheme: &'a str,
    pub(super) host: &'a Host,
    /// None where the protocol has none.
    pub(super) port: Option<u16>,
}

impl<'a> Place<'a> {
    /// What is asked at this address.
    pub(super) fn of(scheme: &'a str, address: &'a Address) -> Self {
        Self { scheme, host: &address.host, port: Some(address.port) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}://{}:{port}", self.scheme, self.host),
            None => write!(f, "{}://{}", self.scheme, self.host),
        }
    }
}

impl Targets {
    /// Decodes the list.
    pub fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let items = cursor.items();
        if items.is_empty() {
            cursor.mistake("nobody may be asked; list hosts, networks or URLs, or write \"*\" for everybody");
            return None;
        }
        let rules: Vec<Option<Rule>> = items.iter().map(decode_rule).collect();
        Some(Self { rules: rules.into_iter().collect::<Option<_>>()? })
    }

    /// Returns whether everybody may be asked, which is worth a warning.
    pub fn is_open(&self) -> bool {
        self.rules.iter().any(|rule| match &rule.who {
            Who::Everybody => rule.port.is_none(),
            Who::Addresses { network, .. } => network.is_everything() && rule.port.is_none(),
            _ => false,
        })
    }

    /// Returns whether this may be asked, whatever its address is, or if its address is a listed one.
    pub(super) fn may(&self, place: Place<'_>) -> bool {
        let host = name_of(place.host);
        self.rules.iter().filter(|rule| rule.fits(place)).any(|rule| match (&rule.who, place.host) {
            (Who::Addresses { network, .. }, Host::Ip(ip)) => network.contains(meant(*ip)),
            (Who::Addresses { .. }, Host::Name(_)) => true,
            _ => rule.is_named(host.as_deref()),
        })
    }

    /// Returns whether this may be asked at this address.
    pub(super) fn permits(&self, place: Place<'_>, address: IpAddr) -> bool {
        let (address, host) = (meant(address), name_of(place.host));
        let guarded = is_guarded(address);
        self.rules.iter().filter(|rule| rule.fits(place)).any(|rule| match &rule.who {
            Who::Addresses { network, is_guarded } => network.contains(address) && (*is_guarded || !guarded),
            _ => !guarded && rule.is_named(host.as_deref()),
        })
    }

    /// Returns whether this may be asked where somebody else looks the name up, so that no address can be judged: a name
    /// must be listed as one, and one that leads to a cloud's credentials must be listed itself.
    pub(super) fn permits_name(&self, place: Place<'_>) -> bool {
        let host = match place.host {
            Host::Ip(ip) => return self.permits(place, *ip),
            Host::Name(name) => bare(name),
        };
        let is_guarded = GUARDED_NAMES.contains(&host.as_str());
        self.rules.iter().filter(|rule| rule.fits(place)).any(|rule| match &rule.who {
            Who::Name(name) => *name == host,
            _ => !is_guarded && rule.is_named(Some(&host)),
        })
    }

    /// Returns whether this socket may be asked.
    pub(super) fn permits_socket(&self, path: &str) -> bool {
        let is_plain = path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".");
        self.rules.iter().any(|rule| match &rule.who {
            Who::Everybody => rule.scheme.is_none() && rule.port.is_none(),
            Who::Socket(known) => known == path,
            Who::Folder(folder) => is_plain && path.starts_with(folder.as_str()),
            _ => false,
        })
    }
}

impl Rule {
    fn fits(&self, place: Place<'_>) -> bool {
        self.scheme.as_deref().is_none_or(|scheme| scheme == place.scheme)
            && self.port.is_none_or(|port| place.port == Some(port))
    }

    /// Whether the name alone is enough; none is that of an address.
    fn is_named(&self, host: Option<&str>) -> bool {
        match (&self.who, host) {
            (Who::Everybody, _) => true,
            (Who::Name(name), Some(host)) => name == host,
            (Who::Below(name), Some(host)) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            _ => false,
        }
    }
}

fn name_of(host: &Host) -> Option<String> {
    match host {
        Host::Name(name) => Some(bare(name)),
        Host::Ip(_) => None,
    }
}

fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

const HOW: &str = "write db.example.com:5432, https://*.example.com, 10.0.0.0/8:9100, /run/app.sock or \"*\"";

fn decode_rule(cursor: &Cursor<'_>) -> Option<Rule> {
    let text = cursor.text()?;
    let rule = parse(&text);
    if rule.is_none() {
        cursor.mistake(format!("{} is no target; {HOW}", cursor.node().shown()));
    }
    rule
}

fn parse(text: &str) -> Option<Rule> {
    if text.starts_with('/') {
        let is_plain = !text.split('/').any(|part| part == ".." || part == ".");
        let folder = text.strip_suffix('*').filter(|folder| folder.ends_with('/'));
        let who = folder.map_or_else(|| Who::Socket(text.to_owned()), |folder| Who::Folder(folder.to_owned()));
        return is_plain.then_some(Rule { scheme: None, who, port: None });
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest.strip_suffix('/').unwrap_or(rest)),
        None => (None, text),
    };
    let default = match scheme.as_deref() {
        None | Some("tcp" | "icmp" | "dns" | "grpc") => None,
        Some("http" | "ws") => Some(80),
        Some("https" | "wss") => Some(443),
        Some(_) => return None,
    };
    let (host, port) = split_port(rest)?;
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        None => default,
    };
    Some(Rule { scheme, who: parse_who(host)?, port })
}

/// `[::1]:80`, `2001:db8::/32`, `10.0.0.0/8:9100`, `name:80`.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after {
            "" => Some((host, None)),
            after => Some((host, Some(after.strip_prefix(':')?))),
        };
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => Some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn parse_who(host: &str) -> Option<Who> {
    if host == "*" {
        return Some(Who::Everybody);
    }
    if let Ok(network) = host.parse::<Network>() {
        let base = host.split('/').next().and_then(|base| base.parse().ok())?;
        return Some(Who::Addresses { network, is_guarded: is_guarded(meant(base)) });
    }
    let (is_below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    match Host::parse(name) {
        Some(Host::Name(name)) if is_name(&name) => {
            let name = bare(&name);
            Some(if is_below { Who::Below(name) } else { Who::Name(name) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn targets(rules: &str) -> Targets {
        Targets { rules: rules.split(' ').map(|rule| parse(rule).unwrap_or_else(|| panic!("{rule}"))).collect() }
    }

    /// `scheme://host:port@address`.
    fn permits(rules: &str, asked: &str) -> bool {
        let (place, address) = asked.split_once('@').unwrap();
        let (scheme, rest) = place.split_once("://").unwrap();
        let (host, port) = split_port(rest).unwrap();
        let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
        let place = Place { scheme, host: &host, port: port.map(|port| port.parse().unwrap()) };
        let permitted = targets(rules).permits(place, address.parse().unwrap());
        // Who is permitted was worth looking up.
        assert!(!permitted || targets(rules).may(place), "{rules}: {asked}");
        permitted
    }

    #[test]
    fn only_what_is_listed_may_be_asked() {
        let rules = "https://*.example.com 10.0.0.0/8:9100 db.example.com:5432 [::1]:80 192.0.2.0/24";
        for (asked, expected) in [
            ("https://a.example.com:443@192.0.3.1", true),
            ("https://a.b.EXAMPLE.com.:443@192.0.3.1", true),
            ("http://a.example.com:80@192.0.3.1", false),
            ("https://a.example.com:8443@192.0.3.1", false),
            ("https://example.com:443@192.0.3.1", false),
            ("https://evilexample.com:443@192.0.3.1", false),
            ("https://.example.com:443@192.0.3.1", false),
            ("tcp://db.example.com:5432@203.0.113.9", true),
            ("tcp://db.example.com:22@203.0.113.9", false),
            ("tcp://node:9100@10.1.2.3", true),
            ("tcp://10.1.2.3:9100@10.1.2.3", true),
            ("tcp://10.1.2.3:9101@10.1.2.3", false),
            ("icmp://10.1.2.3@10.1.2.3", false),
            ("icmp://192.0.2.7@192.0.2.7", true),
            ("http://[::1]:80@::1", true),
            ("http://[::]:80@::", true),
            ("http://localhost:80@127.0.0.1", false),
        ] {
            assert_eq!(permits(rules, asked), expected, "{asked}");
        }
    }

    #[test]
    fn a_name_gains_nothing_by_changing_its_address() {
        assert!(permits("10.0.0.0/8", "http://rebound.example:80@10.0.0.1"));
        assert!(!permits("10.0.0.0/8", "http://rebound.example:80@127.0.0.1"));
        assert!(permits("10.0.0.0/8", "http://rebound.example:80@::ffff:10.0.0.1"));
    }

    #[test]
    fn an_address_in_the_clothes_of_ipv6_is_what_it_leads_to() {
        for (asked, expected) in [
            ("64:ff9b:1::a01:203", true),
            ("64:ff9b:1::b01:203", false),
            ("2002:a01:203::1", true),
            ("2002:b01:203::1", false),
        ] {
            assert_eq!(permits("10.0.0.0/8", &format!("http://[{asked}]:80@{asked}")), expected, "{asked}");
        }
    }

    #[test]
    fn where_clouds_keep_credentials_must_be_listed_by_address() {
        for address in [
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00:0",
            "2002:a9fe:a9fe::1",
        ] {
            for rules in ["*", "0.0.0.0/0 ::/0", "metadata.example"] {
                assert!(!permits(rules, &format!("http://metadata.example:80@{address}")), "{rules} {address}");
            }
        }
        assert!(permits("169.254.169.254", "http://metadata.example:80@169.254.169.254"));
        assert!(permits("169.254.0.0/16:80", "http://169.254.169.254:80@169.254.169.254"));
    }

    #[test]
    fn what_somebody_else_looks_up_must_be_listed_by_name() {
        let permits = |rules: &str, host: &str| {
            let host = Host::parse(host).unwrap();
            targets(rules).permits_name(Place { scheme: "http", host: &host, port: Some(80) })
        };
        for (rules, host, expected) in [
            ("shop.example", "shop.example", true),
            ("*.example:80", "Shop.Example.", true),
            ("shop.example:81", "shop.example", false),
            ("10.0.0.0/8 0.0.0.0/0", "shop.example", false),
            ("*", "shop.example", true),
            ("*", "metadata.google.internal", false),
            ("*.internal *", "METADATA.google.internal.", false),
            ("metadata.google.internal", "metadata.google.internal", true),
            ("*", "10.0.0.1", true),
            ("*", "169.254.169.254", false),
            ("169.254.169.254", "169.254.169.254", true),
            ("10.0.0.0/8", "10.0.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
        ] {
            assert_eq!(permits(rules, host), expected, "{rules}: {host}");
        }
    }

    #[test]
    fn sockets_are_listed_by_path_or_folder() {
        let sockets = targets("/run/app.sock /run/apps/*");
        for (path, expected) in [
            ("/run/app.sock", true),
            ("/run/app.sock2", false),
            ("/run/apps/a.sock", true),
            ("/run/apps/b/c.sock", true),
            ("/run/apps/../docker.sock", false),
            ("run/apps/a.sock", false),
        ] {
            assert_eq!(sockets.permits_socket(path), expected, "{path}");
        }
        assert!(targets("*").permits_socket("/run/docker.sock"));
        assert!(!targets("10.0.0.0/8").permits_socket("/run/docker.sock"));
    }

    #[test]
    fn what_cannot_be_a_target_is_refused() {
        for text in
            ["", "a b", "ftp://x", "x:", "x:0", "x:99999", "*.*", "10.0.0.0/33", "*x.com", "/run/../x", "http://"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_outside_every_network_is_never_reached(bits: u32, port in 1_u16.., name in "[a-z]{1,8}\\.test") {
            let address = IpAddr::from(Ipv4Addr::from(bits));
            let inside = targets("10.0.0.0/8").permits(
                Place { scheme: "tcp", host: &Host::Name(name.clone()), port: Some(port) },
                address,
            );
            prop_assert_eq!(inside, bits >> 24 == 10);
            let mapped: IpAddr = Ipv4Addr::from(bits).to_ipv6_mapped().into();
            let host = Host::Ip(mapped);
            prop_assert_eq!(
                targets("10.0.0.0/8").permits(Place { scheme: "tcp", host: &host, port: Some(port) }, mapped),
                bits >> 24 == 10
            );
        }
    }
}
