//! The opening handshake: an HTTP/1.1 request that asks for another protocol, and 101 with the proof that it was
//! understood (RFC 6455 section 4).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HOST, UPGRADE};
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Run;
use crate::probe::wire::{Parsed, TLS_ALERT, Wire, foreign};

/// What the proof is made of beside our key (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Largest head of an answer, in bytes; browsers and proxies give up at 8 to 256 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A request that is ready but for its key.
pub(in crate::probe) struct Opening {
    /// Everything but what changes with every probe.
    head: Vec<u8>,
    protocols: Vec<String>,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// `404 Not Found`, as it was written.
    shown: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Opening {
    /// Prepares the request; `Err` says what in the configuration cannot be sent.
    pub(in crate::probe) fn new(url: &Url, mut headers: HeaderMap, protocols: &[String]) -> Result<Self, String> {
        let of_the_handshake =
            headers.keys().find(|name| **name == UPGRADE || name.as_str().starts_with("sec-websocket-"));
        if let Some(name) = of_the_handshake {
            return Err(format!("the header {name} is set by the probe itself; remove it"));
        }
        let is_token =
            |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if let Some(wrong) = protocols.iter().find(|name| !is_token(name)) {
            return Err(format!("subprotocol {wrong:?} is no single word; write a list, like [graphql-ws, mqtt]"));
        }
        // A configured `host` header is the name of a virtual host.
        let host = headers.remove(HOST).or_else(|| HeaderValue::from_str(&authority(url)).ok());
        let host = host.ok_or("the host of the URL cannot be sent")?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut head = format!("GET {}{query} HTTP/1.1\r\nHost: ", url.path()).into_bytes();
        head.extend(host.as_bytes());
        head.extend(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        if !protocols.is_empty() {
            head.extend(format!("Sec-WebSocket-Protocol: {}\r\n", protocols.join(", ")).as_bytes());
        }
        for (name, value) in &headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        Ok(Self { head, protocols: protocols.to_vec() })
    }

    /// Asks, and checks the answer.
    pub(in crate::probe) async fn hold(&self, run: &mut Run, wire: &mut Wire) -> Result<(), Outcome> {
        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        let mut request = self.head.clone();
        // Who has no trace sends none.
        let trace = Some(&run.traceparent).filter(|trace| !trace.is_empty());
        let trace = trace.map(|trace| format!("traceparent: {trace}\r\n")).unwrap_or_default();
        request.extend(format!("Sec-WebSocket-Key: {key}\r\n{trace}\r\n").as_bytes());
        wire.send(&request, "the request").await?;
        let head = wire.receive(run, "the answer to the request", parse_head).await?;
        run.seen.status = Some(head.status);
        let protocol = self.check(&head, &key)?;
        let protocol = protocol.map(|protocol| format!(" ({})", excerpt(protocol.as_bytes()))).unwrap_or_default();
        run.seen.protocol = Some(format!("WebSocket{protocol}"));
        Ok(())
    }

    /// Returns the subprotocol that the server chose, if any (RFC 6455 section 4.1, the client's rules 1 to 6).
    fn check<'a>(&self, head: &'a Head, key: &str) -> Result<Option<&'a str>, Outcome> {
        if head.status != 101 {
            let to = head.header("location").filter(|_| (300..400).contains(&head.status));
            let to = to.map(|to| format!("; it redirects to {}", excerpt(to.as_bytes()))).unwrap_or_default();
            let text = format!("the server answered {}, not 101 Switching Protocols{to}", head.shown);
            return Err(Outcome::fail(ReasonCode::Status, text));
        }
        let wrong = |text: String| Err(Outcome::fail(ReasonCode::Protocol, text));
        if !head.lists("upgrade", "websocket") || !head.lists("connection", "upgrade") {
            return wrong("the server switched to another protocol: its \"Upgrade\" is not websocket".to_owned());
        }
        if head.header("sec-websocket-accept") != Some(accept(key).as_str()) {
            return wrong(
                "the proof is wrong (Sec-WebSocket-Accept): an old answer, or no WebSocket server".to_owned(),
            );
        }
        if let Some(extension) = head.header("sec-websocket-extensions") {
            return wrong(format!("the server uses an extension nobody asked for: {}", excerpt(extension.as_bytes())));
        }
        let chosen = head.header("sec-websocket-protocol");
        match chosen {
            None if self.protocols.is_empty() => Ok(None),
            None => {
                wrong(format!("the server speaks none of the subprotocols offered ({})", self.protocols.join(", ")))
            }
            Some(chosen) if self.protocols.iter().any(|offered| offered == chosen) => Ok(Some(chosen)),
            Some(chosen) => {
                wrong(format!("the server chose a subprotocol nobody offered: {}", excerpt(chosen.as_bytes())))
            }
        }
    }
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// True if a header that is a list has this word in it; proxies add `keep-alive`.
    fn lists(&self, name: &str, word: &str) -> bool {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values.flat_map(|(_, value)| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The proof that belongs to a key.
fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

fn parse_head(bytes: &[u8]) -> Parsed<Head> {
    if bytes.starts_with(&TLS_ALERT) {
        let text = "the server speaks TLS on this port; write wss:// instead of ws://";
        return Err(Outcome::fail(ReasonCode::Protocol, text));
    }
    let begin = b"HTTP/1.";
    if bytes.iter().zip(begin).any(|(found, expected)| found != expected) {
        return Err(foreign("HTTP", bytes));
    }
    let end = bytes.windows(4).take(MAX_HEAD_BYTES).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        if bytes.len() > MAX_HEAD_BYTES {
            let text = format!("the answer's head is larger than {MAX_HEAD_BYTES} bytes");
            return Err(Outcome::fail(ReasonCode::TooLarge, text));
        }
        return Ok(None);
    };
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let mut lines = text.split("\r\n");
    let shown = lines.next().and_then(|line| line.split_once(' ')).map(|(_, shown)| excerpt(shown.as_bytes()));
    let shown = shown.unwrap_or_default();
    let Some(status) = shown.split(' ').next().and_then(|status| status.parse().ok()) else {
        return Err(foreign("HTTP", bytes));
    };
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Some((Head { status, shown, headers }, end + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// What an answer with these lines after its status comes to.
    fn check(protocols: &[&str], lines: &str) -> Result<Option<String>, String> {
        let protocols: Vec<String> = protocols.iter().map(|name| (*name).to_owned()).collect();
        let url = Url::parse("ws://example.com/a?b").unwrap();
        let opening = Opening::new(&url, HeaderMap::new(), &protocols).unwrap();
        let (head, _) = parse_head(format!("HTTP/1.1 {lines}\r\n\r\nmore").as_bytes()).unwrap().unwrap();
        match opening.check(&head, KEY) {
            Ok(chosen) => Ok(chosen.map(str::to_owned)),
            Err(Outcome::Fail(reason)) => Err(reason.text),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_proof_is_that_of_its_rfc() {
        // RFC 6455 section 1.3.
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_an_answer_to_our_own_request_opens() {
        let fine = "101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(check(&[], fine), Ok(None));
        assert_eq!(check(&["mqtt"], &format!("{fine}\r\nsec-websocket-protocol: mqtt")), Ok(Some("mqtt".to_owned())));
        for (protocols, lines, text) in [
            (&["mqtt"][..], fine.to_owned(), "the server speaks none of the subprotocols offered (mqtt)"),
            (
                &["mqtt"],
                format!("{fine}\r\nSec-WebSocket-Protocol: wamp"),
                "the server chose a subprotocol nobody offered: wamp",
            ),
            (
                &[],
                format!("{fine}\r\nSec-WebSocket-Extensions: permessage-deflate"),
                "the server uses an extension nobody asked for: permessage-deflate",
            ),
            (
                &[],
                fine.replace("s3pP", "xxxx"),
                "the proof is wrong (Sec-WebSocket-Accept): an old answer, or no WebSocket server",
            ),
            (
                &[],
                fine.replace("WebSocket\r\n", "h2c\r\n"),
                "the server switched to another protocol: its \"Upgrade\" is not websocket",
            ),
            (&[], "200 OK".to_owned(), "the server answered 200 OK, not 101 Switching Protocols"),
            (
                &[],
                "302 Found\r\nLocation: https://example.com/login".to_owned(),
                "the server answered 302 Found, not 101 Switching Protocols; it redirects to https://example.com/login",
            ),
        ] {
            assert_eq!(check(protocols, &lines), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_head_may_come_in_pieces_and_is_not_read_for_ever() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse_head(&head[..end]), Ok(None), "{end}");
        }
        assert!(parse_head(b"SSH-2.0").is_err());
        assert!(parse_head(b"HTTP/1.1 xyz\r\n\r\n").is_err());
        assert!(parse_head(&[b"HTTP/1.1 101 ".as_slice(), &[b'x'; MAX_HEAD_BYTES]].concat()).is_err());
    }
}
