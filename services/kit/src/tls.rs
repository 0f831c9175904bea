//! One TLS provider (aws-lc-rs) and one set of roots for everything.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore};

static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| Arc::new(load_roots()));

/// Makes aws-lc-rs the process's provider. First line of every `main`; calling it again changes nothing.
pub fn install() {
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Returns the machine's trust roots, or the bundled ones (Mozilla's, by webpki-roots) if it has none.
pub fn roots() -> Arc<RootCertStore> {
    ROOTS.clone()
}

/// Returns a client configuration that trusts these authorities: [`roots`], or those of one's own network.
///
/// # Panics
/// Never: aws-lc-rs supports the default protocol versions.
pub fn client_config(roots: Arc<RootCertStore>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn load_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}
