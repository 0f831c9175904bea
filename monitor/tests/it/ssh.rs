//! Kind `ssh`: what a server may answer, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::Target;

use crate::kinds::ssh::{IDENTIFICATION, offer, packet};
use crate::{ask, assert_fail, assert_pass};

const KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn check(target: &Target, settings: &str) -> String {
    format!("ssh: {{ address: '{}'{settings} }}", target.addr())
}

#[tokio::test]
async fn the_software_and_what_it_offers_are_known() {
    let offered = offer("curve25519-sha256");
    let greeting = format!("Only for members\r\n{IDENTIFICATION}");
    let target = Target::say(greeting, &[(b"monitor\r\n", &[packet(&[2, 0, 0, 0, 0]), offered].concat())]);
    let expect = "\nexpect: { json: { software: OpenSSH_9.2p1, comments: Debian-2, protocol: '2.0', host_keys: [ssh-ed25519] } }";
    let observation = ask(&(check(&target, "") + expect)).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("SSH-2.0-OpenSSH_9.2p1 Debian-2"));
    assert_eq!(observation.seen.version.as_deref(), Some("OpenSSH_9.2p1"));
}

#[tokio::test]
async fn every_refusal_is_told_in_words_and_never_a_pass() {
    let full = Target::say("Exceeded MaxStartups\r\n", &[]);
    assert_fail(&ask(&check(&full, "")).await, ReasonCode::Rejected, "it takes no session now: Exceeded MaxStartups");
    let old = Target::say("SSH-1.5-ancient\r\n", &[]);
    assert_fail(&ask(&check(&old, "")).await, ReasonCode::Rejected, "it speaks SSH 1.5, not 2.0");
    let ended = packet(b"\x01\0\0\0\x02\0\0\0\x04busy\0\0\0\0");
    let target = Target::say(IDENTIFICATION, &[(b"monitor\r\n", &ended)]);
    assert_fail(&ask(&check(&target, "")).await, ReasonCode::Rejected, "it ends the session: busy");
    let target = Target::say(IDENTIFICATION, &[(b"monitor\r\n", &packet(b"\x05what"))]);
    assert_fail(&ask(&check(&target, "")).await, ReasonCode::Protocol, "the offer is not of SSH");
    let weak = offer("diffie-hellman-group1-sha1");
    let target = Target::say(IDENTIFICATION, &[(b"monitor\r\n", &weak)]);
    let text = "no key exchange in common (curve25519-sha256 with Ed25519, ECDSA or RSA); it offers \
                diffie-hellman-group1-sha1; ssh-ed25519";
    assert_fail(&ask(&check(&target, &format!(", host_key: '{KEY}'"))).await, ReasonCode::Rejected, text);
}
