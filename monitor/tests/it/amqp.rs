//! Kind `amqp`: what a broker may answer, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::Target;

use crate::kinds::amqp::{HEADER, OPENED, TUNE, WISH, frame, greeting};
use crate::{PATIENT, ask, assert_fail, assert_pass, decode};

const LOGIN: &str = ", username: me, password: '${SECRET}'";

fn check(target: &Target, settings: &str) -> String {
    format!("amqp: {{ address: '{}'{settings} }}", target.addr())
}

/// A `close` of a connection with this code and text.
fn close(code: u16, text: &str) -> Vec<u8> {
    let text = [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    frame(10, 50, &[&code.to_be_bytes()[..], &text, &[0; 4]].concat())
}

#[tokio::test]
async fn every_refusal_is_told_in_words_and_never_a_pass() {
    let start = greeting("PLAIN");
    let denied = close(403, "ACCESS_REFUSED - no");
    let at_sign_in = Target::say("", &[(HEADER, &start), (b"PLAIN", &denied)]);
    let text = "it refuses name or password: ACCESS_REFUSED - no (403)";
    assert_fail(&ask(&check(&at_sign_in, LOGIN)).await, ReasonCode::Auth, text);
    assert!(String::from_utf8_lossy(&at_sign_in.received()[0]).contains("\0me\0hunter2"));
    let text = "it does not let guest in; write username and password_file: ACCESS_REFUSED - no (403)";
    assert_fail(&ask(&check(&at_sign_in, "")).await, ReasonCode::Auth, text);
    for (answer, code, text) in [
        (close(530, "vhost / not found"), ReasonCode::Rejected, "there is no such vhost: vhost / not found (530)"),
        (close(320, "CONNECTION_FORCED"), ReasonCode::Rejected, "it is shutting down: CONNECTION_FORCED (320)"),
        (frame(10, 60, b"\x0alow on RAM"), ReasonCode::Rejected, "it takes no messages now: low on RAM"),
    ] {
        let target = Target::say("", &[(HEADER, &start), (b"PLAIN", TUNE), (WISH, &answer)]);
        assert_fail(&ask(&check(&target, LOGIN)).await, code, text);
    }
    let strange = greeting("EXTERNAL SCRAM-SHA-256");
    let target = Target::say("", &[(HEADER, &strange)]);
    let text = "it offers no way to sign in that is known here (PLAIN), but: EXTERNAL SCRAM-SHA-256";
    assert_fail(&ask(&check(&target, LOGIN)).await, ReasonCode::Auth, text);
    let newer = Target::say("", &[(HEADER, b"AMQP\x03\x01\0\0")]);
    assert_fail(&ask(&check(&newer, "")).await, ReasonCode::Protocol, "it speaks AMQP 1.0, not 0-9-1");
    let settings = format!("amqp: {{ address: 'localhost:1'{LOGIN} }}");
    assert!(!format!("{:?}", decode(&settings, PATIENT).unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn what_a_broker_says_of_itself_is_json() {
    let start = greeting("PLAIN");
    let target = Target::say("", &[(HEADER, &start), (b"PLAIN", TUNE), (WISH, OPENED)]);
    let observation =
        ask(&format!("{}\nexpect: {{ json: {{ product: RabbitMQ, version: 3.9.1 }} }}", check(&target, ""))).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("RabbitMQ 3.9.1"));
}
