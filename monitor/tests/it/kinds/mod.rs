//! One fixture per kind that talks to a network: what it asks of an address, and a target it is content with.

pub(crate) mod amqp;
mod dns;
pub(crate) mod grpc;
mod http;
mod journey;
mod mqtt;
pub(crate) mod mysql;
mod nats;
pub(crate) mod postgres;
mod prometheus;
mod qdrant;
mod redis;
mod smtp;
pub(crate) mod ssh;
mod tcp;
mod tls;
mod websocket;

use std::net::SocketAddr;

use monitor::probe::ReasonCode;
use testkit::Target;

/// What the compliance suite needs to know of a kind.
pub(crate) struct Fixture {
    /// The kind's name.
    pub(crate) kind: &'static str,
    /// A check of this address that needs an answer to pass.
    pub(crate) check: fn(SocketAddr) -> String,
    /// A target that passes that check, and what must live as long.
    pub(crate) healthy: fn() -> Healthy,
    /// The code of an answer that is not of the protocol.
    pub(crate) garbage: ReasonCode,
}

/// A target that passes, and the check it passes.
pub(crate) struct Healthy {
    pub(crate) target: Target,
    pub(crate) check: String,
    /// Files the check names.
    pub(crate) _files: Vec<tempfile::NamedTempFile>,
}

/// Every fixture.
pub(crate) fn all() -> Vec<Fixture> {
    vec![
        http::fixture(),
        http::two(),
        journey::fixture(),
        dns::fixture(),
        websocket::fixture(),
        grpc::fixture(),
        tcp::fixture(),
        tls::fixture(),
        redis::fixture(),
        postgres::fixture(),
        mysql::fixture(),
        smtp::fixture(),
        ssh::fixture(),
        mqtt::fixture(),
        nats::fixture(),
        amqp::fixture(),
        prometheus::fixture(),
        qdrant::fixture(),
    ]
}

/// Kinds without a network, which the suite leaves out; those that connect to nothing that could refuse or stall (`icmp`,
/// `udp`, `ntp`); and `domain`, of which a registry's silence says nothing.
pub(crate) const LOCAL: [&str; 9] = ["exec", "host", "file", "heartbeat", "icmp", "udp", "ntp", "snmp", "domain"];
