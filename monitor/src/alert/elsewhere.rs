//! Where else there is to see: addresses of a failing probe's trace and of a service's log, as a trace and log viewer has
//! them. The configuration gives the address, we write in what it is about.

use std::time::Duration;

use jiff::Timestamp;
use kit::clock::later;
use kit::config::{Cursor, Fields};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::web::is_web_url;

/// Longest address, in bytes: with what is written in it is a link that every channel takes.
const MAX_BYTES: usize = 400;
/// How much of the log before and after an incident is shown.
const AROUND: Duration = Duration::from_secs(5 * 60);
/// What stays as it is in each part of a URL (RFC 3986 section 2.3).
const WRITTEN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Addresses under `links:`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    trace: Option<String>,
    logs: Option<String>,
}

/// What can stand in an address, and must: each as it is written.
struct Asked {
    known: &'static [&'static str],
    needed: &'static str,
    example: &'static str,
}

const TRACE: Asked = Asked {
    known: &["{trace_id}"],
    needed: "{trace_id}",
    example: "https://grafana.example.com/d/logs?var-trace={trace_id}",
};
const LOGS: Asked = Asked {
    known: &["{service}", "{from_ms}", "{to_ms}"],
    needed: "{service}",
    example: "https://grafana.example.com/d/logs?var-service={service}&from={from_ms}&to={to_ms}",
};

impl Elsewhere {
    /// Returns where a trace is shown.
    pub fn trace(&self, id: &str) -> Option<String> {
        let address = self.trace.as_deref().filter(|_| !id.is_empty())?;
        Some(address.replace("{trace_id}", &encoded(id)))
    }

    /// Returns where the log of a service is shown, from five minutes before it broke until five minutes after `until`.
    pub fn logs(&self, service: &str, from: Timestamp, until: Timestamp) -> Option<String> {
        let address = self.logs.as_deref()?;
        let ms = |at: Timestamp| at.as_millisecond().to_string();
        let dated = address
            .replace("{from_ms}", &ms(from.saturating_sub(AROUND).unwrap_or(Timestamp::MIN)))
            .replace("{to_ms}", &ms(later(until, AROUND)));
        Some(dated.replace("{service}", &encoded(service)))
    }
}

/// Checks the section `links`.
pub(super) fn decode_elsewhere(cursor: Option<Cursor<'_>>) -> Elsewhere {
    let Some(fields) = cursor.and_then(|cursor| cursor.fields()) else { return Elsewhere::default() };
    let found = Elsewhere { trace: address(&fields, "trace", &TRACE), logs: address(&fields, "logs", &LOGS) };
    fields.end();
    found
}

fn address(fields: &Fields<'_>, key: &'static str, asked: &Asked) -> Option<String> {
    let cursor = fields.get(key)?;
    let text = cursor.text()?;
    let plain = asked.known.iter().fold(text.clone(), |text, known| text.replace(known, "1"));
    if let Some(unknown) = placeholder(&plain) {
        let known = asked.known.join(", ");
        cursor.mistake(format!("nothing is known as {unknown:?} here; what can be written in is {known}"));
    } else if !text.contains(asked.needed) {
        cursor.mistake(format!("it has no {} in it, as {} has", asked.needed, asked.example));
    } else if !is_web_url(&plain) {
        cursor.mistake(format!("{text:?} is not a URL like {}", asked.example));
    } else if text.len() > MAX_BYTES {
        cursor.mistake(format!("it has {} bytes; channels take links of at most {MAX_BYTES}", text.len()));
    } else {
        return Some(text);
    }
    None
}

/// Returns the first name in braces. What Grafana writes into its own addresses in braces is no name.
fn placeholder(text: &str) -> Option<&str> {
    text.match_indices('{').find_map(|(start, _)| {
        let rest = text.get(start + 1..)?;
        let name = rest.get(..rest.find('}')?)?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_name.then(|| text.get(start..start + name.len() + 2)).flatten()
    })
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, WRITTEN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_stays_in_its_place() {
        let elsewhere = Elsewhere {
            trace: Some("https://t.example/trace/{trace_id}?x=%7B{trace_id}%7D".to_owned()),
            logs: Some("https://g.example/?q={service}&from={from_ms}&to={to_ms}".to_owned()),
        };
        assert_eq!(elsewhere.trace("0af7").as_deref(), Some("https://t.example/trace/0af7?x=%7B0af7%7D"));
        assert_eq!(elsewhere.trace(""), None);
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(
            elsewhere.logs("a b&c={from_ms}", at(1_000), at(2_000)).as_deref(),
            Some("https://g.example/?q=a%20b%26c%3D%7Bfrom_ms%7D&from=700000&to=2300000")
        );
        assert_eq!(Elsewhere::default().logs("shop", at(1), at(2)), None);
    }

    #[test]
    fn only_a_name_in_braces_is_taken_for_one() {
        for (text, expected) in [
            ("https://x/{trace}", Some("{trace}")),
            ("https://x/?panes={\"a\":{}}", None),
            ("https://x/{", None),
            ("https://x/{A}{b_c}", Some("{b_c}")),
        ] {
            assert_eq!(placeholder(text), expected, "{text}");
        }
    }
}
