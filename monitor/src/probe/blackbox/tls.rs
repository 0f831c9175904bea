//! `tls_config` of modules, and what a handshake tells Prometheus: also when the certificate is not accepted, since an expiry
//! that vanishes at the moment of expiry silences the alert about it.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use kit::config::{Cursor, Fields};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CipherSuite, ProtocolVersion, RootCertStore};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

use super::file::{flag, text};
use super::gauges;
use super::visit::{Stop, Visit};
use crate::probe::address::Host;
use crate::probe::handshake::Handshake;
use crate::probe::observation::ReasonCode;
use crate::probe::tls_options::{Identity, Tls, VERSIONS_1_2, VERSIONS_1_3, Versions, read_certificates, trust_in};
use crate::probe::tls_verify::Trust;

const ONLY_1_2: Versions = &[&rustls::version::TLS12];
/// Certificates between leaf and root that are followed, at most.
const MAX_CHAIN: usize = 10;

/// How a module speaks TLS.
#[derive(Debug, Clone)]
pub(super) struct Secrecy {
    pub(super) tls: Tls,
    /// The authorities of `ca_file`, which are part of the chain.
    roots: Arc<Vec<CertificateDer<'static>>>,
}

/// Which gauges a prober has, beside those that all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// gRPC and DNS over TLS.
    Brief,
    /// TCP, sockets and HTTP.
    Whole,
}

impl Secrecy {
    /// Decodes `tls_config`; `alpn`: best first.
    pub(super) fn decode(cursor: Option<Cursor<'_>>, alpn: &[&[u8]]) -> Option<Self> {
        let Some(fields) = cursor.as_ref().map(|cursor| cursor.fields()) else {
            return Some(Self { tls: Tls::usual(alpn)?, roots: Arc::default() });
        };
        let fields = fields?;
        let insecure = flag(&fields, "insecure_skip_verify", false);
        let roots = authorities(&fields);
        let server_name = text(&fields, "server_name");
        let identity = identity(&fields);
        let versions = versions(&fields);
        fields.end();
        let roots = roots?;
        let trust = if insecure? {
            Trust::Anybody
        } else {
            trust_in(roots.as_ref().map_or_else(kit::tls::roots, |(store, _)| store.clone()))?
        };
        let server_name = match server_name?.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(named(&name).or_else(|| {
                fields_mistake(
                    cursor.as_ref(),
                    format!("server_name {name:?} is not a name that a certificate can carry"),
                )
            })?),
        };
        let tls = match Tls::build(trust, versions?, identity?, alpn) {
            Ok(tls) => Tls { server_name, ..tls },
            Err(error) => {
                return fields_mistake(cursor.as_ref(), format!("the client certificate cannot be used: {error}"));
            }
        };
        Some(Self { tls, roots: Arc::new(roots.map(|(_, roots)| roots).unwrap_or_default()) })
    }

    /// Returns the name to ask for: what is configured, else what was wished for, else the target's.
    pub(super) fn name(&self, wished: Option<&str>, host: &Host) -> Result<ServerName<'static>, Stop> {
        let wished = || wished.and_then(named);
        let name = self.tls.server_name.clone().or_else(wished).or_else(|| host.server_name());
        name.ok_or_else(|| Stop::failed(ReasonCode::Certificate, format!("no certificate can carry the name {host}")))
    }

    /// Tells what the last handshake showed.
    pub(super) fn tell(&self, visit: &mut Visit, told: Told) {
        let Some(handshake) = visit.run.handshake.take() else { return };
        tell_chain(visit, &handshake, told, &self.roots);
        if let Some(version) = handshake.version {
            visit.gauges.set_with(gauges::TLS_VERSION, &[("version", version_name(version))], 1.0);
        }
        if let Some(cipher) = handshake.cipher {
            visit.say(format!("TLS handshake over with {}", cipher_name(cipher)));
            if told == Told::Whole {
                visit.gauges.set_with(gauges::TLS_CIPHER, &[("cipher", &cipher_name(cipher))], 1.0);
            }
        }
    }
}

fn fields_mistake<T>(cursor: Option<&Cursor<'_>>, message: String) -> Option<T> {
    if let Some(cursor) = cursor {
        cursor.mistake(message);
    }
    None
}

