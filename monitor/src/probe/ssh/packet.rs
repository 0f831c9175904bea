//! Packets of SSH before encryption (RFC 4253 section 6), the texts and numbers in them (RFC 4251 section 5), and the
//! identification that comes before all packets (RFC 4253 section 4.2).

use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::wire::{Parsed, foreign, line};

/// Longest packet that everybody takes, in bytes (RFC 4253 section 6.1).
const MAX_PACKET_BYTES: usize = 35_000;
/// Longest identification, in bytes with its end (RFC 4253 section 4.2); lines before it are held to the same.
const MAX_LINE_BYTES: usize = 255;
/// Lines of greeting that are read before the identification.
const MAX_LINES: usize = 64;
/// What OpenSSH says instead of its identification when it takes no more sessions, from anybody or from this host.
const FULL: [&str; 2] = ["Exceeded MaxStartups", "Not allowed at this time"];

/// Wraps a payload, unencrypted. Padding need not be random where nothing is secret.
pub(super) fn packet(payload: &[u8]) -> Vec<u8> {
    // Length, padding length, payload and padding together are a multiple of 8; of padding there are at least 4.
    let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
    let mut bytes = Vec::with_capacity(payload.len() + padding + 5);
    bytes.extend_from_slice(&length_of(payload.len() + padding + 1));
    bytes.push(u8::try_from(padding).unwrap_or(u8::MAX));
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// Takes the payload of one whole packet.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Vec<u8>> {
    let mut reader = Reader(bytes);
    let Some(length) = reader.u32() else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| (6..=MAX_PACKET_BYTES).contains(length));
    let Some(length) = length else { return Err(foreign("SSH", bytes)) };
    let Some(body) = reader.take(length) else { return Ok(None) };
    let payload = body.split_first().and_then(|(padding, rest)| rest.len().checked_sub(usize::from(*padding)));
    let payload = payload.filter(|length| *length > 0).and_then(|length| body.get(1..=length));
    match payload {
        Some(payload) => Ok(Some((payload.to_vec(), length + 4))),
        None => Err(foreign("SSH", bytes)),
    }
}

/// Takes the identification, without its end; lines of greeting before it are skipped.
pub(super) fn parse_identification(bytes: &[u8]) -> Parsed<String> {
    let mut at = 0;
    for _ in 0..MAX_LINES {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some((text, length)) = line(rest, MAX_LINE_BYTES, "SSH")? else { return Ok(None) };
        at += length;
        if text.starts_with("SSH-") {
            return Ok(Some((text, at)));
        }
        if FULL.contains(&text.as_str()) {
            return Err(Outcome::fail(ReasonCode::Rejected, format!("it takes no session now: {text}")));
        }
        if text.contains(char::is_control) || text.starts_with("HTTP/") {
            break;
        }
    }
    Err(foreign("SSH", bytes))
}

/// Appends a text with its length.
pub(super) fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&length_of(text.len()));
    bytes.extend_from_slice(text);
}

/// Appends a positive number: without leading zeros, and with one if it would look negative.
pub(super) fn push_number(bytes: &mut Vec<u8>, number: &[u8]) {
    let digits = without_zeros(number);
    let sign: &[u8] = if digits.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    push_text(bytes, &[sign, digits].concat());
}

/// Takes a text with its length.
pub(super) fn take_text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(reader.u32()?).ok()?;
    reader.take(length)
}

/// A number without leading zeros.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn length_of(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_whole_or_not_there() {
        for length in 1..40 {
            let payload = vec![7; length];
            let bytes = packet(&payload);
            assert_eq!(bytes.len() % 8, 0, "{length}");
            assert!(bytes.len() >= 16 && parse(&bytes[..bytes.len() - 1]).unwrap().is_none(), "{length}");
            assert_eq!(parse(&bytes), Ok(Some((payload, bytes.len()))));
        }
        for bytes in [&[0, 0, 0, 5, 4, 0, 0, 0, 0][..], &[255; 8], &[0, 0, 0, 6, 6, 0, 0, 0, 0, 0]] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_identification_may_come_after_a_greeting() {
        let text = b"Only for members\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\0\0";
        assert_eq!(parse_identification(text), Ok(Some(("SSH-2.0-OpenSSH_9.2p1 Debian-2".to_owned(), 50))));
        assert_eq!(parse_identification(&text[..40]), Ok(None));
        for text in ["\u{1}\u{2}x\r\n", "HTTP/1.1 400\r\n", &"x".repeat(300), &"hello\r\n".repeat(70)] {
            assert!(parse_identification(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_have_no_zeros_but_their_sign() {
        // RFC 4251 section 5.
        let number = |digits: &[u8]| {
            let mut bytes = Vec::new();
            push_number(&mut bytes, digits);
            bytes
        };
        assert_eq!(number(&[0, 0]), [0, 0, 0, 0]);
        assert_eq!(number(&[0, 0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(number(&[0, 9, 0xa3]), [0, 0, 0, 2, 9, 0xa3]);
    }
}
