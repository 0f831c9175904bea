//! Replies of SMTP (RFC 5321 section 4.2): what probes and the mails of alerts read alike.

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Its lines without the code.
    pub(crate) lines: Vec<String>,
}

/// Takes the first whole reply off the bytes: lines of `CODE-text`, and a last one of `CODE text`.
///
/// # Errors
/// The line that is not of SMTP.
pub(crate) fn take_reply(bytes: &mut Vec<u8>) -> Result<Option<Reply>, String> {
    let found = find_reply(bytes)?;
    Ok(found.map(|(reply, length)| {
        bytes.drain(..length);
        reply
    }))
}

/// As [`take_reply`], but returns how many bytes the reply takes, and leaves them.
///
/// # Errors
/// As [`take_reply`].
pub(crate) fn find_reply(bytes: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    let mut lines = Vec::new();
    let mut taken = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\n") {
            break;
        }
        taken += line.len();
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|code| (200..=599).contains(code));
        let code = code.ok_or_else(|| text.clone())?;
        lines.push(text.get(4..).unwrap_or_default().to_owned());
        match text.as_bytes().get(3) {
            Some(b'-') => {}
            None | Some(b' ') => return Ok(Some((Reply { code, lines }, taken))),
            Some(_) => return Err(text),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` byte by byte; returns each reply as `CODE line|line` and what is left.
    fn check(text: &str, replies: &[&str], rest: &str) {
        let (mut bytes, mut found) = (Vec::new(), Vec::new());
        for byte in text.bytes() {
            bytes.push(byte);
            if let Some(reply) = take_reply(&mut bytes).unwrap() {
                found.push(format!("{} {}", reply.code, reply.lines.join("|")));
            }
        }
        assert_eq!(found, replies);
        assert_eq!(String::from_utf8_lossy(&bytes), rest);
    }

    #[test]
    fn replies_have_one_line_or_many_and_may_come_in_pieces() {
        check("220 hello\r\n", &["220 hello"], "");
        check("250-a\r\n250-SIZE 9\r\n250 b\r\n354\r\n4", &["250 a|SIZE 9|b", "354 "], "4");
        check("250 unix\n", &["250 unix"], "");
    }

    #[test]
    fn what_is_not_smtp_is_told() {
        for text in ["HTTP/1.1 400 Bad Request", "999 x", "220+x", "\u{1}\u{2}", "", "22€"] {
            assert_eq!(take_reply(&mut format!("{text}\r\n").into_bytes()), Err(text.to_owned()));
        }
    }
}
