//! Kind `websocket`: what a server may say once it is open, and what a person is told.

use monitor::probe::{Observation, ReasonCode};
use testkit::{Authority, Target};

use crate::{SHORT, ask, ask_within, assert_fail, assert_pass, decode, fail, trusting};

/// Opens, hears these frames and waits for `pong`.
async fn told(frames: &[u8]) -> Observation {
    let target = Target::websocket_saying(frames);
    ask_within(SHORT, &format!("websocket: {{ url: '{}', talk: [{{ expect: pong }}] }}", target.url("/"))).await
}

#[tokio::test]
async fn messages_come_in_pieces_with_pings_between() {
    assert_pass(&told(b"\x81\x04pong").await);
    assert_pass(&told(b"\x81\x05other\x82\x04pong").await);
    assert_pass(&told(b"\x01\x02po\x89\x02hi\x80\x02ng").await);
    let target = Target::websocket_saying(b"\x89\x02hi\x81\x04pong");
    let check = format!("websocket: {{ url: '{}' }}\nexpect: {{ body_contains: pong }}", target.url("/"));
    let observation = ask(&check).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("WebSocket"));
    assert_eq!(observation.seen.note, None, "the goodbye is answered");
    let received = &target.received()[0];
    let pong = received.windows(2).position(|pair| pair == [0x8a, 0x82]);
    assert!(pong.is_some(), "the ping is answered: {received:?}");
}

#[tokio::test]
async fn every_other_end_is_a_fail_in_words() {
    for (frames, code, text) in [
        (
            b"\x88\x13\x03\xf0token is required".as_slice(),
            ReasonCode::Rejected,
            "closed with code 1008 (policy violation): token is required, before \"pong\" came",
        ),
        (
            b"\x81\x02no\x88\x02\x03\xe8",
            ReasonCode::Reset,
            "closed with code 1000 (normal), before \"pong\" came; the last message was \"no\"",
        ),
        (b"\x88\x00", ReasonCode::Reset, "closed without a code, before \"pong\" came"),
        (b"\x81\x02no", ReasonCode::Body, "\"pong\" did not come in time; the last message was \"no\""),
        (b"\x81\x02\xff\xfe", ReasonCode::Protocol, "not of WebSocket: a text that is not UTF-8: \"\u{fffd}\u{fffd}\""),
        (b"\x80\x02no", ReasonCode::Protocol, "not of WebSocket: the pieces of a message are out of order"),
        (b"\x01\x02no\x81\x02no", ReasonCode::Protocol, "not of WebSocket: the pieces of a message are out of order"),
        (
            b"\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00",
            ReasonCode::TooLarge,
            "a message of 4294967296 bytes is more than the 262144 that are read",
        ),
        (b"", ReasonCode::Timeout, "no answer within 300ms (while reading the answer)"),
    ] {
        assert_eq!(fail(&told(frames).await), (code, text.to_owned()), "{frames:?}");
    }
}

#[tokio::test]
async fn an_answer_that_opens_nothing_is_told() {
    let target = Target::ok("fine");
    let plain = ask(&format!("websocket: {{ url: 'ws://{}/' }}", target.addr())).await;
    assert_fail(&plain, ReasonCode::Status, "the server answered 200 OK, not 101 Switching Protocols");
    let old = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
               Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let target = Target::say("", &[(b"\r\n\r\n", old.as_bytes())]);
    let replayed = ask(&format!("websocket: {{ url: 'ws://{}/' }}", target.addr())).await;
    let text = "the proof is wrong (Sec-WebSocket-Accept): an old answer, or no WebSocket server";
    assert_fail(&replayed, ReasonCode::Protocol, text);
    let authority = Authority::new();
    let target = Target::https(&authority.valid(), "fine");
    let (_file, trust) = trusting(&authority);
    let secure = ask(&format!("websocket: {{ url: 'wss://{}/', tls: {{ {trust} }} }}", target.addr())).await;
    assert_fail(&secure, ReasonCode::Status, "the server answered 200 OK, not 101 Switching Protocols");
    assert!(secure.seen.cert_expires.is_some());
    let (code, _) = fail(&ask(&format!("websocket: {{ url: 'ws://{}/' }}", target.addr())).await);
    assert!(matches!(code, ReasonCode::Protocol | ReasonCode::Reset), "{code:?}");
}

#[tokio::test]
async fn what_may_be_secret_is_sent_and_not_shown() {
    let target = Target::websocket();
    let check = format!(
        "websocket: {{ url: '{}?token=${{SECRET}}', headers: {{ X-Key: '${{SECRET}}' }}, bearer: '${{SECRET}}' }}",
        target.url("/a")
    );
    assert_pass(&ask(&check).await);
    let sent = String::from_utf8_lossy(&target.received()[0]).into_owned();
    for line in ["GET /a?token=hunter2 HTTP/1.1", "x-key: hunter2", "authorization: Bearer hunter2", "traceparent: 00-"]
    {
        assert!(sent.contains(line), "{line}: {sent}");
    }
    let question = decode(&check, SHORT).unwrap();
    assert_eq!(question.probe.target().shown, format!("{}…", target.url("/")));
    assert!(!format!("{question:?}").contains("hunter2"), "{question:?}");
}
