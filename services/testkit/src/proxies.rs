//! Proxies that really lead on: HTTP proxies, plain or over TLS, and SOCKS5 (RFC 1928) with user and password (RFC 1929).
//!
//! What a client says to the proxy itself is in [`Target::received`].

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certificates::Certificate;
use crate::peer::{Peer, lock};
use crate::target::Target;
use crate::tls::{accept, acceptor};
use crate::transport::find;

const NOT_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
const GONE: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
const TUNNEL: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

impl Target {
    /// Leads on whoever asks as one asks a proxy (RFC 9110 section 9.3.6, RFC 9112 section 3.2.2).
    pub fn proxy() -> Self {
        Self::serve("http", lead)
    }

    /// As [`Target::proxy`], over TLS; ALPN offers http/1.1.
    pub fn https_proxy(certificate: &Certificate) -> Self {
        let acceptor = acceptor(certificate, None, &[b"http/1.1"]);
        Self::serve("https", move |peer| {
            let acceptor = acceptor.clone();
            async move { lead(accept(&acceptor, peer).await?).await }
        })
    }

    /// Leads on whoever asks by SOCKS5, and says this user and password if some are given.
    pub fn socks5(login: Option<(&'static str, &'static str)>) -> Self {
        Self::serve("socks5", move |peer| lead_socks(peer, login))
    }
}

async fn lead<S: AsyncRead + AsyncWrite + Unpin>(mut peer: Peer<S>) -> io::Result<()> {
    let mut heard = Vec::new();
    let end = loop {
        let bytes = peer.read().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        heard.extend(bytes);
        if let Some(start) = find(&heard, b"\r\n\r\n") {
            break start + 4;
        }
    };
    let head = String::from_utf8_lossy(heard.get(..end).unwrap_or_default()).into_owned();
    let mut words = head.split(' ');
    let (method, to) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method == "CONNECT" {
        return match TcpStream::connect(to).await {
            Ok(onward) => {
                peer.send(TUNNEL).await?;
                join(peer, onward).await
            }
            Err(_) => peer.send(GONE).await,
        };
    }
    let Some((authority, path)) = to.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
        return peer.send(NOT_HTTP).await;
    };
    let Ok(mut onward) = TcpStream::connect(authority).await else { return peer.send(GONE).await };
    let head = head.replacen(to, &format!("/{path}"), 1);
    onward.write_all(head.as_bytes()).await?;
    onward.write_all(heard.get(end..).unwrap_or_default()).await?;
    join(peer, onward).await
}

async fn lead_socks(mut peer: Peer<TcpStream>, login: Option<(&'static str, &'static str)>) -> io::Result<()> {
    let [_version, count] = take(&mut peer).await?;
    let offered = take_all(&mut peer, count.into()).await?;
    let wanted = if login.is_some() { 2 } else { 0 };
    if !offered.contains(&wanted) {
        return peer.send(&[5, 0xff]).await;
    }
    peer.send(&[5, wanted]).await?;
    if let Some((user, password)) = login {
        let [_version, length] = take(&mut peer).await?;
        let said_user = take_all(&mut peer, length.into()).await?;
        let [length] = take(&mut peer).await?;
        let said_password = take_all(&mut peer, length.into()).await?;
        let is_fine = (said_user, said_password) == (user.into(), password.into());
        peer.send(&[1, u8::from(!is_fine)]).await?;
        if !is_fine {
            return peer.finish().await;
        }
    }
    let [_version, _connect, _reserved, kind] = take(&mut peer).await?;
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => take::<1, _>(&mut peer).await?[0].into(),
    };
    let host = take_all(&mut peer, length).await?;
    let port = u16::from_be_bytes(take(&mut peer).await?);
    let host = match <[u8; 4]>::try_from(host.as_slice()) {
        Ok(v4) if kind == 1 => std::net::Ipv4Addr::from(v4).to_string(),
        _ => String::from_utf8_lossy(&host).into_owned(),
    };
    match TcpStream::connect((host, port)).await {
        Ok(onward) => {
            peer.send(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
            join(peer, onward).await
        }
        // RFC 1928 section 6: connection refused.
        Err(_) => peer.send(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await,
    }
}

async fn take<const N: usize, S: AsyncRead + Unpin>(peer: &mut Peer<S>) -> io::Result<[u8; N]> {
    let bytes = take_all(peer, N).await?;
    Ok(bytes.try_into().unwrap_or([0; N]))
}

/// Reads so many bytes, and notes them.
async fn take_all<S: AsyncRead + Unpin>(peer: &mut Peer<S>, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    peer.stream.read_exact(&mut bytes).await?;
    if let Some(kept) = lock(&peer.log.received).get_mut(peer.place) {
        kept.extend(&bytes);
    }
    Ok(bytes)
}

async fn join<S: AsyncRead + AsyncWrite + Unpin>(mut peer: Peer<S>, mut onward: TcpStream) -> io::Result<()> {
    tokio::io::copy_bidirectional(&mut peer.stream, &mut onward).await.map(drop)
}
