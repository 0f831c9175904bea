//! Kind `tcp`: dialogs byte for byte, however the bytes arrive.

use std::time::Duration;

use monitor::probe::{Phase, ReasonCode};
use testkit::{Authority, Target};

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, decode, trusting};

fn check(target: &Target, talk: &str) -> String {
    format!("tcp: {{ address: '{}', talk: {talk} }}", target.addr())
}

#[tokio::test]
async fn without_a_dialog_a_connection_is_enough() {
    let target = Target::stall();
    let observation = ask(&format!("tcp: {{ address: '{}' }}", target.addr())).await;
    assert_pass(&observation);
    let phases: Vec<Phase> = observation.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Connect]);
}

#[tokio::test]
async fn nothing_is_added_to_what_is_sent() {
    let target = Target::say("", &[(b"\x00\xff\x0d", b"\x01\x02")]);
    assert_pass(&ask(&check(&target, "[{ send_hex: '00 ff 0D', expect_hex: '0102' }]")).await);
    assert_eq!(target.received()[0], b"\x00\xff\x0d");
    let target = Target::say("", &[(b"PING", b"+PONG\r\n")]);
    assert_pass(&ask(&check(&target, "[{ send_base64: UElORw==, expect_matches: '^\\+PO.G\\r\\n$' }]")).await);
    assert_eq!(target.received()[0], b"PING");
}

#[tokio::test]
async fn an_expected_answer_may_come_one_byte_at_a_time() {
    let target = Target::slow("220 mail.example ESMTP\r\n", Duration::from_millis(2));
    let observation = ask(&check(&target, "[{ expect: 'mail.example' }, { expect_matches: 'ESMTP\\r' }]")).await;
    assert_pass(&observation);
    let phases: Vec<Phase> = observation.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::FirstByte, Phase::Transfer]);
}

#[tokio::test]
async fn bytes_that_came_early_are_kept_for_the_next_step() {
    let target = Target::say("one two three", &[]);
    assert_pass(&ask(&check(&target, "[{ expect: one }, { expect: two }, { expect: three }]")).await);
    // What was matched is used up.
    let observation = ask_within(SHORT, &check(&target, "[{ expect: two }, { expect: one }]")).await;
    let text = "\"one\" did not come in time; received \"one two three\"";
    assert_fail(&observation, ReasonCode::Body, text);
}

#[tokio::test]
async fn a_dialog_that_breaks_off_says_where_and_what_was_heard() {
    let target = Target::slow("220 hello", Duration::from_millis(1));
    let text = "connection closed before \"250\" came; received \"220 hello\"";
    assert_fail(&ask(&check(&target, "[{ expect: '250' }]")).await, ReasonCode::Reset, text);
}

#[tokio::test]
async fn an_answer_without_end_is_read_to_the_limit() {
    let target = Target::endless_body();
    let talk = "[{ send: \"GET / HTTP/1.1\\r\\n\\r\\n\", expect: never }]";
    let text = "\"never\" did not come within 65536 bytes";
    assert_fail(&ask(&check(&target, talk)).await, ReasonCode::TooLarge, text);
}

#[tokio::test]
async fn a_dialog_over_tls_knows_the_certificate() {
    let authority = Authority::new();
    let certificate = authority.valid();
    let target = Target::tls_say(&certificate, "hello", &[(b"PING", b"PONG")]);
    let (_file, trust) = trusting(&authority);
    let talk = "[{ expect: hello }, { send: PING, expect: PONG }]";
    let check = format!("tcp: {{ address: '{}', tls: {{ {trust} }}, talk: {talk} }}", target.addr());
    let observation = ask(&check).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.cert_expires, Some(certificate.not_after()));
}

#[test]
fn steps_are_checked_at_load() {
    let check = "tcp: { address: 'x', talk: [{ send: a, send_hex: zz }, {}, { expect_matches: '(' }] }";
    assert_eq!(
        decode(check, PATIENT).unwrap_err(),
        [
            "m.yml:1:17: tcp.address: \"x\" is not an address; write host:port, like example.com:443 or [::1]:443",
            "m.yml:1:29: tcp.talk[0]: both \"send\" and \"send_hex\" are set; keep one",
            "m.yml:1:50: tcp.talk[0].send_hex: \"zz\" is not hex; write two digits a byte, like 0d 0a",
            "m.yml:1:56: tcp.talk[1]: a step sends or expects something; write { send: …, expect: … }",
            "m.yml:1:78: tcp.talk[2].expect_matches: \"(\" is not a regular expression: error: unclosed group",
        ]
    );
}
