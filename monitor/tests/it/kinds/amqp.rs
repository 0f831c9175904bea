//! Kind `amqp`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

/// What a client begins with.
pub(crate) const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// What it may do at most, and that the vhost is open.
pub(crate) const TUNE: &[u8] = b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1e\x07\xff\0\x02\0\0\0\x3c\xce";
pub(crate) const OPENED: &[u8] = b"\x01\0\0\0\0\0\x05\0\x0a\0\x29\0\xce";
/// The wish for the vhost `/`.
pub(crate) const WISH: &[u8] = b"\0\x0a\0\x28\x01/";

/// A method's frame.
pub(crate) fn frame(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [b"\x01\0\0", &size[..], &payload, b"\xce"].concat()
}

/// A broker's greeting, with these ways to sign in.
pub(crate) fn greeting(ways: &str) -> Vec<u8> {
    let table = b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x053.9.1";
    let long = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    frame(10, 10, &[b"\0\x09", &long(table)[..], &long(ways.as_bytes()), &long(b"en_US")].concat())
}

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "amqp",
        check: |address| format!("amqp: {{ address: '{address}' }}"),
        healthy: || {
            let start = greeting("AMQPLAIN PLAIN");
            let target = Target::say("", &[(HEADER, &start), (b"\0guest\0guest", TUNE), (WISH, OPENED)]);
            let check = format!("amqp: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
