//! Published ports in all their forms: `8080:80`, `127.0.0.1:8080-8081:80-81/udp`, `{ target: 80, published: "8080" }`.

use std::ops::RangeInclusive;

use kit::config::{Node, Place};

/// One line of `ports`.
#[derive(Debug, Clone)]
pub struct Port {
    /// Where it stands.
    pub place: Place,
    /// Ports inside the container.
    pub inside: RangeInclusive<u16>,
    /// Ports of the host; none where Docker chooses.
    pub outside: Option<RangeInclusive<u16>>,
    /// The host's address; empty for all.
    pub address: String,
    /// True for UDP.
    pub is_udp: bool,
}

impl Port {
    /// Reads one item of the list.
    pub(super) fn of(node: &Node) -> Option<Self> {
        if let Some(target) = node.child("target") {
            let text = |key| node.child(key).and_then(Node::scalar_text);
            return Some(Self {
                place: target.place.clone(),
                inside: range(&target.scalar_text()?)?,
                outside: text("published").and_then(|text| range(&text)),
                address: text("host_ip").unwrap_or_default(),
                is_udp: text("protocol").is_some_and(|protocol| protocol == "udp"),
            });
        }
        let text = node.scalar_text()?;
        let (text, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let (rest, inside) = text.rsplit_once(':').unwrap_or(("", text));
        let (address, outside) = rest.rsplit_once(':').unwrap_or(("", rest));
        Some(Self {
            place: node.place.clone(),
            inside: range(inside)?,
            outside: range(outside),
            address: address.trim_matches(['[', ']']).to_owned(),
            is_udp: protocol == "udp",
        })
    }

    /// Returns true if both would need the same port of the host.
    pub fn meets(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.outside, &other.outside) else { return false };
        let every = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
        let same_address = self.address == other.address || every(&self.address) || every(&other.address);
        same_address && self.is_udp == other.is_udp && own.start() <= others.end() && others.start() <= own.end()
    }

    /// Returns the port inside that a port of the host leads to.
    pub fn inside_of(&self, outside: u16) -> Option<u16> {
        let own = self.outside.as_ref().filter(|own| own.contains(&outside))?;
        self.inside.start().checked_add(outside - own.start())
    }
}

/// Reads `80` or `80-90`.
pub(super) fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Some(from.trim().parse().ok()?..=to.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_in_all_their_forms() {
        for (yaml, expected) in [
            ("80", "80-80 None "),
            ("'8080:80/udp'", "80-80 Some(8080..=8080)  udp"),
            ("'127.0.0.1:8080-8081:80-81'", "80-81 Some(8080..=8081) 127.0.0.1"),
            ("'[::1]:1:2'", "2-2 Some(1..=1) ::1"),
            ("{ target: 80, published: '8080', host_ip: 127.0.0.1 }", "80-80 Some(8080..=8080) 127.0.0.1"),
        ] {
            let port = Port::of(&Node::parse("c.yml", yaml).unwrap()).unwrap();
            let udp = if port.is_udp { " udp" } else { "" };
            let (from, to) = (port.inside.start(), port.inside.end());
            assert_eq!(format!("{from}-{to} {:?} {}{udp}", port.outside, port.address), expected, "{yaml}");
        }
        assert!(Port::of(&Node::parse("c.yml", "http").unwrap()).is_none());
    }

    #[test]
    fn ports_meet_on_one_address_or_on_all() {
        let port = |yaml: &str| Port::of(&Node::parse("c.yml", yaml).unwrap()).unwrap();
        assert!(port("'80:1'").meets(&port("'127.0.0.1:80:2'")));
        assert!(port("'80-82:1-3'").meets(&port("'82:2'")));
        assert!(!port("'127.0.0.1:80:1'").meets(&port("'127.0.0.2:80:2'")));
        assert!(!port("'80:1/udp'").meets(&port("'80:2'")));
        assert_eq!(port("'80-82:1-3'").inside_of(81), Some(2));
    }
}
