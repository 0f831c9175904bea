//! W3C trace context: ids and the `traceparent` header (W3C Trace Context level 1, section 3.2).

/// Returns a new trace id: 32 lower-case hex digits, never all zero.
pub fn new_trace_id() -> String {
    format!("{:032x}", rand::random::<u128>().max(1))
}

/// Returns a `traceparent` with a new parent id; `sampled` asks the other side to record its spans.
pub fn traceparent(trace_id: &str, sampled: bool) -> String {
    let span: u64 = rand::random::<u64>().max(1);
    format!("00-{trace_id}-{span:016x}-{:02x}", u8::from(sampled))
}

/// Takes the trace id out of a `traceparent` header, if it is well formed.
pub fn trace_id_of(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace_id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace_id, 32)
        && !zero(trace_id)
        && hex(span, 16)
        && !zero(span)
        && hex(flags, 2);
    valid.then_some(trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_we_read_and_malformed_headers_are_refused() {
        let id = new_trace_id();
        assert_eq!(trace_id_of(&traceparent(&id, true)), Some(id.as_str()));
        for wrong in [
            "",
            "00-abc-def-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_id_of(wrong), None, "{wrong}");
        }
    }
}
