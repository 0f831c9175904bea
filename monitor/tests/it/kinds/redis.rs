//! Kind `redis`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "redis",
        check: |address| format!("redis: {{ address: '{address}' }}"),
        healthy: || {
            let target = Target::say("", &[(b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n")]);
            let check = format!("redis: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
