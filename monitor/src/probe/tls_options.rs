//! `tls:` as every kind that speaks TLS takes it, checked into one shared client configuration per probe.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use kit::config::{Cursor, Fields};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use super::tls_verify::{PRESENTED, Pin, Trust, Verifier};

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// ALPN names (RFC 7301 section 6, RFC 9113 section 3.1).
pub(super) const H2: &[u8] = b"h2";
pub(super) const HTTP_1_1: &[u8] = b"http/1.1";

/// How a probe speaks TLS.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// The name to ask for and to check instead of the host.
    pub(super) server_name: Option<ServerName<'static>>,
    /// For hosts we are redirected to: the same trust, without our certificate.
    pub(super) for_others: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Decodes `tls:`; nothing written means the machine's trust roots and TLS 1.2 or later. `alpn`: best first.
    pub(super) fn decode(cursor: Option<&Cursor<'_>>, alpn: &[&[u8]]) -> Option<Self> {
        let Some(cursor) = cursor else { return Self::usual(alpn) };
        let fields = cursor.fields()?;
        let tls = Self::decode_fields(&fields, alpn);
        fields.end();
        tls
    }

    /// Returns what counts where nothing is written: made once, however many checks there are.
    pub(super) fn usual(alpn: &[&[u8]]) -> Option<Self> {
        static USUAL: Mutex<BTreeMap<Vec<Vec<u8>>, Tls>> = Mutex::new(BTreeMap::new());
        let names: Vec<Vec<u8>> = alpn.iter().map(|name| name.to_vec()).collect();
        let mut usual = USUAL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = usual.get(&names) {
            return Some(tls.clone());
        }
        let tls = Self::build(trust_in(kit::tls::roots())?, VERSIONS_1_2, None, alpn).ok()?;
        Some(usual.entry(names).or_insert(tls).clone())
    }

    /// Decodes the keys of `tls:` where they stand among others.
    pub(super) fn decode_fields(fields: &Fields<'_>, alpn: &[&[u8]]) -> Option<Self> {
        let trust = decode_trust(fields);
        let server_name = match fields.get("server_name") {
            Some(cursor) => decode_server_name(&cursor).map(Some),
            None => Some(None),
        };
        let identity = decode_identity(fields);
        let versions = fields
            .get("min_version")
            .map_or(Some(VERSIONS_1_2), |c| c.one_of(&[("1.2", VERSIONS_1_2), ("1.3", VERSIONS_1_3)]));
        let server_name = server_name?;
        match Self::build(trust?, versions?, identity?, alpn) {
            Ok(tls) => Some(Self { server_name, ..tls }),
            Err(error) => {
                fields.cursor().mistake(format!("the client certificate cannot be used: {error}"));
                None
            }
        }
    }

    /// Joins what was checked before.
    pub(super) fn build(
        trust: Trust,
        versions: Versions,
        identity: Identity,
        alpn: &[&[u8]],
    ) -> Result<Self, rustls::Error> {
        let verifier = Arc::new(Verifier::new(trust, PROVIDER.signature_verification_algorithms));
        let builder = || {
            ClientConfig::builder_with_provider(PROVIDER.clone())
                .with_protocol_versions(versions)
                .map(|builder| builder.dangerous().with_custom_certificate_verifier(verifier.clone()))
        };
        let finish = |mut config: ClientConfig| {
            // A resumed session would shorten the handshake that we are here to time.
            config.resumption = Resumption::disabled();
            config.client_auth_cert_resolver = Arc::new(Asked(config.client_auth_cert_resolver));
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        let for_others = finish(builder()?.with_no_client_auth());
        let config = match identity {
            Some((chain, key)) => finish(builder()?.with_client_auth_cert(chain, key)?),
            None => for_others.clone(),
        };
        Ok(Self { config, server_name: None, for_others })
    }
}

/// Notes that a server asked for a certificate, then answers as configured.
#[derive(Debug)]
struct Asked(Arc<dyn ResolvesClientCert>);

impl ResolvesClientCert for Asked {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Outside a handshake of ours nobody wants to know.
        let _nobody_asks = PRESENTED.try_with(|cell| cell.borrow_mut().asks_for_ours = true);
        self.0.resolve(issuers, schemes)
    }

    fn has_certs(&self) -> bool {
        self.0.has_certs()
    }
}

