//! TLS targets, seen by a rustls client.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testkit::{Authority, Certificate, Target, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{GET, LIMIT, SILENCE, connect, split};

/// Returns the settings of a client that trusts `authority` and may show `identity`.
fn client(authority: &Authority, identity: Option<&Certificate>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let Some(identity) = identity else { return builder.with_no_client_auth() };
    let chain = CertificateDer::pem_slice_iter(identity.pem().as_bytes()).collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).expect("PEM");
    builder.with_client_auth_cert(chain, key).expect("an identity")
}

/// Shakes hands with `target` under the name `localhost`.
pub(crate) async fn shake(target: &Target, authority: &Authority) -> io::Result<TlsStream<TcpStream>> {
    shake_as(target, client(authority, None)).await
}

async fn shake_as(target: &Target, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    timeout(LIMIT, connector.connect(name, connect(target).await)).await.expect("the handshake ends")
}

async fn fetch(mut stream: TlsStream<TcpStream>) -> io::Result<Vec<u8>> {
    stream.write_all(GET).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(split(&answer).1)
}

#[tokio::test]
async fn https_answers_and_offers_both_protocols() {
    let authority = Authority::new();
    let target = Target::https(&authority.valid(), "fine");
    assert!(target.url("/x").starts_with("https://127.0.0.1:"));
    assert_eq!(fetch(shake(&target, &authority).await.unwrap()).await.unwrap(), b"fine");
    assert_eq!(target.requests()[0].path, "/path?a=b");
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let mut config = client(&authority, None);
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = shake_as(&target, config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    }
}

#[tokio::test]
async fn a_required_client_certificate_is_checked() {
    let authority = Authority::new();
    let target = Target::https_requiring_client_certificate(&authority, &authority.valid(), "fine");
    let known = client(&authority, Some(&authority.client("probe")));
    assert_eq!(fetch(shake_as(&target, known).await.unwrap()).await.unwrap(), b"fine");
    let nobody = fetch(shake(&target, &authority).await.unwrap()).await.unwrap_err();
    assert!(nobody.to_string().contains("CertificateRequired"), "{nobody}");
    let stranger = client(&authority, Some(&Authority::new().client("probe")));
    let stranger = fetch(shake_as(&target, stranger).await.unwrap()).await.unwrap_err();
    assert!(stranger.to_string().contains("received fatal alert"), "{stranger}");
    assert_eq!(target.requests().len(), 1);
}

#[tokio::test]
async fn tls_echoes_and_tls_say_talks() {
    let authority = Authority::new();
    let target = Target::tls(&authority.valid());
    let mut stream = shake(&target, &authority).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, target.received()), (b"hello", vec![b"hello".to_vec()]));

    let target = Target::tls_say(&authority.valid(), "", &[(b"PING\r\n", b"+PONG\r\n")]);
    let mut stream = shake(&target, &authority).await.unwrap();
    stream.write_all(b"PING\r\n").await.unwrap();
    let mut heard = [0; 7];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"+PONG\r\n");
}

#[tokio::test]
async fn tls_stall_never_answers_the_client_hello() {
    let target = Target::tls_stall();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client(&Authority::new(), None)));
    assert!(timeout(SILENCE, connector.connect(name, connect(&target).await)).await.is_err());
    let first = async || target.received().first()?.first().copied();
    // 22 is a handshake record (RFC 8446 section 5.1).
    assert_eq!(eventually("it has read", LIMIT, first).await, 22);
}
