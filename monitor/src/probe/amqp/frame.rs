//! Frames and methods of AMQP 0-9-1 (specification, sections 2.3, 4.2 and the class reference).

use serde_json::{Map, Value as Json};

use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::wire::{Parsed, foreign};

/// What a client begins with: the protocol and its version (section 4.2.2).
pub(super) const HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";
/// Largest frame that we take, in bytes: what RabbitMQ itself offers.
pub(super) const MAX_FRAME_BYTES: u32 = 131_072;
/// Kinds of frames, and the byte that ends each (section 4.2.3).
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xce;

/// A method's class and number.
pub(super) type Name = (u16, u16);
pub(super) const START: Name = (10, 10);
pub(super) const START_OK: Name = (10, 11);
pub(super) const TUNE: Name = (10, 30);
pub(super) const TUNE_OK: Name = (10, 31);
pub(super) const OPEN: Name = (10, 40);
pub(super) const OPEN_OK: Name = (10, 41);
pub(super) const CLOSE: Name = (10, 50);
/// RabbitMQ's extension "Blocked Connection Notifications".
pub(super) const BLOCKED: Name = (10, 60);
pub(super) const CHANNEL_OPEN: Name = (20, 10);
pub(super) const CHANNEL_OPEN_OK: Name = (20, 11);
pub(super) const CHANNEL_CLOSE: Name = (20, 40);
pub(super) const DECLARE: Name = (50, 10);
pub(super) const DECLARE_OK: Name = (50, 11);
pub(super) const PUBLISH: Name = (60, 40);
pub(super) const ACK: Name = (60, 80);
pub(super) const NACK: Name = (60, 120);
/// RabbitMQ's extension "Publisher Confirms".
pub(super) const CONFIRM: Name = (85, 10);
pub(super) const CONFIRM_OK: Name = (85, 11);

/// One frame; those that carry no method have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) method: Option<Name>,
    /// What follows the method's name.
    pub(super) arguments: Vec<u8>,
}

/// Takes one whole frame.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Frame> {
    if bytes.starts_with(b"AMQP") {
        return other_version(bytes);
    }
    let mut rest = Reader(bytes);
    let Some(kind) = rest.u8() else { return Ok(None) };
    // Kind `A` is how the answer of another version begins.
    if ![METHOD, CONTENT_HEADER, 3, HEARTBEAT, b'A'].contains(&kind) {
        return Err(foreign("AMQP", bytes));
    }
    let (Some(_channel), Some(size)) = (rest.u16(), rest.u32()) else { return Ok(None) };
    if size > MAX_FRAME_BYTES {
        return Err(foreign("AMQP", bytes));
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let (Some(payload), Some(end)) = (rest.take(size), rest.u8()) else { return Ok(None) };
    let mut arguments = Reader(payload);
    let method = if kind == METHOD { arguments.u16().zip(arguments.u16()) } else { None };
    if end != END || (kind == METHOD && method.is_none()) {
        return Err(foreign("AMQP", bytes));
    }
    Ok(Some((Frame { method, arguments: arguments.0.to_vec() }, size + 8)))
}

/// A server that does not speak our version says which it does, and closes.
fn other_version(bytes: &[u8]) -> Parsed<Frame> {
    let Some([kind, major, minor, revision]) = bytes.get(4..8) else { return Ok(None) };
    let spoken = match (kind, major) {
        (_, 1..) => format!("{major}.{minor}"),
        (_, 0) => format!("{major}-{minor}-{revision}"),
    };
    Err(Outcome::fail(ReasonCode::Protocol, format!("it speaks AMQP {spoken}, not 0-9-1")))
}

/// A method as it is sent; those of connections go by channel 0.
pub(super) fn method(channel: u16, name: Name, arguments: &[u8]) -> Vec<u8> {
    let payload = [&name.0.to_be_bytes(), &name.1.to_be_bytes(), arguments].concat();
    framed(METHOD, channel, &payload)
}

/// What follows a publication: an empty message of class `basic` without properties.
pub(super) fn nothing(channel: u16) -> Vec<u8> {
    framed(CONTENT_HEADER, channel, &[&PUBLISH.0.to_be_bytes()[..], &[0; 12]].concat())
}

fn framed(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&[kind], &channel.to_be_bytes()[..], &size.to_be_bytes(), payload, &[END]].concat()
}

/// A text of at most 255 bytes; settings keep it within that.
pub(super) fn short(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[length], text.as_bytes()].concat()
}

/// A text, a table, or anything else that says its length in four bytes.
pub(super) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes(), bytes].concat()
}

/// Takes a text of at most 255 bytes.
pub(super) fn take_short<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u8()?;
    reader.take(usize::from(length))
}

/// Takes what says its length in four bytes.
pub(super) fn take_long<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u32()?;
    reader.take(usize::try_from(length).ok()?)
}

/// Reads the texts of a table; what else it holds is passed over, and ends the reading if its length is not known.
pub(super) fn texts(table: &[u8]) -> Map<String, Json> {
    let (mut rest, mut found) = (Reader(table), Map::new());
    while let (Some(key), Some(kind)) = (take_short(&mut rest), rest.u8()) {
        let passed = match kind {
            b'S' => take_long(&mut rest).map(|text| {
                found.insert(String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(text).into());
            }),
            // Tables, lists and bytes; then values by their width (RabbitMQ, "AMQP 0-9-1 Errata", section 3).
            b'F' | b'A' | b'x' => take_long(&mut rest).map(drop),
            b't' | b'b' | b'B' => rest.take(1).map(drop),
            b's' | b'u' => rest.take(2).map(drop),
            b'I' | b'i' | b'f' => rest.take(4).map(drop),
            b'D' => rest.take(5).map(drop),
            b'l' | b'd' | b'T' => rest.take(8).map(drop),
            b'V' => Some(()),
            _ => None,
        };
        if passed.is_none() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_may_come_in_pieces() {
        let bytes = method(1, CHANNEL_OPEN_OK, &long(b""));
        assert_eq!(bytes, b"\x01\0\x01\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce");
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
        }
        let frame = Frame { method: Some(CHANNEL_OPEN_OK), arguments: vec![0; 4] };
        assert_eq!(parse(&bytes), Ok(Some((frame, bytes.len()))));
        assert_eq!(parse(b"\x08\0\0\0\0\0\0\xce").unwrap().unwrap().0.method, None);
    }

    #[test]
    fn what_is_not_of_the_protocol_is_refused() {
        for bytes in
            [&b"HTTP/1.1"[..], b"\x01\x02this is", b"\x15\x03\x03", b"\x01\0\0\0\0\0\0\xce", b"\x08\0\0\0\0\0\0\0"]
        {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        for (bytes, version) in
            [(&b"AMQP\0\x01\0\0"[..], "1.0"), (b"AMQP\x03\x01\0\0", "1.0"), (b"AMQP\0\0\x08\0", "0-8-0")]
        {
            let expected = Outcome::fail(ReasonCode::Protocol, format!("it speaks AMQP {version}, not 0-9-1"));
            assert_eq!(parse(bytes), Err(expected));
        }
    }

    #[test]
    fn texts_are_found_among_other_values() {
        let table = b"\x01aF\0\0\0\x02xx\x01bt\x01\x01cS\0\0\0\x03yes\x01dl\0\0\0\0\0\0\0\0\x01eS\0\0\0\x01!\x01f?\x01gS\0\0\0\0";
        assert_eq!(Json::Object(texts(table)).to_string(), r#"{"c":"yes","e":"!"}"#);
        assert_eq!(texts(b"\x01cS\0\0\0\x09cut"), Map::new());
    }
}
