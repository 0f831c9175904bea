//! Kind `tcp`, with a dialog.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "tcp",
        check: |address| format!("tcp: {{ address: '{address}', talk: [{{ send: PING, expect: PONG }}] }}"),
        healthy: || {
            let target = Target::say("", &[(b"PING", b"PONG")]);
            let check = format!("tcp: {{ address: '{}', talk: [{{ send: PING, expect: PONG }}] }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Body,
    }
}
