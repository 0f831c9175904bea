//! Proxy fakes, seen by a bare TCP client.

use testkit::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{ask, connect, split};

#[tokio::test]
async fn a_proxy_leads_to_what_it_is_asked_for_and_keeps_what_it_heard() {
    let (proxy, target, nobody) = (Target::proxy(), Target::ok("in"), Target::refuse());
    let plain = format!("GET {} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", target.url("/a"));
    let (answer, end) = ask(&proxy, plain.as_bytes()).await;
    end.unwrap();
    assert_eq!((split(&answer).1.as_slice(), target.requests()[0].path.as_str()), (&b"in"[..], "/a"));
    assert_eq!(proxy.received(), [plain.into_bytes()]);
    let mut tunnel = connect(&proxy).await;
    tunnel.write_all(format!("CONNECT {} HTTP/1.1\r\n\r\n", target.addr()).as_bytes()).await.unwrap();
    let mut said = [0; 39];
    tunnel.read_exact(&mut said).await.unwrap();
    assert_eq!(said, *b"HTTP/1.1 200 Connection established\r\n\r\n");
    tunnel.write_all(crate::GET).await.unwrap();
    let mut answer = Vec::new();
    tunnel.read_to_end(&mut answer).await.unwrap();
    assert_eq!(split(&answer).1, b"in");
    let (answer, _) = ask(&proxy, format!("CONNECT {} HTTP/1.1\r\n\r\n", nobody.addr()).as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 502 "), "{answer:?}");
}

#[tokio::test]
async fn socks5_leads_only_who_signs_in() {
    let target = Target::ok("in");
    let port = target.addr().port().to_be_bytes();
    let to = [&[5, 1, 0, 1, 127, 0, 0, 1], &port[..], crate::GET].concat();
    for (login, hello, expected) in [
        (None, &b"\x05\x01\x00"[..], &b"\x05\x00"[..]),
        (Some(("me", "pw")), b"\x05\x02\x00\x02\x01\x02me\x02pw", b"\x05\x02\x01\x00"),
        (Some(("me", "pw")), b"\x05\x02\x00\x02\x01\x02me\x02px", b"\x05\x02\x01\x01"),
        (Some(("me", "pw")), b"\x05\x01\x00", b"\x05\xff"),
    ] {
        let (answer, _may_be_reset) = ask(&Target::socks5(login), &[hello, &to].concat()).await;
        let is_led = !matches!(expected, [.., 0xff | 1]);
        assert!(answer.starts_with(expected) && answer.ends_with(b"in") == is_led, "{answer:?}");
    }
}
