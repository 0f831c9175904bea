//! Kind `nats`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "nats",
        check: |address| format!("nats: {{ address: '{address}' }}"),
        healthy: || {
            let target = Target::say("INFO {\"version\":\"2.9\"} \r\n", &[(b"PING\r\n", b"PONG\r\n")]);
            let check = format!("nats: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
