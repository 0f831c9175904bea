//! What one probe tells Prometheus: gauges with the names, help texts and labels that blackbox_exporter 0.23 to 0.28 has.

/// A metric's name and its help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    /// As in blackbox_exporter.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
}

/// One metric and its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Which.
    pub gauge: Gauge,
    /// Labels by name and value, and the value.
    pub samples: Vec<(Vec<(String, String)>, f64)>,
}

/// Everything that one probe tells, sorted by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges(Vec<Family>);

impl Gauges {
    /// Sets the one sample of a gauge without labels.
    pub(super) fn set(&mut self, gauge: Gauge, value: f64) {
        self.set_with(gauge, &[], value);
    }

    /// Sets a gauge to 1 or 0.
    pub(super) fn flag(&mut self, gauge: Gauge, value: bool) {
        self.set(gauge, f64::from(u8::from(value)));
    }

    /// Sets the sample with these labels.
    pub(super) fn set_with(&mut self, gauge: Gauge, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<(String, String)> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let at = self.0.binary_search_by(|family| family.gauge.name.cmp(gauge.name));
        let at = at.unwrap_or_else(|at| {
            self.0.insert(at, Family { gauge, samples: Vec::new() });
            at
        });
        let Some(family) = self.0.get_mut(at) else { return };
        match family.samples.binary_search_by(|(known, _)| known.cmp(&labels)) {
            Ok(known) => {
                if let Some(sample) = family.samples.get_mut(known) {
                    sample.1 = value;
                }
            }
            Err(place) => family.samples.insert(place, (labels, value)),
        }
    }

    /// Returns every metric, sorted by name, samples sorted by labels.
    pub fn families(&self) -> &[Family] {
        &self.0
    }
}

macro_rules! gauges {
    ($($constant:ident = $name:literal, $help:literal;)*) => {
        $(pub(super) const $constant: Gauge = Gauge { name: $name, help: $help };)*

        /// Every metric that a probe can tell.
        pub const GAUGES: &[Gauge] = &[$($constant),*];
    };
}

gauges! {
    SUCCESS = "probe_success", "Displays whether or not the probe was a success";
    DURATION = "probe_duration_seconds", "Returns how long the probe took to complete in seconds";
    TIMEOUT = "probe_timeout_seconds", "How long the probe could have taken, in seconds";
    FAILURE = "probe_failure_info", "Why the probe failed, as a word of a closed set";
    LOOKUP_TIME = "probe_dns_lookup_time_seconds", "Returns the time taken for probe dns lookup in seconds";
    IP_PROTOCOL = "probe_ip_protocol", "Specifies whether probe ip protocol is IP4 or IP6";
    IP_HASH = "probe_ip_addr_hash", "Specifies the hash of IP address. It's useful to detect if the IP address changes.";
    FAILED_REGEX = "probe_failed_due_to_regex", "Indicates if probe failed due to regex";
    FAILED_CEL = "probe_failed_due_to_cel", "Indicates if probe failed due to CEL expression not matching";
    FAILED_BYTES = "probe_failed_due_to_bytes", "Indicates if probe failed due to bytes";
    EXPECT_INFO = "probe_expect_info", "Explicit content matched";
    HTTP_DURATION = "probe_http_duration_seconds", "Duration of http request by phase, summed over all redirects";
    HTTP_CONTENT_LENGTH = "probe_http_content_length", "Length of http content response";
    HTTP_BODY_LENGTH = "probe_http_uncompressed_body_length", "Length of uncompressed response body";
    HTTP_REDIRECTS = "probe_http_redirects", "The number of redirects";
    HTTP_SSL = "probe_http_ssl", "Indicates if SSL was used for the final redirect";
    HTTP_STATUS = "probe_http_status_code", "Response HTTP status code";
    HTTP_VERSION = "probe_http_version", "Returns the version of HTTP of the probe response";
    HTTP_LAST_MODIFIED = "probe_http_last_modified_timestamp_seconds",
        "Returns the Last-Modified HTTP response header in unixtime";
    EARLIEST_EXPIRY = "probe_ssl_earliest_cert_expiry", "Returns last SSL chain expiry in unixtime";
    CHAIN_EXPIRY = "probe_ssl_last_chain_expiry_timestamp_seconds", "Returns last SSL chain expiry in timestamp";
    CHAIN_INFO = "probe_ssl_last_chain_info", "Contains SSL leaf certificate information";
    TLS_VERSION = "probe_tls_version_info", "Returns the TLS version used or NaN when unknown";
    TLS_CIPHER = "probe_tls_cipher_info", "Returns the TLS cipher negotiated during handshake";
    ICMP_DURATION = "probe_icmp_duration_seconds", "Duration of icmp request by phase";
    ICMP_HOP_LIMIT = "probe_icmp_reply_hop_limit", "Replied packet hop limit (TTL for ipv4)";
    DNS_DURATION = "probe_dns_duration_seconds", "Duration of DNS request by phase";
    DNS_ANSWERS = "probe_dns_answer_rrs", "Returns number of entries in the answer resource record list";
    DNS_AUTHORITIES = "probe_dns_authority_rrs", "Returns number of entries in the authority resource record list";
    DNS_ADDITIONALS = "probe_dns_additional_rrs", "Returns number of entries in the additional resource record list";
    DNS_SUCCEEDED = "probe_dns_query_succeeded", "Displays whether or not the query was executed successfully";
    DNS_SERIAL = "probe_dns_serial", "Returns the serial number of the zone";
    GRPC_DURATION = "probe_grpc_duration_seconds", "Duration of gRPC request by phase";
    GRPC_SSL = "probe_grpc_ssl", "Indicates if SSL was used for the connection";
    GRPC_STATUS = "probe_grpc_status_code", "Response gRPC status code";
    GRPC_RESPONSE = "probe_grpc_healthcheck_response", "Response HealthCheck response";
    WS_STATUS = "probe_websocket_status_code", "Response HTTP status code";
    WS_UPGRADED = "probe_websocket_connection_upgraded", "Indicates if the websocket connection was successfully upgraded";
    WS_FAILED_REGEX = "probe_websocket_failed_due_to_regex", "Indicates if probe failed due to regex";
    WS_DURATION = "probe_websocket_duration_seconds", "Duration of websocket request by phase";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_sorted_whatever_the_order_they_are_set_in_and_the_last_value_counts() {
        let mut gauges = Gauges::default();
        gauges.flag(SUCCESS, true);
        gauges.set_with(HTTP_DURATION, &[("phase", "tls")], 2.0);
        gauges.set_with(HTTP_DURATION, &[("phase", "connect")], 1.0);
        gauges.set(DURATION, 1.0);
        gauges.flag(SUCCESS, false);
        let shown: Vec<String> =
            gauges.families().iter().map(|f| format!("{} {:?}", f.gauge.name, f.samples)).collect();
        assert_eq!(
            shown,
            [
                "probe_duration_seconds [([], 1.0)]",
                "probe_http_duration_seconds [([(\"phase\", \"connect\")], 1.0), ([(\"phase\", \"tls\")], 2.0)]",
                "probe_success [([], 0.0)]",
            ]
        );
    }
}
