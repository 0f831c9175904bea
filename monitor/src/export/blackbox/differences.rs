//! What differs from blackbox_exporter, and why: the README shows this table, and a test compares both programs by it.

/// How an answer differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// This metric is told more often than there.
    More,
    /// This metric, or one of its samples, is left out where it is told there.
    Less,
    /// Its value is another.
    Value,
    /// There the probe fails, here it succeeds.
    Succeeds,
    /// The answer itself is another: its status or its text.
    Answer,
    /// An option is refused when the file is read; what it says instead is in the message.
    Refused,
}

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// A metric, a case, or an option.
    pub what: &'static str,
    /// How it differs.
    pub how: How,
    /// The cases in which it does; empty for all.
    pub cases: &'static [&'static str],
    /// Why, for people.
    pub why: &'static str,
}

/// Every difference that is known. "0.23" is the version in Debian 12, with which the test compares.
pub const DIFFERENCES: &[Difference] = &[
    more("probe_timeout_seconds", "How long a probe could have taken explains one that took too long."),
    more("probe_failure_info", "Why a probe failed is a label from a closed set, to count and to alert on."),
    more("probe_failed_due_to_bytes", "Came with 0.28."),
    more("probe_tls_cipher_info", "Came with 0.26."),
    more("probe_ssl_last_chain_info{serialnumber}", "Came with 0.26."),
    more(
        "probe_ssl_earliest_cert_expiry",
        "Told of certificates that are not accepted too: an expiry that vanishes when it comes silences its alert.",
    ),
    more("probe_ssl_last_chain_expiry_timestamp_seconds", "Told of certificates that are not accepted too."),
    more("probe_ssl_last_chain_info", "Told of certificates that are not accepted too."),
    more(
        "probe_tls_version_info",
        "A handshake that is over is told of, whatever comes after it; so is that of DNS over TLS.",
    ),
    less(
        "probe_http_duration_seconds",
        "A step that a failed probe did not finish has no time; 0 would lower averages.",
    ),
    less(
        "probe_icmp_duration_seconds",
        "A step that a failed probe did not finish has no time; 0 would lower averages.",
    ),
    less(
        "probe_dns_duration_seconds",
        "A step that a failed probe did not finish has no time; 0 would lower averages.",
    ),
    less(
        "probe_ssl_earliest_cert_expiry",
        "Prober `grpc` without TLS tells of no certificate; there it is 0, which is 1970.",
    ),
    Difference {
        what: "probe_ssl_last_chain_expiry_timestamp_seconds",
        how: How::Value,
        cases: &["TLS as must be", "TLS though it must not be", "expired, and nobody cares"],
        why: "With insecure_skip_verify it is that of the presented chain, not -62135596800.",
    },
    Difference {
        what: "probe_http_ssl",
        how: How::Value,
        cases: &["through a proxy with TLS"],
        why: "A request that a proxy sends on without encryption is one without; there the proxy's TLS counts.",
    },
    of_proxy("probe_ssl_last_chain_expiry_timestamp_seconds"),
    of_proxy("probe_ssl_last_chain_info"),
    of_proxy("probe_tls_version_info"),
    succeeds(
        "upper-case scheme",
        "The scheme of a URL has no case (RFC 3986 section 3.1); so in blackbox_exporter since 2026-03.",
    ),
    succeeds("a short scrape", "A scrape timeout of at most the offset leaves half of itself, not nothing."),
    succeeds("a prompt", "A line that does not end is matched when the time is over."),
    Difference {
        what: "/nope",
        how: How::Answer,
        cases: &["no such path"],
        why: "A path that does not exist is 404; there it is the front page.",
    },
    refused(
        "http.enable_http3",
        "HTTP/3 is experimental in Rust, as crate `h3` says of itself; HTTP/2 shows whether the server answers.",
    ),
    refused("http.compression: br", "Whether a server packs its answers is seen by gzip as well."),
    refused(
        "tls_config.min_version: TLS10",
        "RFC 8996 forbids TLS 1.0 and 1.1, and rustls does not speak them; so with TLS11, and max_version.",
    ),
    refused(
        "websocket.http_config.oauth2",
        "A WebSocket signs in once, when it opens: with basic_auth, authorization or a header.",
    ),
    refused("websocket.http_config.proxy_url", "WebSockets are asked directly; so with the other options of proxies."),
];

const fn more(what: &'static str, why: &'static str) -> Difference {
    Difference { what, how: How::More, cases: &[], why }
}

const fn of_proxy(what: &'static str) -> Difference {
    let why = "Told of the target; there a proxy's certificate is told as if it were the target's.";
    Difference { what, how: How::Less, cases: &["through a proxy with TLS"], why }
}

const fn succeeds(case: &'static str, why: &'static str) -> Difference {
    Difference { what: case, how: How::Succeeds, cases: &[], why }
}

const fn less(what: &'static str, why: &'static str) -> Difference {
    Difference { what, how: How::Less, cases: &[], why }
}

const fn refused(what: &'static str, why: &'static str) -> Difference {
    Difference { what, how: How::Refused, cases: &[], why }
}
