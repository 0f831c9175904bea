//! Kind `mysql`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

/// The salt of every greeting here.
pub(crate) const SALT: &str = "12345678abcdefghijkl";
/// "Access denied", as the second packet after a greeting.
pub(crate) const DENIED: &[u8] = b"\x0b\0\0\x02\xff\x15\x04#28000no";

/// A packet with its length and number.
pub(crate) fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..3], &[number], body].concat()
}

/// What a server of this version begins with; TLS is offered if `tls`, and `plugin` is its way to sign in.
pub(crate) fn greeting(version: &str, tls: bool, plugin: &str) -> Vec<u8> {
    let (first, second) = SALT.split_at(8);
    let capabilities: u16 = if tls { 0xaa09 } else { 0xa209 };
    let [low, high] = capabilities.to_le_bytes();
    let body = [
        b"\x0a",
        version.as_bytes(),
        b"\0\x09\0\0\0",
        first.as_bytes(),
        &[0, low, high, 0x2d, 2, 0, 8, 0, 21],
        &[0; 10],
        second.as_bytes(),
        b"\0",
        plugin.as_bytes(),
        b"\0",
    ];
    packet(0, &body.concat())
}

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "mysql",
        check: |address| format!("mysql: {{ address: '{address}' }}"),
        healthy: || {
            let banner = greeting("8.0.36", false, "mysql_native_password");
            let target = Target::say(banner, &[(b"mysql_native_password", DENIED)]);
            let check = format!("mysql: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