fn named(name: &str) -> Option<ServerName<'static>> {
    Host::parse(name).and_then(|host| host.server_name())
}

/// The outer none is a mistake.
type Authorities = Option<(Arc<RootCertStore>, Vec<CertificateDer<'static>>)>;

fn authorities(fields: &Fields<'_>) -> Option<Authorities> {
    let Some(cursor) = fields.get("ca_file") else {
        let inline = fields.get("ca");
        return match inline {
            None => Some(None),
            Some(cursor) => from_pem(&cursor, &cursor.text()?).map(Some),
        };
    };
    let path = cursor.text()?;
    let certificates = read_certificates(&cursor, &path)?;
    store(&cursor, certificates).map(Some)
}

fn from_pem(cursor: &Cursor<'_>, pem: &str) -> Option<(Arc<RootCertStore>, Vec<CertificateDer<'static>>)> {
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    store(cursor, read.map_err(|error| cursor.mistake(format!("these are no PEM certificates: {error}"))).ok()?)
}

fn store(
    cursor: &Cursor<'_>,
    certificates: Vec<CertificateDer<'static>>,
) -> Option<(Arc<RootCertStore>, Vec<CertificateDer<'static>>)> {
    let mut store = RootCertStore::empty();
    let (added, _ignored) = store.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        cursor.mistake("there is no PEM certificate of an authority in it");
        return None;
    }
    Some((Arc::new(store), certificates))
}

fn identity(fields: &Fields<'_>) -> Option<Identity> {
    let (chain, key) = (fields.get("cert_file"), fields.get("key_file"));
    let (inline_chain, inline_key) = (fields.get("cert"), fields.get("key"));
    for (file, inline) in [(&chain, &inline_chain), (&key, &inline_key)] {
        if let (Some(_), Some(inline)) = (file, inline) {
            inline.mistake("this is written both here and as a file; keep one");
            return None;
        }
    }
    let is_inline = (inline_chain.is_some(), inline_key.is_some());
    match (chain.or(inline_chain), key.or(inline_key)) {
        (None, None) => Some(None),
        (Some(chain), Some(key)) => {
            let certificates = match is_inline.0 {
                true => from_pem(&chain, &chain.text()?)?.1,
                false => read_certificates(&chain, &chain.text()?)?,
            };
            Some(Some((certificates, private_key(&key, is_inline.1)?)))
        }
        (Some(only), None) | (None, Some(only)) => {
            only.mistake("a client certificate needs both \"cert_file\" and \"key_file\"");
            None
        }
    }
}

fn private_key(cursor: &Cursor<'_>, is_inline: bool) -> Option<PrivateKeyDer<'static>> {
    let text = cursor.text()?;
    let (read, whence) = if is_inline {
        kit::secrets::know([text.as_str()]);
        (PrivateKeyDer::from_pem_slice(text.as_bytes()), "this".to_owned())
    } else {
        (PrivateKeyDer::from_pem_file(Path::new(&text)), text)
    };
    read.map_err(|error| cursor.mistake(format!("cannot read a private key from {whence}: {error}"))).ok()
}

/// TLS 1.0 and 1.1 are not spoken (RFC 8996).
fn versions(fields: &Fields<'_>) -> Option<Versions> {
    let old = |cursor: &Cursor<'_>| {
        let is_old = matches!(cursor.node().scalar_text().as_deref(), Some("TLS10" | "TLS11"));
        if is_old {
            cursor.mistake("only TLS 1.2 and 1.3 are spoken here (RFC 8996); write TLS12 or TLS13, or leave it out");
        }
        is_old
    };
    let known = [("TLS12", 2_u8), ("TLS13", 3)];
    let version = |key: &'static str, default: u8| match fields.get(key) {
        None => Some(default),
        Some(cursor) if old(&cursor) => None,
        Some(cursor) => cursor.one_of(&known),
    };
    let (least, most) = (version("min_version", 2), version("max_version", 3));
    match (least?, most?) {
        (2, 3) => Some(VERSIONS_1_2),
        (3, 3) => Some(VERSIONS_1_3),
        (2, 2) => Some(ONLY_1_2),
        _ => {
            fields.cursor().mistake("max_version is below min_version");
            None
        }
    }
}

