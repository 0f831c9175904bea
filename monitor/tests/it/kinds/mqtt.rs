//! Kind `mqtt`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "mqtt",
        check: |address| format!("mqtt: {{ address: '{address}' }}"),
        healthy: || {
            let target = Target::say("", &[(b"MQTT", b"\x20\x02\0\0"), (b"\xc0\0", b"\xd0\0")]);
            let check = format!("mqtt: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
