//! Kind `postgres`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

/// AuthenticationOk, a version, and ReadyForQuery.
pub(crate) const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0015.1\0Z\0\0\0\x05I";
/// What a query that returns one truth value is answered with, and before it what begins a transaction.
const BEGUN: &[u8] = b"C\0\0\0\x0aBEGIN\0C\0\0\0\x08SET\0Z\0\0\0\x05T";
const ROW: &[u8] = b"1\0\0\0\x042\0\0\0\x04T\0\0\0\x1b\0\x01ok\0\0\0\0\0\0\0\0\0\0\x10\0\x01\0\0\0\0\0\0D\0\0\0\x0b\0\x01\0\0\0\x01tZ\0\0\0\x05T";

/// A server that lets everybody in.
pub(crate) fn trusting() -> Target {
    Target::say("", &[(b"UTF8\0\0", WELCOME), (b"begin read only", BEGUN), (b"S\0\0\0\x04", ROW)])
}

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "postgres",
        check: |address| format!("postgres: {{ address: '{address}', username: me }}"),
        healthy: || {
            let target = trusting();
            let check = format!("postgres: {{ address: '{}', username: me }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
