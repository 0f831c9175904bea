//! Percent-decoding (RFC 3986 section 2.1).

/// Replaces each `%` with two hex digits by its byte; anything else stays as it is.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return out,
            [b'%', high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                after
            }
            [first, after @ ..] => {
                out.push(*first);
                after
            }
        };
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_bytes_and_the_rest_stays() {
        for (text, expected) in [("", ""), ("a%2Fb%2e", "a/b."), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%252e", "%2e")]
        {
            assert_eq!(decode(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
