//! W3C trace context: the headers `traceparent` and `tracestate` (W3C Trace Context level 1, section 3).

use std::num::{NonZeroU64, NonZeroU128};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names the span that asks.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors say to each other along a trace; passed on as it came.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest `tracestate` that is passed on, in bytes: twice what must be (section 3.3.1.5).
const MAX_STATE_BYTES: usize = 1024;
/// The flag of a trace that is recorded (section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// Where a span stands: its trace, itself, and whether the trace is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    trace: NonZeroU128,
    span: NonZeroU64,
    is_sampled: bool,
    /// Whether it came from another process, or from an earlier one (`SpanContext.IsRemote`).
    is_remote: bool,
    state: Option<HeaderValue>,
}

impl Context {
    /// A first span; of the trace with this id, or of a new one.
    pub fn root(trace: Option<NonZeroU128>, is_sampled: bool) -> Self {
        let trace = trace.unwrap_or_else(|| NonZeroU128::new(rand::random()).unwrap_or(NonZeroU128::MIN));
        Self { trace, span: new_span(), is_sampled, is_remote: false, state: None }
    }

    /// A span below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: new_span(), is_remote: false, ..self.clone() }
    }

    pub(super) fn sampled(self, is_sampled: bool) -> Self {
        Self { is_sampled, ..self }
    }

    /// Reads both headers. None if there is no `traceparent`, more than one, or one that is malformed; then `tracestate`
    /// means nothing (section 3.3.1).
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next().filter(|_| parents.next().is_none())?;
        let states: Vec<&[u8]> = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
        Some(Self::parse(parent.to_str().ok()?)?.with_state(&states.join(&b","[..])))
    }

    /// Sets the `tracestate` that came with it; none if that is empty, too long or no header value.
    #[must_use]
    pub fn with_state(self, state: &[u8]) -> Self {
        let state = Some(state).filter(|state| !state.is_empty() && state.len() <= MAX_STATE_BYTES);
        Self { state: state.and_then(|state| HeaderValue::from_bytes(state).ok()), ..self }
    }

    /// Reads a `traceparent`. Of a version that we do not know only what we know counts (section 4.3).
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        if version == 0xff || version == 0 && parts.next().is_some() {
            return None;
        }
        Some(Self {
            trace: NonZeroU128::new(hex(trace, 32)?)?,
            span: NonZeroU64::new(u64::try_from(hex(span, 16)?).ok()?)?,
            is_sampled: hex(flags, 2)? & u128::from(SAMPLED) != 0,
            is_remote: true,
            state: None,
        })
    }

    /// Writes both headers, in place of those that are there.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Ok(parent) = HeaderValue::try_from(self.traceparent()) {
            headers.insert(TRACEPARENT, parent);
        }
        match &self.state {
            Some(state) => headers.insert(TRACESTATE, state.clone()),
            None => headers.remove(TRACESTATE),
        };
    }

    /// Returns the `traceparent`.
    pub fn traceparent(&self) -> String {
        let Self { trace, span, is_sampled, .. } = self;
        format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(*is_sampled))
    }

    /// Returns the trace's id: 32 lower-case hex digits, never all zero.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Returns the span's id: 16 lower-case hex digits, never all zero.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// Returns whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    pub(super) fn trace(&self) -> NonZeroU128 {
        self.trace
    }

    pub(super) fn span(&self) -> NonZeroU64 {
        self.span
    }

    pub(super) fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Returns the `tracestate`, if there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_ref()?.to_str().ok()
    }
}

fn new_span() -> NonZeroU64 {
    NonZeroU64::new(rand::random()).unwrap_or(NonZeroU64::MIN)
}

/// Reads so many digits; capitals are refused (section 3.2.2).
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_we_write_we_read_and_malformed_headers_are_refused() {
        for sampled in [true, false] {
            let context = Context::root(None, sampled);
            let (read, is_remote) = (Context::parse(&context.traceparent()).unwrap(), true);
            assert_eq!(read, Context { is_remote, ..context });
            assert!(!read.child().is_remote);
        }
        assert_eq!(Context::parse(GIVEN).unwrap().traceparent(), GIVEN);
        let later = Context::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-what-more").unwrap();
        assert!(later.is_sampled() && later.trace_id() == "0af7651916cd43dd8448eb211c80319c");
        for wrong in [
            "",
            "00-abc-def-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert_eq!(Context::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_state_is_passed_on_and_belongs_to_its_parent() {
        let both = [(TRACEPARENT, GIVEN), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")];
        let child = Context::of_headers(&headers(&both)).unwrap().child();
        let mut sent = headers(&[(TRACEPARENT, "old"), (TRACESTATE, "old=1")]);
        child.write(&mut sent);
        assert_eq!(sent.get(TRACESTATE).unwrap(), "a=1,b=2");
        assert_eq!(sent.get(TRACEPARENT).unwrap(), &child.traceparent());
        assert!(child.traceparent().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert!(!child.traceparent().contains("b7ad6b7169203331"), "its own span");
        Context::root(None, true).write(&mut sent);
        assert_eq!(sent.get(TRACESTATE), None);
        for none in [&[(TRACESTATE, "a=1")][..], &[(TRACEPARENT, GIVEN), (TRACEPARENT, GIVEN)]] {
            assert_eq!(Context::of_headers(&headers(none)), None);
        }
    }
}
