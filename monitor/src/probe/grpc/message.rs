//! The messages of the health service (`grpc/health/v1/health.proto`), in the encoding of protocol buffers.

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;

/// Field 1 with a length, and field 1 with a number ("Encoding", protobuf.dev).
const TEXT_1: u8 = 0x0a;
const NUMBER_1: u64 = 0x08;

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::probe) enum State {
    Unknown,
    Serving,
    NotServing,
    ServiceUnknown,
    Other(u64),
}

/// `HealthCheckRequest`, in the frame of a message that is not compressed.
pub(in crate::probe) fn encode_question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(TEXT_1);
        let mut length = service.len();
        while let rest @ 1.. = length >> 7 {
            message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
            length = rest;
        }
        message.push(u8::try_from(length).unwrap_or_default());
        message.extend(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], length.as_slice(), &message].concat()
}

/// `HealthCheckResponse`; fields we do not know are skipped.
pub(in crate::probe) fn decode_answer(bytes: &[u8]) -> Result<State, Outcome> {
    let wrong = |what: &str| Outcome::fail(ReasonCode::Protocol, format!("{what}: {:?}", excerpt(bytes)));
    let mut frame = Reader(bytes);
    match frame.u8() {
        None => return Err(wrong("the answer has no message")),
        Some(0) => {}
        Some(_) => return Err(wrong("the answer is compressed, though nobody asked for it")),
    }
    let message = frame.u32().and_then(|length| frame.take(usize::try_from(length).ok()?));
    let mut rest = Reader(message.ok_or_else(|| wrong("the answer is cut"))?);
    // What is left at its default is not sent: 0 is UNKNOWN.
    let mut serving = 0;
    while !rest.0.is_empty() {
        let field = varint(&mut rest).ok_or_else(|| wrong("the answer is no HealthCheckResponse"))?;
        let skipped = match field & 7 {
            0 => varint(&mut rest).map(|number| {
                if field == NUMBER_1 {
                    serving = number;
                }
            }),
            1 => rest.take(8).map(drop),
            2 => varint(&mut rest).and_then(|length| rest.take(usize::try_from(length).ok()?)).map(drop),
            5 => rest.take(4).map(drop),
            _ => None,
        };
        skipped.ok_or_else(|| wrong("the answer is no HealthCheckResponse"))?;
    }
    Ok(match serving {
        0 => State::Unknown,
        1 => State::Serving,
        2 => State::NotServing,
        3 => State::ServiceUnknown,
        other => State::Other(other),
    })
}

fn varint(rest: &mut Reader<'_>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = rest.u8()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_sent_with_its_length() {
        assert_eq!(encode_question(""), [0, 0, 0, 0, 0]);
        assert_eq!(encode_question("shop"), *b"\0\0\0\0\x06\x0a\x04shop");
        let long = encode_question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 308);
    }

    #[test]
    fn only_the_answers_status_counts() {
        for (bytes, serving) in [
            (b"\0\0\0\0\x02\x08\x01".as_slice(), State::Serving),
            (b"\0\0\0\0\x00", State::Unknown),
            (b"\0\0\0\0\x02\x08\x02", State::NotServing),
            (b"\0\0\0\0\x08\x12\x02hi\x10\x05\x08\x03", State::ServiceUnknown),
            (b"\0\0\0\0\x03\x08\x80\x01", State::Other(128)),
        ] {
            assert_eq!(decode_answer(bytes), Ok(serving), "{bytes:?}");
        }
        for bytes in [
            b"".as_slice(),
            b"\x01\0\0\0\0",
            b"\0\0\0\0\x05\x08",
            b"\0\0\0\0\x01\x08",
            b"\0\0\0\0\x02\x0b\x01",
            b"<html>",
        ] {
            assert!(decode_answer(bytes).is_err(), "{bytes:?}");
        }
        assert!(
            decode_answer(&[&[0, 0, 0, 0, 12, 8], [0xff; 11].as_slice()].concat()).is_err(),
            "a number without end"
        );
    }
}
