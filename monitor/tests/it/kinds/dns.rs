//! Kind `dns`, over TCP: what datagrams do is told apart in its own tests.

use std::net::Ipv4Addr;

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "dns",
        check: |address| format!("dns: {{ name: example.com, server: '{address}', transport: tcp }}"),
        healthy: || {
            let target = Target::dns(Ipv4Addr::new(192, 0, 2, 1));
            let check =
                format!("dns: {{ name: example.com, server: '{}', transport: tcp, answer: 192.0.2.1 }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
