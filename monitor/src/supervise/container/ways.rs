//! Where a container is reached: addresses of its own in the engine's networks, and ports that the engine publishes.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use bollard::models::{EndpointSettings, NetworkSettings, PortBinding};

use crate::supervise::described::Way;

/// Returns its address in each network, none where it has none; of both families IPv4.
pub(super) fn addresses(networks: HashMap<String, EndpointSettings>) -> BTreeMap<String, Option<IpAddr>> {
    let address = |endpoint: EndpointSettings| {
        let addresses = [endpoint.ip_address, endpoint.global_ipv6_address];
        addresses.into_iter().flatten().find_map(|address| address.parse().ok()).filter(is_a_containers)
    };
    networks.into_iter().map(|(name, endpoint)| (name, address(endpoint))).collect()
}

/// Engines give no others; were such a network made by hand, it must not lead to the host or to a cloud's metadata.
fn is_a_containers(address: &IpAddr) -> bool {
    let is_odd = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_odd || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

/// Returns each published TCP port with each of its own addresses behind it, networks in order of their names. In the
/// host's network it has no address, in another container's neither that nor ports.
pub(super) fn ways(settings: NetworkSettings) -> Vec<Way> {
    let own: Vec<IpAddr> = addresses(settings.networks.unwrap_or_default()).into_values().flatten().collect();
    let mut ways = Vec::new();
    for (private, bindings) in settings.ports.unwrap_or_default() {
        let Some(private) = private.strip_suffix("/tcp").and_then(|port| port.parse::<u16>().ok()) else { continue };
        for outside in bindings.iter().flatten().filter_map(published_at) {
            ways.extend(own.iter().map(|own| Way { outside, inside: SocketAddr::new(*own, private) }));
        }
    }
    // The engine lists ports in no order; those who compare must find the same each time. Addresses stay in theirs.
    ways.sort_by_key(|way| (way.outside, way.inside.port()));
    ways
}

/// Adds each address of this host (`own`) at which something is published that is published at all of them.
pub(super) fn at_each_address(ways: &mut Vec<Way>, own: &[IpAddr]) {
    let everywhere: Vec<Way> = ways.iter().filter(|way| way.outside.ip().is_unspecified()).copied().collect();
    for way in everywhere {
        let alike = own.iter().filter(|ip| ip.is_ipv4() == way.outside.is_ipv4());
        ways.extend(alike.map(|ip| Way { outside: SocketAddr::new(*ip, way.outside.port()), ..way }));
    }
}

/// Returns the addresses by which others reach this host, as far as they stay the same: loopback is known, and those of a
/// link come and go with containers (getifaddrs(3)).
pub(super) fn addresses_of_host() -> Vec<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let mut own: Vec<IpAddr> = interfaces.filter_map(address).filter(is_a_containers).collect();
    own.sort_unstable();
    own.dedup();
    own
}

fn published_at(binding: &PortBinding) -> Option<SocketAddr> {
    let port = binding.host_port.as_deref()?.parse().ok().filter(|port| *port != 0)?;
    // Podman leaves the address out where Docker writes 0.0.0.0.
    let ip = binding.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
    Some(SocketAddr::new(ip.parse().ok()?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says the ways in, each as `outside > inside`.
    fn check(settings: &str, expected: &[&str]) {
        let found = ways(serde_json::from_str(settings).unwrap());
        let shown: Vec<String> = found.iter().map(|way| format!("{} > {}", way.outside, way.inside)).collect();
        assert_eq!(shown, expected, "{settings}");
    }

    // The answers are those of Docker 26 (API 1.45), cut down.
    #[test]
    fn published_ports_lead_to_addresses_of_its_own() {
        check(
            r#"{"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}], "9000/tcp": null},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}}"#,
            &["0.0.0.0:8080 > 172.17.0.2:80", "[::]:8080 > 172.17.0.2:80"],
        );
        check(
            r#"{"Ports": {"80/tcp": [{"HostIp": "10.0.0.5", "HostPort": "81"}]},
            "Networks": {"front": {"IPAddress": "172.19.0.2"}, "back": {"IPAddress": "172.20.0.2"}, "none": {"IPAddress": ""}}}"#,
            &["10.0.0.5:81 > 172.20.0.2:80", "10.0.0.5:81 > 172.19.0.2:80"],
        );
        check(
            r#"{"Ports": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}, "Networks": {"six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}}}"#,
            &["0.0.0.0:80 > [fd00::2]:80"],
        );
    }

    #[test]
    fn what_is_published_everywhere_is_so_at_each_address_of_the_host() {
        let way = |outside: &str| Way { outside: outside.parse().unwrap(), inside: "172.18.0.3:80".parse().unwrap() };
        let mut ways = vec![way("0.0.0.0:8080"), way("10.0.0.9:81"), way("[::]:8080")];
        at_each_address(&mut ways, &["10.0.0.5", "10.0.0.6", "fd00::5"].map(|ip| ip.parse().unwrap()));
        let outside: Vec<String> = ways.iter().map(|way| way.outside.to_string()).collect();
        let added = ["10.0.0.5:8080", "10.0.0.6:8080", "[fd00::5]:8080"];
        assert_eq!(outside, [&["0.0.0.0:8080", "10.0.0.9:81", "[::]:8080"][..], &added].concat());
        let own = addresses_of_host();
        assert!(own.iter().all(|ip| !ip.is_loopback()) && own.is_sorted(), "{own:?}");
    }

    #[test]
    fn without_an_address_or_a_published_port_there_is_no_way() {
        for settings in [
            "{}",
            r#"{"Ports": {}, "Networks": {"host": {"IPAddress": ""}}}"#,
            r#"{"Ports": {"80/tcp": null}, "Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}"#,
            r#"{"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]}, "Networks": {"odd": {"IPAddress": "169.254.169.254"}}}"#,
            r#"{"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "0"}]}, "Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}"#,
        ] {
            check(settings, &[]);
        }
    }
}
