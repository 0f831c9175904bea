//! Kind `redis`: what a server may answer, and what a person is told.

use monitor::probe::{Observation, ReasonCode};
use testkit::{Authority, Target};

use crate::{ask, assert_fail, assert_pass, decode, fail, file, trusting};

async fn told(settings: &str, answers: &[(&[u8], &[u8])]) -> (ReasonCode, String) {
    fail(&observed(settings, answers).await)
}

async fn observed(settings: &str, answers: &[(&[u8], &[u8])]) -> Observation {
    let target = Target::say("", answers);
    ask(&format!("redis: {{ address: '{}'{settings} }}", target.addr())).await
}

#[tokio::test]
async fn every_refusal_is_told_in_words_and_never_a_pass() {
    for (answer, code, text) in [
        (
            "-NOAUTH Authentication required.",
            ReasonCode::Auth,
            "PING: it wants a password, and none is configured; write password_file: NOAUTH Authentication required.",
        ),
        (
            "-LOADING Redis is loading the dataset in memory",
            ReasonCode::Rejected,
            "PING: it is still loading its data: LOADING Redis is loading the dataset in memory",
        ),
        (
            "-MASTERDOWN Link with MASTER is down",
            ReasonCode::Rejected,
            "PING: it is a replica that has lost its master: MASTERDOWN Link with MASTER is down",
        ),
        (
            "-ERR max number of clients reached",
            ReasonCode::Rejected,
            "PING: it takes no more clients: ERR max number of clients reached",
        ),
        ("-ERR unknown", ReasonCode::Rejected, "PING: it answers with an error: ERR unknown"),
        ("+OK", ReasonCode::Protocol, "PING: the answer is \"OK\""),
        ("HTTP/1.1 400 Bad Request", ReasonCode::Protocol, "the answer is not of Redis: \"HTTP/1.1 400 Bad Request\""),
    ] {
        let found = told("", &[(b"PING\r\n", format!("{answer}\r\n").as_bytes())]).await;
        assert_eq!(found, (code, text.to_owned()));
    }
}

#[tokio::test]
async fn a_password_is_sent_first_and_shown_nowhere() {
    let secret = file("correct-horse");
    let login = format!(", username: me, password_file: {}, database: 3", secret.path().display());
    let auth: &[u8] = b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$13\r\ncorrect-horse\r\n";
    let select: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";
    let pong: (&[u8], &[u8]) = (b"PING\r\n", b"+PONG\r\n");
    assert_pass(&observed(&login, &[(auth, b"+OK\r\n"), (select, b"+OK\r\n"), pong]).await);
    let refused = told(&login, &[(auth, b"-WRONGPASS invalid pair: correct-horse\r\n")]).await;
    let text = "AUTH: it refuses the password: WRONGPASS invalid pair: [redacted]";
    assert_eq!(refused, (ReasonCode::Auth, text.to_owned()));
    let text = "redis: { address: 'x:1', password: '${SECRET}' }";
    assert!(!format!("{:?}", decode(text, crate::PATIENT).unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn a_reply_beyond_the_limit_is_cut_off() {
    let settings = ", command: GET key";
    let answers: [(&[u8], &[u8]); 2] = [(b"PING\r\n", b"+PONG\r\n"), (b"key\r\n", b"$999999999\r\nabc")];
    let found = told(settings, &answers).await;
    assert_eq!(found, (ReasonCode::TooLarge, "a reply of 999999999 bytes is more than is read".to_owned()));
    let found = told("", &[(b"PING\r\n", format!("+{}", "x".repeat(20_000)).as_bytes())]).await;
    assert_eq!(found.0, ReasonCode::Protocol);
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_written_and_told_where_it_is_not() {
    let authority = Authority::new();
    let target = Target::tls_say(&authority.valid(), "", &[(b"PING\r\n", b"+PONG\r\n")]);
    let (_file, trust) = trusting(&authority);
    let check =
        format!("redis: {{ address: '{}', tls: {{ {trust} }} }}\nexpect: {{ cert_valid_for: 1h }}", target.addr());
    assert_pass(&ask(&check).await);
    let plain = ask(&format!("redis: {{ address: '{}' }}", target.addr())).await;
    let text = "the server speaks TLS on this port, not plain Redis; write tls: {}";
    assert_fail(&plain, ReasonCode::Protocol, text);
}