fn tell_chain(visit: &mut Visit, handshake: &Handshake, told: Told, roots: &[CertificateDer<'static>]) {
    let parsed: Vec<X509Certificate<'_>> = parse(&handshake.chain);
    #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
    let secs = |secs: i64| secs as f64;
    let ends = parsed.iter().map(end_of);
    if let Some(earliest) = ends.min() {
        visit.gauges.set(gauges::EARLIEST_EXPIRY, secs(earliest));
    }
    let (Some(leaf), Some(der)) = (parsed.first(), handshake.chain.first()) else { return };
    if told == Told::Whole
        && let Some(expiry) = chain_expiry(leaf, &parsed, &parse(roots))
    {
        visit.gauges.set(gauges::CHAIN_EXPIRY, secs(expiry));
    }
    let labels = [
        ("fingerprint_sha256", HEXLOWER.encode(&Sha256::digest(der.as_ref()))),
        ("issuer", show_name(leaf.issuer())),
        ("serialnumber", serial(leaf)),
        ("subject", show_name(leaf.subject())),
        ("subjectalternative", alternatives(leaf)),
    ];
    let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
    visit.gauges.set_with(gauges::CHAIN_INFO, &labels, 1.0);
}

fn parse<'a>(certificates: &'a [CertificateDer<'static>]) -> Vec<X509Certificate<'a>> {
    certificates.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect()
}

fn end_of(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp()
}

/// The end of the chain that ends last: from the leaf up through what was presented, and to the root if it is known.
fn chain_expiry(
    leaf: &X509Certificate<'_>,
    presented: &[X509Certificate<'_>],
    roots: &[X509Certificate<'_>],
) -> Option<i64> {
    let (mut expiry, mut current) = (end_of(leaf), leaf);
    for _ in 0..MAX_CHAIN {
        if current.issuer() == current.subject() {
            break;
        }
        let issuers = roots.iter().chain(presented).filter(|issuer| issuer.subject() == current.issuer());
        let Some(issuer) = issuers.max_by_key(|issuer| end_of(issuer)) else { break };
        expiry = expiry.min(end_of(issuer));
        current = issuer;
    }
    Some(expiry)
}

/// Lower-case hexadecimal without leading zeros.
fn serial(leaf: &X509Certificate<'_>) -> String {
    let digits = HEXLOWER.encode(&leaf.serial.to_bytes_be());
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}

fn alternatives(leaf: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else { return String::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    names.collect::<Vec<&str>>().join(",")
}

/// A name as Go writes it: RFC 2253, the last part first, in the order that Go keeps the usual parts in.
fn show_name(name: &X509Name<'_>) -> String {
    const PARTS: [(&str, &str); 9] = [
        ("2.5.4.5", "SERIALNUMBER"),
        ("2.5.4.3", "CN"),
        ("2.5.4.17", "POSTALCODE"),
        ("2.5.4.9", "STREET"),
        ("2.5.4.8", "ST"),
        ("2.5.4.7", "L"),
        ("2.5.4.11", "OU"),
        ("2.5.4.10", "O"),
        ("2.5.4.6", "C"),
    ];
    let mut parts: Vec<String> = Vec::new();
    let all: Vec<_> = name.iter_attributes().collect();
    for (id, short) in PARTS {
        let of_kind = all.iter().filter(|part| part.attr_type().to_id_string() == id);
        let values: Vec<String> = of_kind.filter_map(|part| Some(escape(part.as_str().ok()?))).collect();
        // Several of a kind are one part with several values; a name has one common name, the last.
        let values = match (short, values.last()) {
            ("CN" | "SERIALNUMBER", Some(last)) => vec![last.clone()],
            _ => values,
        };
        if !values.is_empty() {
            parts.push(values.iter().map(|value| format!("{short}={value}")).collect::<Vec<String>>().join("+"));
        }
    }
    parts.join(",")
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let is_special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        if is_special || at == 0 && matches!(c, ' ' | '#') || at == last && c == ' ' {
            out.push('\\');
        }
        let _infallible = write!(out, "{c}");
    }
    out
}

fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        _ => "unknown",
    }
}

/// The name in the registry of IANA.
fn cipher_name(cipher: CipherSuite) -> String {
    format!("{cipher:?}").replacen("TLS13_", "TLS_", 1)
}
