//! Kind `smtp`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "smtp",
        check: |address| format!("smtp: {{ address: '{address}' }}"),
        healthy: || {
            let target = Target::say("220 mail.test ESMTP\r\n", &[(b"EHLO [127.0.0.1]\r\n", b"250 mail.test\r\n")]);
            let check = format!("smtp: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
