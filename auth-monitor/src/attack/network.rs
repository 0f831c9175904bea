//! Where somebody comes from: a host, or the block of addresses around it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Network {
    /// One address.
    Host(Ipv4Addr),
    /// 256 addresses: what one customer easily has.
    Block(Ipv4Addr),
    /// One host has 2^64 addresses of IPv6 (RFC 4291 section 2.5.4).
    Subnet(Ipv6Addr),
}

impl Network {
    /// Returns the host, or what counts as one.
    pub(super) fn host_of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Host(address),
            IpAddr::V6(address) => Self::Subnet((u128::from(address) & !u128::from(u64::MAX)).into()),
        }
    }

    /// Returns the block around an address, where it is more than the host.
    pub(super) fn block_of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(Self::Block((u32::from(address) & !0xff).into())),
            IpAddr::V6(_) => None,
        }
    }

    /// True for more than what counts as one host.
    pub(super) fn is_block(self) -> bool {
        matches!(self, Self::Block(_))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => write!(f, "{address}"),
            Self::Block(address) => write!(f, "{address}/24"),
            Self::Subnet(address) => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_are_one_network() {
        for (address, host, block) in
            [("192.0.2.7", "192.0.2.7", Some("192.0.2.0/24")), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", None)]
        {
            let address = address.parse().unwrap();
            assert_eq!(Network::host_of(address).to_string(), host);
            assert_eq!(Network::block_of(address).map(|block| block.to_string()).as_deref(), block);
        }
    }
}
