//! The rules that hold unless a configuration says otherwise: they come after its own.

/// As they would stand in a configuration.
pub(super) const RULES: &str = r#"
- { id: worker-lost, when: { stalls: 2, contains: [job stalled more than allowable limit, lease expired] }, class: poison }
- { id: throttled, when: { http: [429], code: [ERATELIMIT], contains: [too many requests, rate limit] }, class: throttled }
- { id: unavailable, when: { http: [503] }, class: throttled }
- { id: not-connected, when: { code: [ECONNREFUSED, ENOTFOUND, EAI_AGAIN, EHOSTUNREACH, ENETUNREACH] }, class: transient }
- { id: auth, when: { http: [401, 403], matches: '\b(unauthori[sz]ed|forbidden|token (has )?expired|invalid api key)\b' }, class: auth }
- { id: bad-data, when: { http: [400, 404, 409, 410, 413, 415, 422], class: [UnrecoverableError, ValidationError, ZodError, SyntaxError, TypeError, RangeError], matches: '\b(validation|malformed|invalid)\b' }, class: malformed }
- { id: no-answer, when: { code: [ETIMEDOUT, ECONNRESET, EPIPE, ECONNABORTED, ESOCKETTIMEDOUT], http: [408, 500, 502, 504], class_matches: Timeout, matches: '\b(timeout|timed out|socket hang up)\b' }, class: transient_ambiguous }
"#;
