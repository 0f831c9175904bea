//! Kind `smtp`: what a server may answer, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::{Authority, MailServer, Smtp, Target, eventually};

use crate::{PATIENT, ask, assert_fail, assert_pass, fail, soft, trusting};

const SIGNED_IN: &str = ", username: me, password: '${SECRET}'";

fn check(server: &MailServer, settings: &str) -> String {
    format!("smtp: {{ address: '{}'{settings} }}", server.target().addr())
}

#[tokio::test]
async fn what_the_server_offers_is_known_and_no_mail_is_sent() {
    let server =
        Smtp::default().reply("EHLO", "250 mail.test\n250 PIPELINING\n250 SIZE 1000\n250 AUTH LOGIN PLAIN").start();
    let expect = "\nexpect: { json: { banner: mail.test ESMTP, max_size: 1000, auth: [LOGIN, PLAIN], starttls: false, \
                  tls: false, 'capabilities[0]': PIPELINING } }";
    assert_pass(&ask(&(check(&server, "") + expect)).await);
    let said = b"EHLO [127.0.0.1]\r\nQUIT\r\n";
    eventually("the goodbye", PATIENT, async || (server.target().received()[0] == said).then_some(())).await;
}

#[tokio::test]
async fn starttls_is_a_handshake_with_a_certificate() {
    let authority = Authority::new();
    let (_file, trust) = trusting(&authority);
    let server = Smtp::default().starttls(&authority.valid()).sign_in("PLAIN", "me", "hunter2").start();
    let settings = format!(", starttls: true, tls: {{ {trust} }}{SIGNED_IN}");
    let observation =
        ask(&(check(&server, &settings) + "\nexpect: { json: { tls: true }, cert_valid_for: 365d }")).await;
    assert_pass(&observation);
    assert!(soft(&observation)[0].starts_with("certificate expires in "));
    let stranger = ask(&check(&server, ", starttls: true")).await;
    assert_eq!(fail(&stranger).0, ReasonCode::Certificate);
    let bare = Smtp::default().start();
    let text = "the server does not offer STARTTLS";
    assert_fail(&ask(&check(&bare, ", starttls: true")).await, ReasonCode::Tls, text);
    let early = Target::say(
        "220 hi\r\n",
        &[(b"EHLO", b"250-x\r\n250 STARTTLS\r\n"), (b"STARTTLS\r\n", b"220 go\r\n250 x\r\n")],
    );
    let early = ask(&format!("smtp: {{ address: '{}', starttls: true }}", early.addr())).await;
    assert_fail(&early, ReasonCode::Protocol, "somebody spoke before TLS began");
}

#[tokio::test]
async fn tls_from_the_first_byte_is_spoken_where_it_is_written() {
    let authority = Authority::new();
    let (_file, trust) = trusting(&authority);
    let server = Smtp::default().implicit_tls(&authority.valid()).sign_in("LOGIN", "me", "hunter2").start();
    let settings = format!(", tls: {{ {trust} }}{SIGNED_IN}");
    assert_pass(&ask(&(check(&server, &settings) + "\nexpect: { json: { tls: true, auth: [LOGIN] } }")).await);
}

#[tokio::test]
async fn every_refusal_is_told_in_words_and_never_a_pass() {
    let usual = || Smtp::default().sign_in("PLAIN", "me", "another");
    for (server, settings, code, text) in [
        (usual(), SIGNED_IN, ReasonCode::Auth, "AUTH: it refuses name or password: 535 wrong user or password"),
        (
            usual().reply("AUTH", "454 later"),
            SIGNED_IN,
            ReasonCode::Rejected,
            "AUTH: nobody can sign in now: 454 later",
        ),
        (
            Smtp::default(),
            SIGNED_IN,
            ReasonCode::Auth,
            "it offers no way to sign in that is known here (PLAIN, LOGIN), but: ",
        ),
        (
            usual().reply("greeting", "421 too busy"),
            "",
            ReasonCode::Rejected,
            "the greeting: it takes no mail now: 421 too busy",
        ),
        (
            usual().reply("greeting", "554 no\n554 go away"),
            "",
            ReasonCode::Rejected,
            "the greeting: it takes no mail now: 554 no go away",
        ),
        (usual().reply("EHLO", "550 who?"), "", ReasonCode::Rejected, "EHLO: it does not speak with us: 550 who?"),
    ] {
        assert_fail(&ask(&check(&server.start(), settings)).await, code, text);
    }
}

#[tokio::test]
async fn a_reply_without_end_is_cut_off() {
    let target = Target::say("220-x\r\n".repeat(40_000), &[]);
    let observation = ask(&format!("smtp: {{ address: '{}' }}", target.addr())).await;
    assert_fail(&observation, ReasonCode::TooLarge, "the greeting did not end within 262144 bytes");
}
