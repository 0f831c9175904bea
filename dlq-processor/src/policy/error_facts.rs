//! What a failure says of itself: its class, its code, the HTTP status in it, its message. Queues keep it as text.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

/// Longest message that is looked at, in bytes; a stack trace in it says no more.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// `ECONNREFUSED` and its like (errno(3), getaddrinfo(3)), and what libraries made after them; of Node's own
/// (nodejs.org/api/errors.html) those that begin with ERR_. An `ERROR` is none.
static CODE: LazyLock<Regex> = LazyLock::new(|| {
    let of_network =
        "CONN[A-Z]+|TIMEDOUT|SOCKETTIMEDOUT|PIPE|HOST[A-Z]+|NET[A-Z]+|ADDR[A-Z]+|NOTFOUND|AI_[A-Z]+|PROTO|MSGSIZE";
    let of_files = "ACCES|PERM|NOENT|EXIST|MFILE|NFILE|NOSPC|DQUOT|ROFS|IO|ISDIR|NOTDIR|FBIG";
    let others = "INVAL|BUSY|AGAIN|NOMEM|INTR|RATELIMIT|CANCELED";
    regex(&format!(r"\b(E(?:{of_network}|{of_files}|{others})|ERR_[A-Z0-9_]{{2,40}})\b"))
});
/// `status code 429`, `HTTP 503`, `HTTP/1.1 502`, `status: 401`, `statusCode=403`; and a line that begins with one.
static HTTP: LazyLock<Regex> = LazyLock::new(|| {
    let named = r"(?:\bhttp(?:/\d(?:\.\d)?)?|\bstatus(?:[ _-]?code)?)\W{0,3}([1-5]\d\d)\b";
    regex(&format!(r"(?i){named}|^\s*([1-5]\d\d)\s+[a-z]"))
});
/// `ValidationError: …`, also with a path before it (`app.errors.ValidationError`).
static CLASS: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^\s*(?:Uncaught )?(?:[\w$]+\.)*([A-Z][\w$]*)(?:\s*\[[^\]]*\])?(?::|\s*$)"));

/// `Retry-After: 30`, `retry-after=1500ms`, `retry after 2 minutes`, `try again in 20s`: seconds unless it says otherwise, as in
/// the header (RFC 9110 section 10.2.3).
static RETRY_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    let unit = r"ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?";
    regex(&format!(r#"(?i)(?:retry[ _-]?after|try again in)["']?\s*[:=]?\s*["']?(\d{{1,9}})(?:\.\d+)?\s?({unit})?\b"#))
});

/// Builds an expression of ours.
pub(super) fn regex(expression: &str) -> Regex {
    Regex::new(expression).expect("tested below, and where it is used")
}

/// What is known of a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorFacts {
    /// The kind of error, as its language calls it: `ValidationError`.
    pub class: Option<String>,
    /// The systems' or the libraries' codes: `ECONNREFUSED`.
    pub codes: Vec<String>,
    /// The status that a server answered with.
    pub http: Option<u16>,
    /// How long whoever was asked wants to be left alone.
    pub retry_after: Option<Duration>,
    /// In its own words; empty if there are none.
    pub message: String,
}

