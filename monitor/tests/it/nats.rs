//! Kind `nats`: what a server may answer, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::Target;

use crate::{SHORT, ask, assert_fail, decode};

async fn told(info: &str, settings: &str, answer: &str) -> (ReasonCode, String) {
    let target = Target::say(format!("INFO {info}\r\n"), &[(b"PING\r\n", format!("{answer}\r\n").as_bytes())]);
    crate::fail(&ask(&format!("nats: {{ address: '{}'{settings} }}", target.addr())).await)
}

#[tokio::test]
async fn every_refusal_is_told_in_words_and_never_a_pass() {
    let token = ", password: '${SECRET}'";
    for (info, settings, answer, code, text) in [
        (
            "{}",
            "",
            "-ERR 'Authorization Violation'",
            ReasonCode::Auth,
            "it lets nobody in without a name; write username and password_file: Authorization Violation",
        ),
        (
            "{}",
            token,
            "-ERR 'Authorization Violation'",
            ReasonCode::Auth,
            "it refuses name or password: Authorization Violation",
        ),
        (
            "{}",
            "",
            "-ERR 'maximum connections exceeded'",
            ReasonCode::Rejected,
            "it takes no more clients: maximum connections exceeded",
        ),
        ("{}", "", "-ERR 'Odd'", ReasonCode::Rejected, "it answers with an error: Odd"),
        ("{}", "", "what", ReasonCode::Protocol, "the answer is not of NATS: \"what\""),
        ("{\"tls_required\":true}", "", "PONG", ReasonCode::Tls, "it speaks with nobody without TLS; write tls: {}"),
        ("{}", ", tls: {}", "PONG", ReasonCode::Tls, "the server does not offer TLS"),
    ] {
        assert_eq!(told(info, settings, answer).await, (code, text.to_owned()));
    }
    let settings = "nats: { address: 'x:1', password: '${SECRET}' }";
    assert!(!format!("{:?}", decode(settings, SHORT).unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn what_is_said_before_tls_is_not_taken_for_said_within() {
    let target = Target::say("INFO {\"tls_required\":true}\r\nPONG\r\n", &[]);
    let observation = ask(&format!("nats: {{ address: '{}', tls: {{}} }}", target.addr())).await;
    assert_fail(&observation, ReasonCode::Protocol, "somebody spoke before TLS began");
}
