//! Kind `postgres`: what a server may answer, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::Target;

use crate::kinds::postgres::trusting;
use crate::{PATIENT, ask, assert_fail, assert_pass, decode};

fn check(target: &Target, settings: &str) -> String {
    format!("postgres: {{ address: '{}', username: me{settings} }}", target.addr())
}

/// An ErrorResponse.
fn error(state: &str, said: &str) -> Vec<u8> {
    let body = format!("SFATAL\0C{state}\0M{said}\0\0");
    let length = u8::try_from(body.len() + 4).unwrap();
    [b"E\0\0\0", &[length][..], body.as_bytes()].concat()
}

/// A server that answers who we are with this.
fn answering(answer: &[u8]) -> Target {
    Target::say("", &[(b"UTF8\0\0", answer)])
}

#[tokio::test]
async fn a_row_becomes_json_and_the_query_may_only_read() {
    let target = trusting();
    let expect = "\nexpect: { json: { ok: true, version: '15.1' } }";
    let observation = ask(&format!("{}{expect}", check(&target, ", query: select ok"))).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("PostgreSQL 15.1"));
    let said = String::from_utf8_lossy(&target.received()[0]).into_owned();
    assert!(said.contains("user\0me\0database\0me\0"), "{said}");
    let (begin, query) = (said.find("begin read only; set local statement_timeout = "), said.find("select ok\0"));
    assert!(begin.is_some() && begin < query, "{said}");
}

#[tokio::test]
async fn a_server_that_starts_or_is_full_is_told_in_words_and_never_a_pass() {
    for (state, said, text) in [
        (
            "57P03",
            "the database system is starting up",
            "it does not take connections now: the database system is starting up (57P03)",
        ),
        (
            "53300",
            "sorry, too many clients already",
            "it has no connection left: sorry, too many clients already (53300)",
        ),
    ] {
        assert_fail(&ask(&check(&answering(&error(state, said)), "")).await, ReasonCode::Rejected, text);
    }
}

#[tokio::test]
async fn a_password_is_not_sent_where_it_could_be_read() {
    let clear = answering(b"R\0\0\0\x08\0\0\0\x03");
    let secret = ", password: '${SECRET}'";
    let text = "it wants the password in plain text; let it use scram-sha-256, or write legacy_auth: true";
    assert_fail(&ask(&check(&clear, secret)).await, ReasonCode::Auth, text);
    assert!(!String::from_utf8_lossy(&clear.received()[0]).contains("hunter2"));
    let text = "it wants a password, and none is configured; write password_file";
    assert_fail(&ask(&check(&clear, "")).await, ReasonCode::Auth, text);
    let kerberos = answering(b"R\0\0\0\x08\0\0\0\x07");
    let text = "it wants a way to sign in that is not known here (not SCRAM-SHA-256)";
    assert_fail(&ask(&check(&kerberos, secret)).await, ReasonCode::Auth, text);
    let settings = "postgres: { address: 'x:1', username: me, password: '${SECRET}' }";
    assert!(!format!("{:?}", decode(settings, PATIENT).unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn a_server_that_only_pretends_to_know_the_password_is_found_out() {
    // It cannot continue a nonce that it does not repeat.
    let target = Target::say(
        "",
        &[
            (b"UTF8\0\0", b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"),
            (b"n,,n=,r=", b"R\0\0\0\x19\0\0\0\x0br=mine,s=AAAA,i=1"),
        ],
    );
    let observation = ask(&check(&target, ", password: '${SECRET}'")).await;
    assert_fail(&observation, ReasonCode::Protocol, "the server's nonce does not continue ours");
}

#[tokio::test]
async fn what_is_said_before_tls_is_not_taken_for_said_within() {
    let wish: &[u8] = &[0x04, 0xd2, 0x16, 0x2f];
    let none = Target::say("", &[(wish, b"N")]);
    assert_fail(&ask(&check(&none, ", tls: {}")).await, ReasonCode::Tls, "the server does not offer TLS");
    let early = Target::say("", &[(wish, b"SR\0\0\0\x08\0\0\0\0")]);
    let text = "somebody spoke before TLS began";
    assert_fail(&ask(&check(&early, ", tls: {}")).await, ReasonCode::Protocol, text);
    let full = Target::say("", &[(wish, &error("53300", "too many"))]);
    let text = "it has no connection left: too many (53300)";
    assert_fail(&ask(&check(&full, ", tls: {}")).await, ReasonCode::Rejected, text);
}
