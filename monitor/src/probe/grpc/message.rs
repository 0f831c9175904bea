//! The messages of the health service (`grpc/health/v1/health.proto`), in the encoding of protocol buffers.

use prost::Message;

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;

/// `HealthCheckRequest`
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse`; its enumeration is open.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(uint64, tag = "1")]
    status: u64,
}

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
    let message = Question { service: service.to_owned() }.encode_to_vec();
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
    let message = message.ok_or_else(|| wrong("the answer is cut"))?;
    let answer = Answer::decode(message).map_err(|_error| wrong("the answer is no HealthCheckResponse"))?;
    Ok(match answer.status {
        0 => State::Unknown,
        1 => State::Serving,
        2 => State::NotServing,
        3 => State::ServiceUnknown,
        other => State::Other(other),
    })
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