impl ErrorFacts {
    /// Reads a failure. `reason` is what the queue keeps of it, `stack` the newest stack trace. What was thrown without being
    /// an error has neither: BullMQ then keeps the word `null`.
    pub fn read(reason: Option<&str>, stack: Option<&str>) -> Self {
        let message = reason.map(cut).filter(|reason| *reason != "null" && *reason != "undefined").unwrap_or_default();
        let head = stack.map(cut).and_then(|stack| stack.lines().next()).unwrap_or_default();
        let first = |pattern: &Regex, text: &str| {
            let found = pattern.captures(text)?;
            found.iter().skip(1).flatten().next().map(|group| group.as_str().to_owned())
        };
        // A message that begins with a word and a colon need not name a class; a stack does.
        let said = first(&CLASS, message).filter(|class| class.ends_with("Error") || class.ends_with("Exception"));
        // What is thrown again as a plain error often has the first one's class in its words.
        let class = match first(&CLASS, head) {
            Some(class) if class != "Error" => Some(class),
            plain => said.or(plain),
        };
        let http = first(&HTTP, message).or_else(|| first(&HTTP, head)).and_then(|status| status.parse().ok());
        let both = [message, head].into_iter().flat_map(|text| CODE.find_iter(text));
        let mut codes: Vec<String> = Vec::new();
        for code in both.map(|found| found.as_str().to_owned()) {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        let retry_after = retry_after(message).or_else(|| retry_after(head));
        Self { class, codes, http, retry_after, message: message.to_owned() }
    }
}

fn retry_after(text: &str) -> Option<Duration> {
    let found = RETRY_AFTER.captures(text)?;
    let number: u64 = found.get(1)?.as_str().parse().ok()?;
    let unit = found.get(2).map(|unit| unit.as_str().to_ascii_lowercase()).unwrap_or_default();
    Some(match unit.as_str() {
        unit if unit == "ms" || unit.starts_with("milli") => Duration::from_millis(number),
        unit if unit.starts_with('m') => Duration::from_secs(number.saturating_mul(60)),
        unit if unit.starts_with('h') => Duration::from_secs(number.saturating_mul(3600)),
        _ => Duration::from_secs(number),
    })
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn class_code_and_status_are_found_wherever_queues_keep_them() {
        let read = |reason, stack| {
            let ErrorFacts { class, codes, http, .. } = ErrorFacts::read(reason, stack);
            (class.unwrap_or_default(), codes.join(" "), http.unwrap_or_default())
        };
        for (reason, stack, class, code, http) in [
            (
                Some("connect ECONNREFUSED 127.0.0.1:5432"),
                Some("Error: connect ECONNREFUSED 127.0.0.1:5432\n at x"),
                "Error",
                "ECONNREFUSED",
                0,
            ),
            (
                Some("Invalid card"),
                Some("ValidationError: Invalid card\n    at f (a.js:1:2)"),
                "ValidationError",
                "",
                0,
            ),
            (Some("boom"), Some("Error [ERR_HTTP_HEADERS_SENT]: boom"), "Error", "ERR_HTTP_HEADERS_SENT", 0),
            (
                Some("Request failed with status code 429"),
                Some("AxiosError: Request failed with status code 429"),
                "AxiosError",
                "",
                429,
            ),
            (Some("503 Service Unavailable"), None, "", "", 503),
            (Some("HTTP/1.1 502 Bad Gateway"), None, "", "", 502),
            (Some("upstream answered (status: 401)"), None, "", "", 401),
            (Some("app.errors.QuotaException: over"), None, "QuotaException", "", 0),
            (Some("ValidationError: no"), Some("Error: ValidationError: no\n at"), "ValidationError", "", 0),
            (Some("EMAIL: ERROR of ECONNRESET, then ETIMEDOUT"), None, "", "ECONNRESET ETIMEDOUT", 0),
            (Some("Payment: declined"), None, "", "", 0),
            (Some("order 404 has no lines"), None, "", "", 0),
            (Some("null"), None, "", "", 0),
            (None, Some("TypeError: x is not a function\n at"), "TypeError", "", 0),
            (None, None, "", "", 0),
        ] {
            assert_eq!(read(reason, stack), (class.to_owned(), code.to_owned(), http), "{reason:?} {stack:?}");
        }
        assert_eq!(ErrorFacts::read(Some("null"), None).message, "");
    }

    #[test]
    fn how_long_it_wants_to_be_left_alone_is_found_in_its_words() {
        for (reason, expected_ms) in [
            ("429 Too Many Requests, Retry-After: 30", Some(30_000)),
            ("{\"retry_after\":1500,\"code\":1}", Some(1_500_000)),
            ("rate limited; retry-after=1500ms", Some(1_500)),
            ("Rate limit reached. Please try again in 7.66s.", Some(7_000)),
            ("Please retry after 2 minutes", Some(120_000)),
            ("try again in 3 months", Some(3_000)),
            ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", None),
            ("try again later", None),
        ] {
            let found = ErrorFacts::read(Some(reason), None).retry_after;
            assert_eq!(found.map(|wait| wait.as_millis()), expected_ms, "{reason}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(reason: Option<String>, stack: Option<String>) {
            let facts = ErrorFacts::read(reason.as_deref(), stack.as_deref());
            prop_assert!(facts.message.len() <= MAX_MESSAGE_BYTES);
        }
    }
}
