//! Messages of PostgreSQL's protocol, version 3.0 (manual, chapter "Frontend/Backend Protocol", section "Message Formats").

use crate::probe::expect::MAX_JUDGED_BYTES;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::wire::{Parsed, foreign};

/// Protocol version 3.0, as the start-up message carries it.
const VERSION: u32 = 3 << 16;
/// Longest message that PostgreSQL makes, in bytes (`MaxAllocSize`).
const LONGEST_BYTES: usize = 1 << 30;
/// What asks for TLS: 1234 and 5679 in the place of a version.
pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// One message of the server: its letter, and what follows its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

/// Takes one whole message.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Message> {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    if !kind.is_ascii_alphanumeric() {
        return Err(foreign("PostgreSQL", bytes));
    }
    let mut rest = Reader(bytes.get(1..).unwrap_or_default());
    let Some(length) = rest.u32() else { return Ok(None) };
    // The length counts itself.
    let length = usize::try_from(length).ok().filter(|length| (4..=LONGEST_BYTES).contains(length));
    let Some(length) = length else { return Err(foreign("PostgreSQL", bytes)) };
    if length > MAX_JUDGED_BYTES {
        let text = format!("a message of {length} bytes is more than the {MAX_JUDGED_BYTES} that are read");
        return Err(Outcome::fail(ReasonCode::TooLarge, text));
    }
    Ok(rest.take(length - 4).map(|body| (Message { kind, body: body.to_vec() }, length + 1)))
}

/// Takes the one byte that answers a request for TLS; what an error begins with stays.
pub(super) fn parse_tls_answer(bytes: &[u8]) -> Parsed<u8> {
    match bytes.first() {
        None => Ok(None),
        Some(b'E') => Ok(Some((b'E', 0))),
        Some(&answer @ (b'S' | b'N')) => Ok(Some((answer, 1))),
        Some(_) => Err(foreign("PostgreSQL", bytes)),
    }
}

/// Says who we are and what we want.
pub(super) fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut body = VERSION.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, "application_name", "monitor", "client_encoding", "UTF8"] {
        push_text(&mut body, text);
    }
    body.push(0);
    framed(None, &body)
}

/// A message with a letter.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    framed(Some(kind), body)
}

/// A message whose body is one text.
pub(super) fn text(kind: u8, words: &str) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, words);
    message(kind, &body)
}

/// The first answer of SASL: the mechanism, and what it begins with.
pub(super) fn sasl_initial(mechanism: &str, first: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, mechanism);
    body.extend_from_slice(&length_of(first));
    body.extend_from_slice(first);
    message(b'p', &body)
}

/// One statement whose first row is wanted: Parse, Bind, Describe, Execute and Sync at once. All values come as text.
pub(super) fn ask_for_one_row(query: &str) -> Vec<u8> {
    let mut parse = vec![0];
    push_text(&mut parse, query);
    parse.extend_from_slice(&[0, 0]);
    // Unnamed portal and statement, then no formats, no values, no formats.
    let bind = [0; 8];
    // The unnamed portal, and one row at most.
    let execute = [0, 0, 0, 0, 1];
    [message(b'P', &parse), message(b'B', &bind), message(b'D', b"P\0"), message(b'E', &execute), message(b'S', &[])]
        .concat()
}

fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = kind.into_iter().collect();
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn length_of(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_come_in_pieces() {
        let bytes = b"Z\x00\x00\x00\x05Irest";
        for end in 0..6 {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(parse(bytes), Ok(Some((Message { kind: b'Z', body: b"I".to_vec() }, 6))));
    }

    #[test]
    fn what_is_not_of_the_protocol_is_refused() {
        for bytes in [b"HTTP/1.1".as_slice(), b"\x01\x02this", b"Z\x00\x00\x00\x03", b"\x15\x03\x03"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn who_we_are_is_said_in_pairs() {
        let said = startup("me", "shop");
        assert_eq!(said[..8], [0, 0, 0, 77, 0, 3, 0, 0]);
        assert_eq!(&said[8..], b"user\0me\0database\0shop\0application_name\0monitor\0client_encoding\0UTF8\0\0");
        assert_eq!(said.len(), 77);
    }
}
