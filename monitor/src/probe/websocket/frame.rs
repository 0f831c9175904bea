//! Frames of WebSocket (RFC 6455 section 5.2).

use crate::probe::expect::MAX_JUDGED_BYTES;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::wire::Parsed;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    More = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// One frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) is_last: bool,
    pub(super) opcode: Opcode,
    pub(super) payload: Vec<u8>,
}

/// The bit that ends a message, and the one of a masked frame.
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Longest payload of a frame that is no message, and that a length of seven bits tells.
const SHORT: usize = 125;

/// Makes a frame that is a whole message; clients mask what they send, with bytes that nobody can foresee.
pub(super) fn encode(opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![LAST | opcode as u8];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if payload.len() <= SHORT => bytes.push(MASKED | length),
        (_, Ok(length)) => {
            bytes.push(MASKED | 126);
            bytes.extend(length.to_be_bytes());
        }
        (_, Err(_)) => {
            bytes.push(MASKED | 127);
            bytes.extend(u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Takes one whole frame.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Frame> {
    let mut rest = Reader(bytes);
    let (Some(first), Some(second)) = (rest.u8(), rest.u8()) else { return Ok(None) };
    let opcode = [Opcode::More, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
    let opcode = opcode.into_iter().find(|opcode| *opcode as u8 == first & 0x0f);
    let wrong = |text: &str| Outcome::fail(ReasonCode::Protocol, format!("not a frame of WebSocket: {text}"));
    let opcode = opcode.ok_or_else(|| wrong("its opcode is not known"))?;
    if first & 0x70 != 0 {
        return Err(wrong("it uses an extension nobody asked for"));
    }
    if second & MASKED != 0 {
        return Err(wrong("a server masks nothing"));
    }
    let is_last = first & LAST != 0;
    let short = usize::from(second);
    if opcode as u8 >= Opcode::Close as u8 && (!is_last || short > SHORT) {
        return Err(wrong("a control frame is short and whole"));
    }
    let length = match short {
        126 => rest.u16().map(usize::from),
        127 => rest.take(8).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))).map(saturated),
        length => Some(length),
    };
    let Some(length) = length else { return Ok(None) };
    if length > MAX_JUDGED_BYTES {
        let text = format!("a message of {length} bytes is more than the {MAX_JUDGED_BYTES} that are read");
        return Err(Outcome::fail(ReasonCode::TooLarge, text));
    }
    let Some(payload) = rest.take(length) else { return Ok(None) };
    Ok(Some((Frame { is_last, opcode, payload: payload.to_vec() }, bytes.len() - rest.0.len())))
}

fn saturated(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> String {
        match parse(bytes) {
            Err(Outcome::Fail(reason)) => reason.text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_are_those_of_their_rfc() {
        // RFC 6455 section 5.7.
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(encode(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]), masked);
        let unmasked = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let frame = Frame { is_last: true, opcode: Opcode::Text, payload: b"Hello".to_vec() };
        for end in 0..unmasked.len() {
            assert_eq!(parse(&unmasked[..end]), Ok(None), "{end}");
        }
        assert_eq!(parse(&[unmasked.as_slice(), b"more"].concat()), Ok(Some((frame, 7))));
        for length in [126, 256, 65_535, 65_536] {
            let sent = encode(Opcode::Binary, &vec![7; length], [0; 4]);
            let mut answered = sent.clone();
            // The same without its mask.
            answered[1] &= 0x7f;
            let head = answered.len() - length - 4;
            answered.drain(head..head + 4);
            let (frame, taken) = parse(&answered).unwrap().unwrap();
            assert_eq!((frame.payload.len(), taken), (length, answered.len()));
        }
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        assert_eq!(told(&[0x83, 0]), "not a frame of WebSocket: its opcode is not known");
        assert_eq!(told(&[0xc1, 0]), "not a frame of WebSocket: it uses an extension nobody asked for");
        assert_eq!(told(&[0x81, 0x80]), "not a frame of WebSocket: a server masks nothing");
        assert_eq!(told(&[0x09, 0]), "not a frame of WebSocket: a control frame is short and whole");
        assert_eq!(told(&[0x88, 126]), "not a frame of WebSocket: a control frame is short and whole");
        let huge = [0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(told(&huge), "a message of 18446744073709551615 bytes is more than the 262144 that are read");
    }
}
