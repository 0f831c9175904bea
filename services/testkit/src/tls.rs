//! TLS targets (1.2 and 1.3) on aws-lc-rs, named explicitly so that no process default is needed or set.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{Authority, Certificate};
use crate::http::{Answer, serve_http};
use crate::message::{Request, Response};
use crate::peer::Peer;
use crate::target::Target;
use crate::transport::{Script, stall, talk};

impl Target {
    /// Answers every request with 200 and `body` over TLS; ALPN offers h2 and http/1.1.
    pub fn https(certificate: &Certificate, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::https_with(certificate, move |_| Response::new(200, body.clone()))
    }

    /// Answers each request over TLS with what `answer` makes of it; ALPN offers h2 and http/1.1.
    pub fn https_with(
        certificate: &Certificate,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::https_from(acceptor(certificate, None, HTTP), Arc::new(answer))
    }

    /// Answers with 200 and `body` only clients with a certificate by `clients`; others get a TLS alert.
    ///
    /// In TLS 1.3 the alert comes after the client's side of the handshake is done: with its first read.
    pub fn https_requiring_client_certificate(
        clients: &Authority,
        certificate: &Certificate,
        body: impl Into<Bytes>,
    ) -> Self {
        let body = body.into();
        let answer = move |_: &Request| Response::new(200, body.clone());
        Self::https_from(acceptor(certificate, Some(clients), HTTP), Arc::new(answer))
    }

    /// Completes the TLS handshake (no ALPN), then sends back every byte it gets.
    pub fn tls(certificate: &Certificate) -> Self {
        let acceptor = acceptor(certificate, None, &[]);
        Self::serve("tls", move |peer| {
            let acceptor = acceptor.clone();
            async move { echo(accept(&acceptor, peer).await?).await }
        })
    }

    /// Holds the dialog of [`Target::say`] over TLS (no ALPN).
    pub fn tls_say(certificate: &Certificate, banner: impl Into<Bytes>, answers: &[(&[u8], &[u8])]) -> Self {
        let acceptor = acceptor(certificate, None, &[]);
        let script = Arc::new(Script::new(banner.into(), answers));
        Self::serve("tls", move |peer| {
            let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
            async move { talk(accept(&acceptor, peer).await?, script).await }
        })
    }

    /// Accepts the TCP connection, reads, and never answers the ClientHello.
    pub fn tls_stall() -> Self {
        Self::serve("https", stall)
    }

    fn https_from(acceptor: TlsAcceptor, answer: Arc<Answer>) -> Self {
        Self::serve("https", move |peer| {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            async move { serve_http(accept(&acceptor, peer).await?, answer).await }
        })
    }
}

/// ALPN names (RFC 7301 section 6), best first.
const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

pub(crate) fn acceptor(certificate: &Certificate, clients: Option<&Authority>, alpn: &[&[u8]]) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority)), provider)
                .build()
                .expect("there is one root"),
        ),
    };
    let (chain, key) = (certificate.chain.clone(), certificate.key.clone_key());
    let mut config = builder.with_single_cert(chain, key).expect("the key belongs to the certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn roots(authority: &Authority) -> RootCertStore {
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("our own PEM");
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("our own root");
    roots
}

pub(crate) async fn accept(acceptor: &TlsAcceptor, peer: Peer<TcpStream>) -> io::Result<Peer<TlsStream<TcpStream>>> {
    let Peer { stream, log, tasks, place } = peer;
    Ok(Peer { stream: acceptor.accept(stream).await?, log, tasks, place })
}

async fn echo(mut peer: Peer<TlsStream<TcpStream>>) -> io::Result<()> {
    loop {
        let bytes = peer.read().await?;
        if bytes.is_empty() {
            return peer.finish().await;
        }
        peer.send(&bytes).await?;
    }
}
