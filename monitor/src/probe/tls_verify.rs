//! Judges the chain a server presents, and remembers it even when the judgement is bad: an expiry that vanishes at the
//! moment of expiry would silence the alert about it.

use std::cell::RefCell;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER_PERMISSIVE;
use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

tokio::task_local! {
    /// What the server of the handshake in this task presented; the verifier has no other way to its caller.
    pub(super) static PRESENTED: RefCell<Presented>;
}

/// What is known of a chain, whether it is trusted or not.
#[derive(Debug, Default, Clone)]
pub(super) struct Presented {
    /// The earliest end of validity in the chain.
    pub(super) earliest: Option<Timestamp>,
    /// The end of the leaf's own validity.
    pub(super) leaf: Option<Timestamp>,
    /// Names the leaf is for; only filled when verification failed.
    pub(super) names: Vec<String>,
    /// Who signed the last certificate of the chain; only filled when verification failed.
    pub(super) issuer: String,
    /// True if the leaf signed itself; only filled when verification failed.
    pub(super) self_signed: bool,
    /// True if the server asked for a certificate of ours.
    pub(super) asks_for_ours: bool,
    /// True if `chain` is wanted.
    pub(super) keeps_chain: bool,
    /// Every certificate, the leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

/// Whom a probe trusts.
#[derive(Debug)]
pub(super) enum Trust {
    /// Chains to one of these authorities, within their validity, for the right name.
    Roots(Arc<WebPkiServerVerifier>),
    /// Exactly these leaves, for any name, within their validity.
    Pins(Vec<Pin>),
    /// Everybody: `verify: false`.
    Anybody,
}

/// What a pinned leaf must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pin {
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` shows it.
    Certificate([u8; 32]),
    /// SHA-256 of the public key (SPKI), as curl's `--pinnedpubkey sha256//…` takes it (RFC 7469 section 2.4).
    PublicKey([u8; 32]),
}

impl Pin {
    /// Parses 64 hex digits with or without colons, or `sha256//` and base64.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(encoded) = text.strip_prefix("sha256//") {
            return STANDARD.decode(encoded).ok()?.try_into().ok().map(Self::PublicKey);
        }
        let digits = text.replace(':', "");
        HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok().map(Self::Certificate)
    }

    fn matches(&self, certificate: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> bool {
        match self {
            Self::Certificate(digest) => Sha256::digest(certificate.as_ref()).as_slice() == digest,
            Self::PublicKey(digest) => Sha256::digest(parsed.public_key().raw).as_slice() == digest,
        }
    }
}

/// The verifier of one TLS policy.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = match &self.trust {
            Trust::Roots(verifier) => verifier.verify_server_cert(leaf, rest, name, ocsp, now),
            Trust::Pins(pins) => verify_pin(pins, leaf, now),
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
        };
        // Outside a handshake of ours nobody wants to know.
        let _nobody_asks = PRESENTED.try_with(|cell| describe(&mut cell.borrow_mut(), leaf, rest, judged.is_err()));
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn verify_pin(pins: &[Pin], leaf: &CertificateDer<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
    let wrong = |error| Err(Error::InvalidCertificate(error));
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return wrong(CertificateError::BadEncoding) };
    if !pins.iter().any(|pin| pin.matches(leaf, &parsed)) {
        return wrong(CertificateError::ApplicationVerificationFailure);
    }
    let end = unix_time(parsed.validity().not_after.timestamp());
    let start = unix_time(parsed.validity().not_before.timestamp());
    if now > end {
        return wrong(CertificateError::ExpiredContext { time: now, not_after: end });
    }
    if now < start {
        return wrong(CertificateError::NotValidYetContext { time: now, not_before: start });
    }
    Ok(ServerCertVerified::assertion())
}

fn unix_time(secs: i64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(secs).unwrap_or(0)))
}

fn describe(presented: &mut Presented, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>], in_words: bool) {
    if presented.keeps_chain {
        presented.chain =
            std::iter::once(leaf).chain(rest).map(|certificate| certificate.clone().into_owned()).collect();
    }
    for (index, certificate) in std::iter::once(leaf).chain(rest).enumerate() {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { continue };
        let expires = Timestamp::from_second(parsed.validity().not_after.timestamp()).ok();
        presented.earliest = presented.earliest.into_iter().chain(expires).min();
        if index == 0 {
            presented.leaf = expires;
        }
        if in_words {
            presented.issuer = parsed.issuer().to_string();
            if index == 0 {
                presented.names = names(&parsed);
                presented.self_signed = parsed.issuer() == parsed.subject();
            }
        }
    }
}

/// The names a leaf is for: subject alternative names only, as clients check them (RFC 9110 section 4.3.4).
fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let show = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(std::net::Ipv4Addr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        _ => None,
    };
    extension.value.general_names.iter().filter_map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_fingerprint_with_or_without_colons_or_a_key_digest() {
        let hex = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(Pin::parse(&hex), Some(Pin::Certificate([0xab; 32])));
        assert_eq!(Pin::parse(&colons), Some(Pin::Certificate([0xab; 32])));
        let key = format!("sha256//{}", STANDARD.encode([7; 32]));
        assert_eq!(Pin::parse(&key), Some(Pin::PublicKey([7; 32])));
        for wrong in ["", "ab", "zz", "sha256//abc", &"ab".repeat(33), &"abc".repeat(22)] {
            assert_eq!(Pin::parse(wrong), None, "{wrong}");
        }
    }
}
