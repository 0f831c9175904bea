//! Throw-away certificates: an authority of one's own, and leaves that are right or wrong in one way.
//!
//! Every leaf is for `localhost` and 127.0.0.1 unless its name says otherwise. Keys are ECDSA P-256.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Names that fit every target.
const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate authority that nobody trusts but the test.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its chain (leaf first, no root) and its private key.
#[derive(Debug)]
pub struct Certificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pem: String,
    key_pem: String,
    not_after: Timestamp,
}

impl Authority {
    /// Makes a new root, valid from yesterday for ten years.
    #[expect(clippy::new_without_default, reason = "each call makes different keys, which a default should not")]
    pub fn new() -> Self {
        let key = new_key();
        // A name of its own: a stranger of the same name would fail as a bad signature, not as an unknown issuer.
        let mark = key.public_key_raw().last_chunk::<4>().map(|last| HEXLOWER.encode(last)).unwrap_or_default();
        let params = issuer_params(&format!("testkit root {mark}"), yesterday()..later(3650 * DAY));
        Self(CertifiedIssuer::self_signed(params, key).expect("a root signs itself"))
    }

    /// Returns the root certificate as PEM: what a client must trust.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Makes a server certificate for `names` (DNS names and addresses); times are cut to whole seconds.
    pub fn issue(&self, names: &[&str], validity: Range<Timestamp>) -> Certificate {
        let params = leaf_params(names, validity.clone(), ExtendedKeyUsagePurpose::ServerAuth);
        signed(&params, &self.0, validity.end)
    }

    /// Makes a certificate with nothing wrong, for the next 90 days.
    pub fn valid(&self) -> Certificate {
        self.expires_in(90 * DAY)
    }

    /// Makes a certificate that ends `left` from now and is otherwise right.
    pub fn expires_in(&self, left: Duration) -> Certificate {
        self.issue(&LOOPBACK, yesterday()..later(left))
    }

    /// Makes a certificate that ended three days and an hour ago: whole days are the same however busy the machine is.
    pub fn expired(&self) -> Certificate {
        let now = Timestamp::now();
        self.issue(&LOOPBACK, now - 30 * DAY..now - 3 * DAY - DAY / 24)
    }

    /// Makes a certificate that begins tomorrow.
    pub fn not_yet_valid(&self) -> Certificate {
        self.issue(&LOOPBACK, later(DAY)..later(90 * DAY))
    }

    /// Makes a certificate for `wrong.example` only.
    pub fn wrong_name(&self) -> Certificate {
        self.issue(&["wrong.example"], yesterday()..later(90 * DAY))
    }

    /// Makes a leaf that ends in 90 days under an intermediate that ends `left` from now, which is sent along.
    pub fn intermediate_expires_in(&self, left: Duration) -> Certificate {
        let params = issuer_params("testkit intermediate", yesterday()..later(left));
        let intermediate =
            CertifiedIssuer::signed_by(params, new_key(), &self.0).expect("a root signs an intermediate");
        let validity = yesterday()..later(90 * DAY);
        let params = leaf_params(&LOOPBACK, validity.clone(), ExtendedKeyUsagePurpose::ServerAuth);
        let mut certificate = signed(&params, &intermediate, validity.end);
        certificate.chain.push(intermediate.der().clone());
        certificate.pem.push_str(&intermediate.pem());
        certificate
    }

    /// Makes a certificate with which a client called `name` can identify itself.
    pub fn client(&self, name: &str) -> Certificate {
        let validity = yesterday()..later(90 * DAY);
        let params = leaf_params(&[name], validity.clone(), ExtendedKeyUsagePurpose::ClientAuth);
        signed(&params, &self.0, validity.end)
    }
}

impl Certificate {
    /// Makes a certificate that signed itself and is otherwise right.
    pub fn self_signed() -> Self {
        let not_after = later(90 * DAY);
        let params = leaf_params(&LOOPBACK, yesterday()..not_after, ExtendedKeyUsagePurpose::ServerAuth);
        let key = new_key();
        let leaf = params.self_signed(&key).expect("a leaf can sign itself");
        Self::new(&leaf, &key, not_after)
    }

    /// Returns the chain as PEM, leaf first.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the private key as PEM (PKCS #8).
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Returns the last second at which the leaf is valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    fn new(leaf: &rcgen::Certificate, key: &KeyPair, not_after: Timestamp) -> Self {
        Self {
            chain: vec![leaf.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            pem: leaf.pem(),
            key_pem: key.serialize_pem(),
            not_after: Timestamp::from_second(not_after.as_second()).expect("a whole second in range"),
        }
    }
}

fn signed(params: &CertificateParams, issuer: &CertifiedIssuer<'static, KeyPair>, end: Timestamp) -> Certificate {
    let key = new_key();
    let leaf = params.signed_by(&key, issuer).expect("an authority signs a leaf");
    Certificate::new(&leaf, &key, end)
}

fn leaf_params(names: &[&str], validity: Range<Timestamp>, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let subjects: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(subjects).expect("names are DNS names or addresses");
    params.distinguished_name.push(DnType::CommonName, *names.first().expect("a certificate has a name"));
    params.not_before = SystemTime::from(validity.start).into();
    params.not_after = SystemTime::from(validity.end).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn issuer_params(name: &str, validity: Range<Timestamp>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = SystemTime::from(validity.start).into();
    params.not_after = SystemTime::from(validity.end).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the provider makes P-256 keys")
}

fn yesterday() -> Timestamp {
    Timestamp::now() - DAY
}

fn later(span: Duration) -> Timestamp {
    Timestamp::now() + span
}
