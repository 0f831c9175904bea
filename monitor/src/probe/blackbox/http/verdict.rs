//! Whether the last answer is what the module expects, in the order in which blackbox_exporter asks that.

use http::header::{CONTENT_LENGTH, LAST_MODIFIED, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};
use jiff::Timestamp;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

use super::body::Kept;
use super::expected::HeaderMatch;
use super::options::Options;
use super::{Arrived, version_number};
use crate::probe::blackbox::visit::{Stop, Visit};
use crate::probe::blackbox::{gauges, re2};
use crate::probe::observation::ReasonCode;

impl Options {
    /// Judges the answer. Whatever is wrong first is the reason; everything that can be told is told.
    pub(super) async fn judge(&self, visit: &mut Visit, arrived: Arrived) -> Result<(), Stop> {
        let Arrived { response, mut exchange, is_redirect, is_tls } = arrived;
        let (head, body) = response.into_parts();
        self.tell_head(visit, head.status, head.version, &head.headers, is_tls);
        let mut wrong = self.judge_status(head.status).err();
        if wrong.is_none() {
            wrong = self.judge_headers(&head.headers).err();
            visit.gauges.flag(gauges::FAILED_REGEX, wrong.is_some());
        }
        if !is_redirect {
            let content = self.read(visit, &mut exchange, body).await;
            #[expect(clippy::cast_precision_loss, reason = "bodies are far below 2^53 bytes")]
            visit.gauges.set(gauges::HTTP_BODY_LENGTH, content.length as f64);
            if wrong.is_none() && !content.is_misfit {
                wrong = self.judge_body(visit, &content.kept, content.broken.is_some()).await.err();
            }
            // Why a body is not whole says more than that it does not match.
            wrong = content.broken.or(wrong);
        }
        let version = format!("{:?}", head.version);
        if wrong.is_none()
            && !self.expected.versions.is_empty()
            && !self.expected.versions.iter().any(|known| is_version(known, &version))
        {
            let text = format!("the answer is of {version}, expected {}", self.expected.versions.join(" or "));
            wrong = Some(Stop::failed(ReasonCode::Protocol, text));
        }
        let secrecy = match is_tls {
            true if self.expected.fails_if_ssl => Some("the last answer came over TLS (fail_if_ssl)"),
            false if self.expected.fails_if_not_ssl => Some("the last answer came without TLS (fail_if_not_ssl)"),
            _ => None,
        };
        let secrecy = secrecy.map(|text| Stop::failed(ReasonCode::Tls, text));
        wrong.or(secrecy).map_or(Ok(()), Err)
    }

    fn tell_head(&self, visit: &mut Visit, status: StatusCode, version: Version, headers: &HeaderMap, is_tls: bool) {
        visit.gauges.set(gauges::HTTP_STATUS, f64::from(status.as_u16()));
        visit.gauges.set(gauges::HTTP_VERSION, version_number(version));
        visit.gauges.flag(gauges::HTTP_SSL, is_tls);
        visit.gauges.set(gauges::HTTP_CONTENT_LENGTH, content_length(&self.method, status, headers));
        let modified = headers.get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
        if let Some(modified) = modified.and_then(moment) {
            #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
            visit.gauges.set(gauges::HTTP_LAST_MODIFIED, modified.as_second() as f64);
        }
    }

    fn judge_status(&self, status: StatusCode) -> Result<(), Stop> {
        let is_fine = if self.expected.statuses.is_empty() {
            status.is_success()
        } else {
            self.expected.statuses.contains(&status.as_u16())
        };
        if is_fine {
            return Ok(());
        }
        let expected = match self.expected.statuses.as_slice() {
            [] => "2xx".to_owned(),
            statuses => statuses.iter().map(ToString::to_string).collect::<Vec<String>>().join(" or "),
        };
        Err(Stop::failed(ReasonCode::Status, format!("status {}, expected {expected}", status.as_u16())))
    }

