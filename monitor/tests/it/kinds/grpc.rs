//! Kind `grpc`: its HTTP/2 connection has tasks of its own to leave behind.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

/// SERVING, as the health service says it.
pub(crate) const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "grpc",
        check: |address| format!("grpc: {{ address: '{address}' }}"),
        healthy: || {
            let target = Target::answer(200, &[("content-type", "application/grpc"), ("grpc-status", "0")], SERVING);
            let check = format!("grpc: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