pub(super) type Versions = &'static [&'static SupportedProtocolVersion];
pub(super) type Identity = Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

pub(super) const VERSIONS_1_2: Versions = &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(super) const VERSIONS_1_3: Versions = &[&rustls::version::TLS13];

fn decode_trust(fields: &Fields<'_>) -> Option<Trust> {
    let verify = fields.get("verify").map_or(Some(true), |c| c.bool());
    let pins = fields.get("pin_sha256").map(|c| c.items().iter().map(decode_pin).collect::<Option<Vec<Pin>>>());
    let roots = fields.get("ca_file").map(|c| decode_roots(&c));
    match (verify?, pins, roots) {
        (false, None, None) => Some(Trust::Anybody),
        (false, ..) => {
            fields.cursor().mistake("verify: false makes \"ca_file\" and \"pin_sha256\" useless; keep one of them");
            None
        }
        (true, Some(_), Some(_)) => {
            fields.cursor().mistake("both \"pin_sha256\" and \"ca_file\" are set; a pin is trusted without a ca_file");
            None
        }
        (true, Some(pins), None) => pins.map(Trust::Pins),
        (true, None, Some(roots)) => trust_in(roots?),
        (true, None, None) => trust_in(kit::tls::roots()),
    }
}

/// Trusts chains to one of these authorities.
pub(super) fn trust_in(roots: Arc<RootCertStore>) -> Option<Trust> {
    WebPkiServerVerifier::builder_with_provider(roots, PROVIDER.clone()).build().ok().map(Trust::Roots)
}

/// Reads `ca_file`: a PEM file of authorities that are trusted instead of the machine's.
pub(crate) fn decode_roots(cursor: &Cursor<'_>) -> Option<Arc<RootCertStore>> {
    let path = cursor.text()?;
    let mut store = RootCertStore::empty();
    let (added, _ignored) = store.add_parsable_certificates(read_certificates(cursor, &path)?);
    if added == 0 {
        cursor.mistake(format!("there is no PEM certificate of an authority in {path}"));
        return None;
    }
    Some(Arc::new(store))
}

fn decode_pin(cursor: &Cursor<'_>) -> Option<Pin> {
    let text = cursor.text()?;
    let pin = Pin::parse(&text);
    if pin.is_none() {
        cursor.mistake(format!(
            "{} is not a SHA-256 pin; write the certificate's fingerprint as 64 hex digits (colons allowed), or \
             sha256// and the public key's digest in base64",
            cursor.node().shown()
        ));
    }
    pin
}

fn decode_server_name(cursor: &Cursor<'_>) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(cursor.text()?).ok();
    if name.is_none() {
        cursor.mistake(format!("{} is not a name that a certificate can carry", cursor.node().shown()));
    }
    name
}

/// The outer `None` is a mistake, the inner one means that no client certificate is configured.
fn decode_identity(fields: &Fields<'_>) -> Option<Identity> {
    match (fields.get("client_certificate_file"), fields.get("client_key_file")) {
        (None, None) => Some(None),
        (Some(chain), Some(key)) => {
            let chain = decode_chain(&chain);
            let path = key.text()?;
            let key = PrivateKeyDer::from_pem_file(Path::new(&path))
                .map_err(|error| key.mistake(format!("cannot read a private key from {path}: {error}")));
            Some(Some((chain?, key.ok()?)))
        }
        (Some(only), None) | (None, Some(only)) => {
            only.mistake("a client certificate needs both \"client_certificate_file\" and \"client_key_file\"");
            None
        }
    }
}

fn decode_chain(cursor: &Cursor<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let path = cursor.text()?;
    let chain = read_certificates(cursor, &path)?;
    if chain.is_empty() {
        cursor.mistake(format!("there is no PEM certificate in {path}"));
        return None;
    }
    Some(chain)
}

/// Reads every certificate of a PEM file.
pub(super) fn read_certificates(cursor: &Cursor<'_>, path: &str) -> Option<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(Path::new(path)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.map_err(|error| cursor.mistake(format!("cannot read certificates from {path}: {error}"))).ok()
}
