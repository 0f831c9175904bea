//! What nobody is asked at by accident: which address is really reached, and whether clouds hand out credentials there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What guarded addresses are called where they are (the documentation of GCP's and EC2's metadata service, and of Tencent's).
pub(super) const GUARDED_NAMES: [&str; 6] = [
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data.ec2.internal",
    "instance-data",
    "metadata.tencentyun.com",
];

/// The address that is really reached: IPv4 in IPv6 clothes is IPv4, also in those of NAT64 (RFC 6052 section 2.1), of its
/// local prefix (RFC 8215; with any length of RFC 6052 section 2.2 from 48 bits on) and of 6to4 (RFC 3056 section 2); an
/// unspecified address is loopback (Linux, ip(7)).
pub(super) fn meant(address: IpAddr) -> IpAddr {
    let address = match address.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4_of(high, low),
            [0x64, 0xff9b, 1, ..] => embedded(v6),
            _ => IpAddr::V6(v6),
        },
        v4 => v4,
    };
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn v4_of(high: u16, low: u16) -> IpAddr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d).into()
}

/// The IPv4 address behind a prefix whose length only its network knows. One that is guarded counts wherever it stands; else
/// the longest prefix does, which is the usual one.
fn embedded(v6: Ipv6Addr) -> IpAddr {
    let [.., g, h, _, j, k, l, m, n, o, p] = v6.octets();
    // RFC 6052 section 2.2: prefixes of 48, 56, 64 and 96 bits; the ninth byte is left out.
    let places = [[g, h, j, k], [h, j, k, l], [j, k, l, m], [m, n, o, p]].map(IpAddr::from);
    let [.., last] = places;
    places.into_iter().find(|address| is_guarded(*address)).unwrap_or(last)
}

/// Where clouds hand out credentials to whoever asks from the machine (AWS, GCP, Azure and others: 169.254.169.254; AWS also
/// fd00:ec2::254, and fd00:ec2::23 for pods of EKS; GCP fd20:ce::254; Scaleway fd00:42::42; Azure's 168.63.129.16; Alibaba's
/// 100.100.100.200), and every other link-local address.
pub(super) fn is_guarded(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || matches!(v4.octets(), [168, 63, 129, 16] | [100, 100, 100, 200]),
        IpAddr::V6(v6) => {
            let is_of_a_cloud = matches!(
                v6.segments(),
                [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23]
                    | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
                    | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]
            );
            v6.is_unicast_link_local() || is_of_a_cloud
        }
    }
}
