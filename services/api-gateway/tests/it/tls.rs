//! Clients that come by https.

use std::sync::Arc;

use kit::http::ServerTls;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use testkit::{Authority, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Gateway, KEY, settings, soon, upstream};

#[tokio::test]
async fn clients_come_by_https_and_services_are_told() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let certificate = authority.valid();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, certificate.pem()).unwrap();
    std::fs::write(&key, certificate.key_pem()).unwrap();
    let target = Target::ok("ok");
    let mut settings = settings();
    settings.airtable_gateway = upstream(&target.url(""));
    settings.tls = Some(ServerTls::read(&chain, &key).unwrap());
    let gateway = Gateway::start(settings).await;
    // Whoever speaks no TLS holds nobody up.
    let mut plain = gateway.write("GET / HTTP/1.1\nHost: x\n\n").await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let connector = TlsConnector::from(Arc::new(kit::tls::client_config(Arc::new(roots))));
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = soon("a handshake", connector.connect(name, stream)).await.unwrap();
    let request = format!("GET /api/airtable/x HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _unclean = soon("an answer", stream.read_to_string(&mut answer)).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("strict-transport-security: max-age=31536000"),
        "{answer}"
    );
    assert_eq!(target.requests()[0].header("x-forwarded-proto"), Some("https"));
    assert!(!crate::read_to_end(&mut plain).await.contains("HTTP/1.1"));
}
