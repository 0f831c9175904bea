//! The parts that options of modules are made of, as Go's YAML reads them.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use kit::config::{Cursor, Fields};
use secrecy::SecretString;

use super::AGENT;
use super::visit::Preference;

/// Largest file that is sent as a body, in bytes.
const MAX_BODY_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Decodes `preferred_ip_protocol` and `ip_protocol_fallback`.
pub(super) fn preference(fields: &Fields<'_>) -> Option<Preference> {
    // An empty one is the usual one, as there.
    let written = fields.get("preferred_ip_protocol").filter(|c| c.node().scalar_text().as_deref() != Some(""));
    let v6 = written.map_or(Some(true), |c| c.one_of(&[("ip6", true), ("ip4", false)]));
    let fallback = flag(fields, "ip_protocol_fallback", true);
    Some(Preference { v6: v6?, fallback: fallback? })
}

/// Decodes `true` or `false`.
pub(super) fn flag(fields: &Fields<'_>, key: &'static str, default: bool) -> Option<bool> {
    fields.get(key).map_or(Some(default), |c| c.bool())
}

/// Decodes a text; none written is none.
pub(super) fn text(fields: &Fields<'_>, key: &'static str) -> Option<Option<String>> {
    match fields.get(key) {
        Some(cursor) => cursor.text().map(Some),
        None => Some(None),
    }
}

/// Decodes names with a list of values each, and adds who we are.
pub(super) fn header_lists(fields: &Fields<'_>, key: &'static str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let mut is_fine = true;
    for (name, cursor) in fields.get(key).and_then(|c| c.entries()).unwrap_or_default() {
        for value in cursor.texts() {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                cursor.mistake("this cannot be sent; check for spaces in the name and line breaks in the value");
                is_fine = false;
                continue;
            };
            headers.append(name, value);
        }
    }
    is_fine.then_some(headers)
}

/// Decodes `source_ip_address`.
pub(super) fn source(fields: &Fields<'_>) -> Option<Option<IpAddr>> {
    match fields.get("source_ip_address") {
        Some(cursor) => cursor.parse::<IpAddr>("an address").map(Some),
        None => Some(None),
    }
}

/// Takes a secret that is written as it is, or stands in a file; the outer none is a mistake.
pub(super) fn secret(fields: &Fields<'_>, key: &'static str, file: &'static str) -> Option<Option<SecretString>> {
    match (fields.get(key), fields.get(file)) {
        (None, None) => Some(None),
        (Some(written), None) => Some(Some(kit::secrets::secret(written.text()?))),
        (Some(_), Some(path)) => {
            path.mistake(format!("both {key:?} and {file:?} are set; keep one"));
            None
        }
        (None, Some(path)) => {
            let name = path.text()?;
            match kit::config::read_secret_file(Path::new(&name)) {
                Ok(text) => Some(Some(kit::secrets::secret(text))),
                Err(error) => {
                    path.mistake(format!("cannot read the secret file {name}: {error}"));
                    None
                }
            }
        }
    }
}

/// Reads a file that is sent as it is.
pub(super) fn body_file(cursor: &Cursor<'_>) -> Option<Vec<u8>> {
    let name = cursor.text()?;
    let read = std::fs::metadata(&name).and_then(|about| {
        if !about.is_file() || about.len() > MAX_BODY_FILE_BYTES {
            return Err(std::io::Error::other(format!("it is no file of at most {MAX_BODY_FILE_BYTES} bytes")));
        }
        std::fs::read(&name)
    });
    read.map_err(|error| cursor.mistake(format!("cannot read {name}: {error}"))).ok()
}

/// Says of each option that is written that it is not supported, and what to do.
pub(super) fn unsupported(fields: &Fields<'_>, options: &[(&'static str, &str)]) -> bool {
    let mut is_fine = true;
    for (key, advice) in options {
        // What is off is as if it were not written.
        let off = kit::config::Value::Bool(false);
        if let Some(cursor) = fields.get(key).filter(|cursor| cursor.node().value != off) {
            cursor.mistake(format!("{key:?} is not supported; {advice}"));
            is_fine = false;
        }
    }
    is_fine
}

/// Decodes a size as `units.Base2Bytes` of Go writes it: `KB` is as much as `KiB`.
pub(super) fn size(cursor: &Cursor<'_>) -> Option<u64> {
    let text = cursor.text()?;
    let parsed = parse_size(&text);
    if parsed.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a size; write a number with a unit, like 512B, 64KB or 10MB"));
    }
    parsed
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit {
        "" | "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Decodes a duration as Go writes it, with the units `d`, `w` and `y` that Prometheus knows beside them.
pub(super) fn duration(cursor: &Cursor<'_>) -> Option<Duration> {
    let text = cursor.text()?;
    let parsed = parse_duration(&text);
    if parsed.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a duration; write a number with a unit, like 500ms, 5s or 1m30s"));
    }
    parsed
}

fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut secs = 0.0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            "y" => 31_536_000.0,
            _ => return None,
        };
        secs += number.parse::<f64>().ok()? * unit;
        rest = next;
    }
    (!text.is_empty()).then_some(())?;
    Duration::try_from_secs_f64(secs).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_by_1024() {
        for (text, bytes) in [("0", 0), ("1000B", 1000), ("64KB", 65_536), ("1MiB", 1 << 20)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "B", "-1B", "1XB", "99999999999TB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_go_and_prometheus() {
        for (text, ms) in [
            ("5s", 5000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            ("2000us", 2),
            ("0", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1 s", "5sec", "1.2.3s", "1e3s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