    fn judge_headers(&self, headers: &HeaderMap) -> Result<(), Stop> {
        let matches = |wanted: &HeaderMatch| {
            let mut values = headers.get_all(&wanted.name).iter();
            values.any(|value| re2::is_match(&wanted.regex, value.as_bytes()))
        };
        for (list, is_wanted) in [(&self.expected.header_matches, false), (&self.expected.header_not_matches, true)] {
            for wanted in list {
                let name = &wanted.name;
                let is_missing = !headers.contains_key(name);
                if is_missing && !wanted.may_be_missing {
                    return Err(Stop::failed(ReasonCode::Header, format!("the header {name} is missing")));
                }
                if !is_missing && matches(wanted) != is_wanted {
                    let how = if is_wanted { "does not match" } else { "matches" };
                    let text = format!("the header {name} {how} {:?}", wanted.regex.as_str());
                    return Err(Stop::failed(ReasonCode::Header, text));
                }
            }
        }
        Ok(())
    }

    async fn judge_body(&self, visit: &mut Visit, kept: &Kept, is_broken: bool) -> Result<(), Stop> {
        let matched = self.match_body(kept, is_broken);
        if self.expected.has_patterns() {
            visit.gauges.flag(gauges::FAILED_REGEX, matched.is_err());
        }
        matched?;
        for (expression, is_wanted) in [(&self.expected.cel_matches, false), (&self.expected.cel_not_matches, true)] {
            let Some(expression) = expression else { continue };
            let judged = expression.judge(&kept.bytes, visit.run.deadline).await;
            let is_fine = judged.as_ref().is_ok_and(|is_true| *is_true == is_wanted);
            if !is_fine {
                visit.gauges.flag(gauges::FAILED_CEL, true);
                let text = judged.map_or_else(|why| why, |is_true| format!("the CEL expression is {is_true}"));
                return Err(Stop::failed(ReasonCode::Expression, text));
            }
        }
        Ok(())
    }

    fn match_body(&self, kept: &Kept, is_broken: bool) -> Result<(), Stop> {
        let fail = |text: String| Err(Stop::failed(ReasonCode::Body, text));
        if is_broken && self.expected.has_patterns() {
            return fail("the body is not whole".to_owned());
        }
        if !self.expected.has_patterns() {
            return Ok(());
        }
        let body = &*re2::readable(&kept.bytes);
        let cut = if kept.is_cut { format!(" in its first {} bytes", kept.bytes.len()) } else { String::new() };
        if let Some(regex) = self.expected.body_matches.iter().find(|regex| regex.is_match(body)) {
            return fail(format!("the body matches {:?}", regex.as_str()));
        }
        if let Some(regex) = self.expected.body_not_matches.iter().find(|regex| !regex.is_match(body)) {
            return fail(format!("the body does not match {:?}{cut}", regex.as_str()));
        }
        if kept.is_cut && !self.expected.body_matches.is_empty() {
            return fail(format!("what must not be in the body is not{cut}; the rest was too much to look at"));
        }
        Ok(())
    }
}

/// A date in today's form or in one of the two obsolete ones (RFC 9110 section 5.6.7).
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(zoned) = rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    let forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let parsed = forms.into_iter().find_map(|form| strtime::parse(form, text).ok()?.to_datetime().ok());
    Some(parsed?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// `HTTP/2` and `HTTP/2.0` are the same.
fn is_version(known: &str, version: &str) -> bool {
    known == version || format!("{known}.0") == version
}

/// What is promised; -1 if nothing is (RFC 9112 section 6.3).
fn content_length(method: &Method, status: StatusCode, headers: &HeaderMap) -> f64 {
    let promised = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_empty = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if is_empty && *method != Method::HEAD {
        return 0.0;
    }
    match promised {
        #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53 bytes")]
        Some(length) if !headers.contains_key(TRANSFER_ENCODING) => length as f64,
        _ => -1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_may_have_any_form_of_http() {
        // The example of RFC 9110 section 5.6.7.
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(moment(text).map(Timestamp::as_second), Some(784_111_777), "{text}");
        }
        assert_eq!(moment("yesterday"), None);
    }
}
