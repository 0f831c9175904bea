//! How long an answer asks to be left alone.

use std::time::Duration;

use http::{HeaderMap, header};
use jiff::Timestamp;

use crate::clock::elapsed;

/// Reads `Retry-After`: seconds, or a date (RFC 9110 section 10.2.3). No more than `most` is believed.
pub fn retry_after(headers: &HeaderMap, now: Timestamp, most: Duration) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_not_a_number) => elapsed(now, jiff::fmt::rfc2822::parse(text).ok()?.timestamp()),
    };
    Some(wait.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date_and_never_too_long() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        let secs = |text: &str| {
            let headers = [(header::RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now, Duration::from_secs(600)).map(|wait| wait.as_secs())
        };
        assert_eq!(secs(" 120"), Some(120));
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(secs("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "it has passed");
        assert_eq!(secs("99999999999"), Some(600));
        assert_eq!(secs("soon"), None);
        assert_eq!(secs("-1"), None);
    }
}
