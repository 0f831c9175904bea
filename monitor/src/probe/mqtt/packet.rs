//! Control packets of MQTT 3.1.1 (OASIS standard, sections 2 and 3).

use crate::probe::expect::MAX_JUDGED_BYTES;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::wire::{Parsed, foreign};

/// First bytes of packets: the kind, and flags that are fixed for most of them (sections 2.2.1 and 2.2.2).
const CONNECT: u8 = 0x10;
pub(super) const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
pub(super) const SUBACK: u8 = 0x90;
pub(super) const PINGRESP: u8 = 0xd0;
pub(super) const PING: [u8; 2] = [0xc0, 0];
pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];
/// Seconds after which the broker may give us up; no probe is that long.
const KEEP_ALIVE_SECS: u16 = 3600;
/// Longest text in a packet, in bytes (section 1.5.3).
pub(super) const MAX_TEXT_BYTES: usize = 65_535;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    /// Its first byte.
    pub(super) head: u8,
    pub(super) body: Vec<u8>,
}

impl Packet {
    /// Returns topic and payload, if this is a message.
    pub(super) fn message(&self) -> Option<(&[u8], &[u8])> {
        if self.head & 0xf0 != PUBLISH {
            return None;
        }
        let mut reader = Reader(&self.body);
        let length = reader.u16()?;
        let topic = reader.take(usize::from(length))?;
        // A number follows where the message is to be acknowledged.
        if self.head & 0x06 != 0 {
            reader.u16()?;
        }
        Some((topic, reader.0))
    }
}

/// Takes one whole packet.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Packet> {
    let Some((&head, rest)) = bytes.split_first() else { return Ok(None) };
    // Kinds 0 and 15 are not used, and kind 1 is ours to send.
    if matches!(head >> 4, 0 | 1 | 15) {
        return Err(foreign("MQTT", bytes));
    }
    let (mut length, mut digits) = (0_usize, 0);
    loop {
        let Some(&digit) = rest.get(digits) else { return Ok(None) };
        length |= usize::from(digit & 0x7f) << (7 * digits);
        digits += 1;
        match digit & 0x80 {
            0 => break,
            // Four digits at most (section 2.2.3).
            _ if digits == 4 => return Err(foreign("MQTT", bytes)),
            _ => {}
        }
    }
    if length > MAX_JUDGED_BYTES {
        let text = format!("a packet of {length} bytes is more than the {MAX_JUDGED_BYTES} that are read");
        return Err(Outcome::fail(ReasonCode::TooLarge, text));
    }
    let body = rest.get(digits..digits + length);
    Ok(body.map(|body| (Packet { head, body: body.to_vec() }, 1 + digits + length)))
}

/// Takes the answer to CONNECT, which is the first packet that a broker sends (section 3.2).
pub(super) fn parse_answer(bytes: &[u8]) -> Parsed<Packet> {
    match bytes.first() {
        None | Some(&CONNACK) => parse(bytes),
        Some(_) => Err(foreign("MQTT", bytes)),
    }
}

/// Says who we are, for a session that leaves nothing behind.
pub(super) fn connect(client: &str, username: Option<&str>, password: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, b"MQTT");
    let flags = 0x02 | u8::from(username.is_some()) << 7 | u8::from(password.is_some()) << 6;
    body.extend_from_slice(&[4, flags]);
    body.extend_from_slice(&KEEP_ALIVE_SECS.to_be_bytes());
    for text in [Some(client), username, password].into_iter().flatten() {
        push_text(&mut body, text.as_bytes());
    }
    framed(CONNECT, &body)
}

/// Asks for what is published on a topic, once at most.
pub(super) fn subscribe(topic: &str) -> Vec<u8> {
    // The packet's number.
    let mut body = vec![0, 1];
    push_text(&mut body, topic.as_bytes());
    body.push(0);
    framed(SUBSCRIBE, &body)
}

/// Publishes, once at most and not kept.
pub(super) fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, topic.as_bytes());
    body.extend_from_slice(payload);
    framed(PUBLISH, &body)
}

fn framed(head: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    let mut length = body.len();
    loop {
        let digit = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        bytes.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// Settings keep texts within their limit.
fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_may_come_in_pieces_and_be_long() {
        let bytes = publish("a/b", &[b'x'; 300]);
        // Section 2.2.3: 305 is 0xb1 0x02.
        assert_eq!(bytes[..8], [0x30, 0xb1, 0x02, 0, 3, b'a', b'/', b'b']);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
        }
        let (packet, length) = parse(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(packet.message(), Some((&b"a/b"[..], &[b'x'; 300][..])));
        let kept = Packet { head: 0x33, body: b"\0\x01a\0\x07hello".to_vec() };
        assert_eq!(kept.message(), Some((&b"a"[..], &b"hello"[..])));
        assert_eq!(Packet { head: 0x30, body: b"\0\x09a".to_vec() }.message(), None);
    }

    #[test]
    fn what_is_not_of_the_protocol_is_refused() {
        for bytes in [&b"\x01\x02this"[..], b"\x10\0", b"\xf0\0", b"\x30\xff\xff\xff\xff", b"\x30\xff\xff\x7f"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        assert!(parse_answer(b"HTTP/1.1 400").is_err());
    }

    #[test]
    fn who_we_are_is_said_as_the_standard_has_it() {
        let bytes = connect("me", Some("u"), Some("p"));
        assert_eq!(bytes, b"\x10\x14\0\x04MQTT\x04\xc2\x0e\x10\0\x02me\0\x01u\0\x01p");
    }
}
