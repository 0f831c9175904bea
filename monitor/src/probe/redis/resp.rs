//! RESP2, the protocol of Redis (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use serde_json::Value as Json;

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::wire::{Parsed, foreign, line};

/// Lists within lists that are followed.
const MAX_DEPTH: usize = 8;
/// Longest line, in bytes: lines are short, long texts have a length of their own.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// What the server says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Text(String),
    Error(String),
    Number(i64),
    List(Vec<Self>),
    Nothing,
}

impl Reply {
    /// For people, short.
    pub(super) fn shown(&self) -> String {
        format!("the answer is {}", excerpt(self.clone().into_json().to_string().as_bytes()))
    }

    /// Errors within a list become their text.
    pub(super) fn into_json(self) -> Json {
        match self {
            Self::Text(text) | Self::Error(text) => Json::String(text),
            Self::Number(number) => number.into(),
            Self::List(items) => Json::Array(items.into_iter().map(Self::into_json).collect()),
            Self::Nothing => Json::Null,
        }
    }
}

/// A command is a list of texts with their lengths.
pub(super) fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// Takes one whole reply.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Reply> {
    parse_at(bytes, 0)
}

fn parse_at(bytes: &[u8], depth: usize) -> Parsed<Reply> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !b"+-:$*".contains(kind) || depth > MAX_DEPTH {
        return Err(foreign("Redis", bytes));
    }
    let Some((text, head)) = line(bytes, MAX_LINE_BYTES, "Redis")? else { return Ok(None) };
    let text = text.get(1..).unwrap_or_default();
    let number = || text.parse::<i64>().map_err(|_| foreign("Redis", bytes));
    let reply = match kind {
        b'+' => Reply::Text(text.to_owned()),
        b'-' => Reply::Error(text.to_owned()),
        b':' => Reply::Number(number()?),
        // -1 is nothing, for texts and lists alike.
        _ if number()? < 0 => Reply::Nothing,
        b'$' => return parse_bulk(bytes, head, number()?),
        _ => return parse_list(bytes, head, number()?, depth),
    };
    Ok(Some((reply, head)))
}

fn parse_bulk(bytes: &[u8], head: usize, length: i64) -> Parsed<Reply> {
    let too_large = || Outcome::fail(ReasonCode::TooLarge, format!("a reply of {length} bytes is more than is read"));
    let length = usize::try_from(length).ok().filter(|length| *length <= crate::probe::expect::MAX_JUDGED_BYTES);
    let end = head + length.ok_or_else(too_large)?;
    let Some(tail) = bytes.get(end..end + 2) else { return Ok(None) };
    if tail != b"\r\n" {
        return Err(foreign("Redis", bytes));
    }
    let text = String::from_utf8_lossy(bytes.get(head..end).unwrap_or_default()).into_owned();
    Ok(Some((Reply::Text(text), end + 2)))
}

/// However many items are promised, only those that came take memory.
fn parse_list(bytes: &[u8], head: usize, count: i64, depth: usize) -> Parsed<Reply> {
    let (mut items, mut at) = (Vec::new(), head);
    for _ in 0..count {
        let Some((item, length)) = parse_at(bytes.get(at..).unwrap_or_default(), depth + 1)? else { return Ok(None) };
        items.push(item);
        at += length;
    }
    Ok(Some((Reply::List(items), at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_may_come_in_pieces_and_nest() {
        let text = b"*4\r\n+OK\r\n:7\r\n$3\r\na b\r\n*2\r\n$-1\r\n-ERR no\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(text.get(..end).unwrap()), Ok(None), "{end}");
        }
        let (reply, length) = parse(text).unwrap().unwrap();
        assert_eq!(length, text.len());
        assert_eq!(reply.into_json().to_string(), r#"["OK",7,"a b",[null,"ERR no"]]"#);
    }

    #[test]
    fn what_is_not_of_the_protocol_is_refused() {
        for text in ["HTTP/1.1 400", "$x\r\n", ":\r\n", "$1\r\nabc", "\u{15}\u{3}"] {
            assert!(
                matches!(parse(text.as_bytes()), Err(Outcome::Fail(reason)) if reason.code == ReasonCode::Protocol),
                "{text}"
            );
        }
        assert!(matches!(parse(b"$999999999\r\n"), Err(Outcome::Fail(reason)) if reason.code == ReasonCode::TooLarge));
        assert!(parse("*1\r\n".repeat(100).as_bytes()).is_err(), "too deep");
    }

    #[test]
    fn a_command_is_a_list_of_texts() {
        assert_eq!(encode(&["GET", "schlüssel"]), "*2\r\n$3\r\nGET\r\n$10\r\nschlüssel\r\n".as_bytes());
    }
}
