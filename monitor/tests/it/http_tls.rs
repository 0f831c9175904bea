//! Kind `http` over TLS: certificates that are wrong in one way, client certificates, ALPN.

use std::time::Duration;

use monitor::probe::{Observation, Phase, ReasonCode};
use sha2::{Digest, Sha256};
use testkit::{Authority, Certificate, Target};

use crate::{ask, assert_fail, assert_pass, fail, file, soft, trusting};

const DAY: Duration = Duration::from_secs(86_400);

/// Asks a target by the name `localhost` with these `tls:` settings.
async fn ask_tls(target: &Target, tls: &str, more: &str) -> Observation {
    let url = format!("https://localhost:{}/", target.addr().port());
    ask(&format!("http: {{ url: '{url}', tls: {{ {tls} }} }}{more}")).await
}

#[tokio::test]
async fn a_trusted_certificate_passes_and_http_2_is_chosen() {
    let authority = Authority::new();
    let certificate = authority.valid();
    let target = Target::https(&certificate, "pong");
    let (_file, trust) = trusting(&authority);
    let observation = ask_tls(&target, &trust, "\nexpect: { body_contains: pong, cert_valid_for: 30d }").await;
    assert_pass(&observation);
    assert_eq!(soft(&observation), Vec::<&str>::new());
    assert_eq!(observation.seen.protocol.as_deref(), Some("HTTP/2"));
    assert_eq!(observation.seen.cert_expires, Some(certificate.not_after()));
    let phases: Vec<Phase> = observation.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Transfer]);
}

#[tokio::test]
async fn http_1_1_is_spoken_over_tls_if_configured() {
    let authority = Authority::new();
    let target = Target::https(&authority.valid(), "pong");
    let (_file, trust) = trusting(&authority);
    let url = format!("https://localhost:{}/", target.addr().port());
    assert_pass(&ask(&format!("http: {{ url: '{url}', http: 1.1, tls: {{ {trust}, min_version: 1.3 }} }}")).await);
    assert_eq!(target.requests()[0].version, "HTTP/1.1");
}

#[tokio::test]
async fn a_wrong_certificate_is_told_in_words_and_its_expiry_is_still_known() {
    let authority = Authority::new();
    let (_file, trust) = trusting(&authority);
    for (certificate, text) in [
        (authority.wrong_name(), "certificate is for wrong.example, not for localhost"),
        (authority.expired(), "certificate expired 3 days ago"),
        (authority.not_yet_valid(), "certificate becomes valid only in 23h59m"),
        (Certificate::self_signed(), "certificate is self-signed; trust it with tls.pin_sha256 or tls.ca_file"),
    ] {
        let target = Target::https(&certificate, "pong");
        let observation = ask_tls(&target, &trust, "").await;
        assert_fail(&observation, ReasonCode::Certificate, text);
        assert_eq!(observation.seen.cert_expires, Some(certificate.not_after()), "{text}");
        assert_pass(&ask_tls(&target, "verify: false", "").await);
    }
}

#[tokio::test]
async fn an_unknown_authority_is_named() {
    let target = Target::https(&Authority::new().valid(), "pong");
    let (_file, trust) = trusting(&Authority::new());
    let (code, text) = fail(&ask_tls(&target, &trust, "").await);
    assert_eq!(code, ReasonCode::Certificate);
    assert!(text.starts_with("certificate was issued by an unknown authority (CN=testkit root "), "{text}");
    let (_, text) = fail(&ask_tls(&target, "", "").await);
    assert!(text.starts_with("certificate was issued by an unknown authority ("), "{text}");
}

#[tokio::test]
async fn an_expiry_to_come_is_a_soft_limit_and_the_whole_chain_counts() {
    let authority = Authority::new();
    let (_file, trust) = trusting(&authority);
    for certificate in [authority.expires_in(3 * DAY), authority.intermediate_expires_in(3 * DAY)] {
        let target = Target::https(&certificate, "pong");
        let observation = ask_tls(&target, &trust, "\nexpect: { cert_valid_for: 14d }").await;
        assert_pass(&observation);
        assert_eq!(soft(&observation), ["certificate expires in 2d23h, less than 14d"]);
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_whoever_signed_it_and_another_is_not() {
    let certificate = Certificate::self_signed();
    let target = Target::https(&certificate, "pong");
    let pin = fingerprint(certificate.pem());
    assert_pass(&ask_tls(&target, &format!("pin_sha256: '{pin}'"), "").await);
    let other = format!("pin_sha256: '{}'", "00".repeat(32));
    assert_fail(&ask_tls(&target, &other, "").await, ReasonCode::Certificate, "certificate is not the pinned one");
    let authority = Authority::new();
    let pin = fingerprint(&authority.pem());
    assert_eq!(pin.len(), 64);
}

#[tokio::test]
async fn a_client_certificate_is_sent_and_its_absence_is_told() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let target = Target::https_requiring_client_certificate(&clients, &servers.valid(), "pong");
    let (_file, trust) = trusting(&servers);
    let client = clients.client("monitor");
    let (chain, key) = (file(client.pem()), file(client.key_pem()));
    let ours = format!(
        "{trust}, client_certificate_file: {}, client_key_file: {}",
        chain.path().display(),
        key.path().display()
    );
    assert_pass(&ask_tls(&target, &ours, "").await);
    let text = "the server asks for a client certificate";
    assert_fail(&ask_tls(&target, &trust, "").await, ReasonCode::Tls, text);
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_told() {
    let url = format!("https://{}/", Target::garbage().addr());
    let target = Target::say("220 mail.example ESMTP\r\n", &[]);
    let observation = ask(&format!("http: {{ url: 'https://{}/' }}", target.addr())).await;
    assert_fail(&observation, ReasonCode::Tls, "the server does not speak TLS on this port");
    drop(url);
}

#[tokio::test]
async fn a_way_from_https_to_http_is_refused() {
    let authority = Authority::new();
    let (_file, trust) = trusting(&authority);
    let plain = Target::ok("pong");
    let away = plain.url("/x");
    let target =
        Target::https_with(&authority.valid(), move |_| testkit::Response::new(302, "").with_header("location", &away));
    let text = format!("redirected from https to {} without encryption", plain.url("/x"));
    assert_fail(&ask_tls(&target, &trust, "").await, ReasonCode::Redirects, &text);
    assert_eq!(plain.connections(), 0);
}

/// What `openssl x509 -fingerprint -sha256` shows.
fn fingerprint(pem: &str) -> String {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    Sha256::digest(der.as_ref()).iter().map(|byte| format!("{byte:02X}")).collect()
}
