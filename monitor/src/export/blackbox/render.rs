//! Answers as text: what Prometheus reads (text format 0.0.4), and what people read with `debug=true`.

use std::fmt::Write;
use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::history::Kept;
use crate::probe::blackbox::Gauges;

/// As Prometheus' client library for Go answers.
pub(super) const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// Writes the gauges.
pub(super) fn gauges(gauges: &Gauges) -> String {
    let mut out = String::with_capacity(4096);
    for family in gauges.families() {
        let (name, help) = (family.gauge.name, family.gauge.help);
        let _infallible = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in &family.samples {
            out.push_str(name);
            let mut separator = '{';
            for (label, value) in labels {
                let _infallible = write!(out, "{separator}{label}=\"{}\"", escape(value));
                separator = ',';
            }
            if separator == ',' {
                out.push('}');
            }
            let _infallible = writeln!(out, " {}", number(*value));
        }
    }
    out
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A number as `%g` of Go writes it: the fewest digits, with an exponent below 10^-4 and from 10^6 on.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// What `debug=true` and `/logs` answer.
pub(super) fn debug(kept: &Kept) -> String {
    let mut out = "Logs for the probe:\n".to_owned();
    let probed = &kept.probed;
    for line in &probed.lines {
        let at = kept.at.checked_add(line.after).unwrap_or(kept.at);
        let level = if line.text.starts_with("failed") { "error" } else { "info" };
        let (module, target) = (&kept.module.name, kept.shown_target());
        let _infallible = writeln!(out, "ts={at} module={module} target={target} level={level} msg={:?}", line.text);
    }
    let _infallible = write!(
        out,
        "\n\n\nMetrics that would have been returned:\n{}\n\n\nModule configuration:\n{}",
        gauges(&probed.gauges),
        kept.module.shown()
    );
    out
}

/// An answer in plain text.
pub(super) fn plain(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = (status, text.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A refusal, as Go's `http.Error` writes it.
pub(super) fn refusal(status: StatusCode, text: &str) -> Response {
    plain(status, format!("{text}\n"))
}

/// What Prometheus reads, packed if it can unpack.
pub(super) fn metrics(headers: &HeaderMap, text: String) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts = accepted.split(',').any(|word| word.split(';').next().is_some_and(|word| word.trim() == "gzip"));
    let packed = if accepts { pack(text.as_bytes()) } else { None };
    match packed {
        Some(packed) => {
            let packed_by = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            ([kind, packed_by], packed).into_response()
        }
        None => ([kind], text).into_response(),
    }
}

fn pack(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(1024), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, expected) in [
            (3_668_918_509.0, "3.668918509e+09"),
            (-62_135_596_800.0, "-6.21355968e+10"),
            (200.0, "200"),
            (4446.0, "4446"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (1_000_000.0, "1e+06"),
            (0.010898325, "0.010898325"),
            (7.6243e-05, "7.6243e-05"),
            (0.0001, "0.0001"),
            (-1.0, "-1"),
            (1.1, "1.1"),
            (0.0, "0"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
