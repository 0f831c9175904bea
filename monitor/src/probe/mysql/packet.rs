//! Packets of MySQL's client/server protocol (MySQL source documentation, "Client/Server Protocol", section "Packets").

use crate::probe::expect::MAX_JUDGED_BYTES;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::wire::{Parsed, foreign};

/// Begins an error.
pub(super) const ERROR: u8 = 0xff;
/// Begins the greeting: the protocol's version.
pub(super) const GREETING: u8 = 10;

/// One packet: its number within an exchange, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) number: u8,
    pub(super) body: Vec<u8>,
}

impl Packet {
    /// Its first byte says what it is.
    pub(super) fn kind(&self) -> Option<u8> {
        self.body.first().copied()
    }

    /// What follows the first byte.
    pub(super) fn rest(&self) -> Reader<'_> {
        Reader(self.body.get(1..).unwrap_or_default())
    }

    /// True for what ends columns and rows; a row may begin with the same byte, and is longer then.
    pub(super) fn is_end(&self) -> bool {
        self.kind() == Some(0xfe) && self.body.len() < 9
    }
}

/// Takes one whole packet.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Packet> {
    let mut rest = Reader(bytes);
    let (Some(length), Some(number)) = (rest.little(3), rest.u8()) else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_JUDGED_BYTES {
        let text = format!("a packet of {length} bytes is more than the {MAX_JUDGED_BYTES} that are read");
        return Err(Outcome::fail(ReasonCode::TooLarge, text));
    }
    Ok(rest.take(length).map(|body| (Packet { number, body: body.to_vec() }, length + 4)))
}

/// Takes the packet that a server begins with: a greeting, or why there is none.
pub(super) fn parse_first(bytes: &[u8]) -> Parsed<Packet> {
    let (number, kind) = (bytes.get(3), bytes.get(4));
    if number.is_some_and(|number| *number != 0) || kind.is_some_and(|kind| ![GREETING, ERROR].contains(kind)) {
        return Err(foreign("MySQL", bytes));
    }
    parse(bytes)
}

/// A packet as it is sent.
pub(super) fn framed(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes: Vec<u8> = length.into_iter().take(3).collect();
    bytes.push(number);
    bytes.extend_from_slice(body);
    bytes
}

/// A command begins an exchange of its own.
pub(super) fn command(kind: u8, text: &str) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend_from_slice(text.as_bytes());
    framed(0, &body)
}

/// Takes a number that says its own length.
pub(super) fn number(reader: &mut Reader<'_>) -> Option<u64> {
    match reader.u8()? {
        0xfc => reader.little(2),
        0xfd => reader.little(3),
        0xfe => reader.little(8),
        // No value at all, and what begins an error.
        0xfb | 0xff => None,
        small => Some(u64::from(small)),
    }
}

/// Takes a text that begins with its length.
pub(super) fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = number(reader)?;
    reader.take(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_may_come_in_pieces() {
        let bytes = framed(3, b"abc");
        assert_eq!(bytes, [3, 0, 0, 3, b'a', b'b', b'c']);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(parse(&bytes), Ok(Some((Packet { number: 3, body: b"abc".to_vec() }, 7))));
        assert!(parse(&[0xff, 0xff, 0xff, 0]).is_err());
    }

    #[test]
    fn only_a_greeting_or_an_error_begins() {
        for bytes in [&b"HTTP/1.1"[..], b"\x01\x02this", b"\x15\x03\x03\0\x02\x02\x28", b"\x01\0\0\0\x09"] {
            assert!(parse_first(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(parse_first(b"\x09\0\0\0\x0a"), Ok(None));
    }

    #[test]
    fn numbers_say_their_own_length() {
        for (bytes, expected) in [
            (&[7][..], Some(7)),
            (&[0xfc, 1, 2], Some(0x201)),
            (&[0xfd, 1, 2, 3], Some(0x0003_0201)),
            (&[0xfe, 1, 0, 0, 0, 0, 0, 0, 0], Some(1)),
            (&[0xfb], None),
            (&[0xfc, 1], None),
        ] {
            assert_eq!(number(&mut Reader(bytes)), expected, "{bytes:?}");
        }
    }
}
