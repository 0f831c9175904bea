//! Kind `ssh`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

/// What OpenSSH says first.
pub(crate) const IDENTIFICATION: &str = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";

/// A packet of this payload: 4 bytes of padding and as many as fill it up to eight.
pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
    let length = u32::try_from(payload.len() + padding + 1).unwrap().to_be_bytes();
    [&length[..], &[u8::try_from(padding).unwrap()], payload, &vec![0; padding]].concat()
}

/// An offer of the exchange, host keys and cipher that are named.
pub(crate) fn offer(exchange: &str) -> Vec<u8> {
    let mut payload = [&[20][..], &[0; 16]].concat();
    for names in [exchange, "ssh-ed25519", "aes256-ctr", "", "", "", "", "", "", ""] {
        payload.extend_from_slice(&u32::try_from(names.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(names.as_bytes());
    }
    payload.extend_from_slice(&[0; 5]);
    packet(&payload)
}

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "ssh",
        check: |address| format!("ssh: {{ address: '{address}' }}"),
        healthy: || {
            let offer = offer("curve25519-sha256");
            let target = Target::say(IDENTIFICATION, &[(b"SSH-2.0-monitor\r\n", &offer)]);
            let check = format!("ssh: {{ address: '{}' }}", target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
