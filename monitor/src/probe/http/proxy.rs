//! The way through an HTTP proxy. That the proxy cannot be reached says nothing of the target: it is our own trouble.

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::probe::address::Address;
use crate::probe::dial::{IpVersion, dial};
use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, Phase, ReasonCode};
use crate::probe::run::Run;

/// Longest answer to CONNECT, in bytes.
const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// Connects to the proxy.
pub(super) async fn reach(run: &mut Run, proxy: &Address, ip: IpVersion) -> Result<TcpStream, Outcome> {
    dial(run, proxy, ip).await.map_err(|outcome| match outcome {
        Outcome::Fail(reason) | Outcome::Unknown(reason) => Outcome::local(format!("proxy {proxy}: {}", reason.text)),
        Outcome::Pass => Outcome::Pass,
    })
}

/// Asks the proxy for a tunnel to the target (RFC 9110 section 9.3.6), with credentials if it wants some.
pub(in crate::probe) async fn tunnel<S>(
    run: &mut Run,
    mut stream: S,
    to: &Address,
    headers: &HeaderMap,
) -> Result<S, Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    run.enter(Phase::Connect);
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    for (name, value) in headers {
        request.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    let broken = |error: std::io::Error| Outcome::local(format!("the proxy broke off CONNECT {to}: {error}"));
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    // A server does not speak before our TLS does, so nothing of the tunnel is read along.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > MAX_ANSWER_BYTES || stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
            return Err(Outcome::local(format!("the proxy did not answer CONNECT {to}: {:?}", excerpt(&answer))));
        }
    }
    run.leave();
    let line = excerpt(&answer);
    match line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) {
        Some(200..=299) => Ok(stream),
        // RFC 9110 sections 15.6.3 and 15.6.5: the proxy speaks for the target here.
        Some(502 | 504) => Err(Outcome::fail(ReasonCode::Unreachable, format!("the proxy cannot reach {to}: {line}"))),
        _ => Err(Outcome::local(format!("the proxy refuses CONNECT {to}: {line}"))),
    }
}
