//! Reads one HTTP/1.1 request by hand, for targets that answer by hand.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::Request;
use crate::peer::{Peer, lock};
use crate::transport::find;

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Reads one HTTP/1.1 request and enters it into the log.
    ///
    /// Chunked bodies are not understood: what fails on purpose afterwards does not need them.
    pub(crate) async fn read_request(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            if let Some(request) = parse(&bytes) {
                lock(&self.log.requests).push(request);
                return Ok(());
            }
            let more = self.read().await?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend(more);
        }
    }
}

/// Returns the request at the start of `bytes` if all of it is there (RFC 9112 sections 2.1 and 6.2).
fn parse(bytes: &[u8]) -> Option<Request> {
    let end = find(bytes, b"\r\n\r\n")?;
    let (head, body) = (String::from_utf8_lossy(bytes.get(..end)?), bytes.get(end + 4..)?);
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let header = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.trim().to_owned());
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).map(header).collect();
    let mut request = Request { method, path, version, headers, body: Bytes::new() };
    let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    request.body = Bytes::copy_from_slice(body.get(..length)?);
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_parsed_once_its_whole_body_is_there() {
        let text = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut]), None, "cut at {cut}");
        }
        let request = parse(text).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/a?b=c"));
        assert_eq!((request.header("HOST"), request.text()), (Some("x"), "body".to_owned()));
    }
}
