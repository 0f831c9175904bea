//! Where a container is reached: addresses of its own in the engine's networks, and ports that the engine publishes. Pure.

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
