//! Kind `mqtt`: what a broker may answer, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::Target;

use crate::{SHORT, ask, ask_within, assert_fail, decode};

fn check(target: &Target, settings: &str) -> String {
    format!("mqtt: {{ address: '{}'{settings} }}", target.addr())
}

#[tokio::test]
async fn every_refusal_is_told_in_words_and_never_a_pass() {
    let login = ", username: me, password: '${SECRET}'";
    for (answer, settings, code, text) in [
        (1, "", ReasonCode::Rejected, "it does not speak MQTT 3.1.1"),
        (2, "", ReasonCode::Rejected, "it does not take our client's name"),
        (3, "", ReasonCode::Rejected, "it is not available"),
        (5, "", ReasonCode::Auth, "it lets nobody in without a name; write username and password_file"),
        (4, login, ReasonCode::Auth, "it refuses name or password"),
        (9, login, ReasonCode::Protocol, "the answer to CONNECT is not of MQTT"),
    ] {
        let target = Target::say("", &[(b"MQTT", &[0x20, 2, 0, answer])]);
        assert_fail(&ask(&check(&target, settings)).await, code, text);
    }
    let settings = "mqtt: { address: 'x:1', username: me, password: '${SECRET}' }";
    assert!(!format!("{:?}", decode(settings, SHORT).unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn a_message_that_does_not_come_back_is_told() {
    let welcome: (&[u8], &[u8]) = (b"MQTT", b"\x20\x02\0\0");
    // Somebody else's message on the same topic is not ours.
    let other: &[u8] = b"\x90\x03\0\x01\0\x30\x06\0\x03a/bx";
    let target = Target::say("", &[welcome, (b"\x82\x08", other)]);
    let text = "what we publish on \"a/b\" does not come back: perhaps we may not publish there";
    assert_fail(&ask_within(SHORT, &check(&target, ", topic: a/b")).await, ReasonCode::Body, text);
    let target = Target::say("", &[welcome, (b"\x82\x08", b"\x90\x03\0\x01\x80")]);
    let text = "it does not let us subscribe to \"a/b\"";
    assert_fail(&ask(&check(&target, ", topic: a/b")).await, ReasonCode::Auth, text);
    let target = Target::say("", &[welcome, (b"\xc0\0", b"\x30\xff\xff\x7f")]);
    let text = "a packet of 2097151 bytes is more than the 262144 that are read";
    assert_fail(&ask(&check(&target, "")).await, ReasonCode::TooLarge, text);
}
