//! Echo requests and their replies, as bytes (RFC 792 page 14, RFC 4443 section 4).

use std::net::IpAddr;

use crate::probe::reader::Reader;

/// Random bytes at the front of the payload, which nobody else's packets have.
pub(super) const TOKEN_BYTES: u16 = 16;

/// Type of a request and of its reply: ICMP and ICMPv6.
const V4: (u8, u8) = (8, 0);
const V6: (u8, u8) = (128, 129);

/// What makes our packets ours.
#[derive(Debug)]
pub(in crate::probe) struct Mark {
    types: (u8, u8),
    /// None where the kernel chooses it, and hands us what carries it and nothing else (icmp(7)).
    ident: Option<u16>,
    payload: Vec<u8>,
}

impl Mark {
    /// Makes one for packets of this size.
    pub(in crate::probe) fn new(to: IpAddr, kernel_chooses: bool, size: u16) -> Self {
        let token: [u8; TOKEN_BYTES as usize] = rand::random();
        let payload = token.into_iter().cycle().take(usize::from(size)).collect();
        let ident = (!kernel_chooses).then(rand::random);
        Self { types: if to.is_ipv4() { V4 } else { V6 }, ident, payload }
    }

    /// The request of this number. The kernel fills in the checksum of ICMPv6, whose sum includes addresses.
    pub(in crate::probe) fn request(&self, number: u16) -> Vec<u8> {
        let mut bytes = vec![self.types.0, 0, 0, 0];
        bytes.extend(self.ident.unwrap_or_default().to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend(&self.payload);
        if self.types == V4 {
            let sum = checksum(&bytes).to_be_bytes();
            if let Some(place) = bytes.get_mut(2..4) {
                place.copy_from_slice(&sum);
            }
        }
        bytes
    }

    /// The number of the request that these bytes reply to, if they reply to one of ours.
    pub(in crate::probe) fn number_of(&self, bytes: &[u8]) -> Option<u16> {
        let mut rest = Reader(bytes);
        let (kind, code, _checksum) = (rest.u8()?, rest.u8()?, rest.u16()?);
        let (ident, number) = (rest.u16()?, rest.u16()?);
        let ours = (kind, code) == (self.types.1, 0)
            && self.ident.is_none_or(|expected| expected == ident)
            && rest.0 == self.payload;
        ours.then_some(number)
    }
}

/// Leaves out the IPv4 header, which raw sockets show (raw(7)).
pub(super) fn behind_ip_header(bytes: &[u8]) -> &[u8] {
    // The lower half of the first byte is its length in words of four bytes (RFC 791 section 3.1).
    let length = bytes.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    bytes.get(length..).unwrap_or_default()
}

/// The time to live in the IPv4 header, which raw sockets show.
pub(super) fn hops_of_ip_header(bytes: &[u8]) -> Option<u8> {
    // RFC 791 section 3.1.
    bytes.get(8).copied()
}

/// The internet checksum (RFC 1071 section 1).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or_default();
        u32::from(u16::from_be_bytes([pair.first().copied().unwrap_or_default(), low]))
    });
    // 65 515 bytes at most: the sum of their words fits.
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// What a host makes of a request: the same bytes as a reply.
    fn reply_to(request: &[u8], kind: u8) -> Vec<u8> {
        let mut reply = request.to_vec();
        reply[0] = kind;
        reply
    }

    #[test]
    fn only_the_reply_to_our_own_request_counts() {
        let here = Ipv4Addr::LOCALHOST.into();
        let (mark, other) = (Mark::new(here, false, 56), Mark::new(here, false, 56));
        let request = mark.request(7);
        assert_eq!(request.len(), 64);
        assert_eq!(checksum(&request), 0, "a sum over its own checksum is zero");
        let reply = reply_to(&request, 0);
        assert_eq!(mark.number_of(&reply), Some(7));
        assert_eq!(other.number_of(&reply), None, "somebody else's");
        assert_eq!(mark.number_of(&request), None, "our own request, which raw sockets show on loopback");
        assert_eq!(mark.number_of(&reply[..63]), None, "cut");
        let mut other_ident = reply.clone();
        other_ident[5] ^= 1;
        assert_eq!(mark.number_of(&other_ident), None);
        assert_eq!(Mark { ident: None, ..mark }.number_of(&other_ident), Some(7));
        let six = Mark::new(Ipv6Addr::LOCALHOST.into(), true, 16);
        assert_eq!(six.number_of(&reply_to(&six.request(65_535), 129)), Some(65_535));
    }

    #[test]
    fn an_ip_header_with_options_is_left_out() {
        let mut bytes = vec![0x46; 24];
        bytes.push(9);
        assert_eq!(behind_ip_header(&bytes), [9]);
        assert!(behind_ip_header(&[0x4f, 0]).is_empty());
        assert!(behind_ip_header(&[]).is_empty());
    }

    #[test]
    fn the_checksum_is_that_of_its_rfc() {
        // The example of RFC 1071 section 3.
        assert_eq!(!checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(!checksum(&[0x01]), 0x0100);
    }
}
