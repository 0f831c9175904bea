//! Whom a channel trusts over TLS: the machine's authorities, or those of a file.

use std::path::Path;
use std::sync::Arc;

use kit::config::{Cursor, Fields};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Reads `ca_file`, a PEM file of authorities that are trusted instead of the machine's: for receivers in one's own
/// network.
pub(super) fn decode(fields: &Fields<'_>) -> Option<ClientConfig> {
    match fields.get("ca_file") {
        None => Some(kit::tls::client_config()),
        Some(cursor) => Some(trusting(roots(&cursor)?)),
    }
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn roots(cursor: &Cursor<'_>) -> Option<RootCertStore> {
    let path = cursor.text()?;
    let read = CertificateDer::pem_file_iter(Path::new(&path)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut roots = RootCertStore::empty();
    match read {
        Ok(certificates) => {
            let (added, _ignored) = roots.add_parsable_certificates(certificates);
            if added > 0 {
                return Some(roots);
            }
            cursor.mistake(format!("there is no PEM certificate of an authority in {path}"));
        }
        Err(error) => cursor.mistake(format!("cannot read certificates from {path}: {error}")),
    }
    None
}
