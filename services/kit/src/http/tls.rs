//! TLS on a server's side: a certificate from files, read again when it is renewed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Between two looks at the files. Certificates are renewed weeks before they end.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A certificate with its key, and where they come from. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    chain: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// What is shown to clients now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl ServerTls {
    /// Reads a chain of certificates and its key, both PEM.
    ///
    /// # Errors
    /// One sentence that names the file and what is wrong with it.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, String> {
        let current = Arc::new(Current(RwLock::new(Arc::new(certified(chain, key)?))));
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), current, config: Arc::new(config) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }

    /// Reads the files again and again; what cannot be used changes nothing.
    pub(super) async fn renew_for_ever(&self) {
        let mut refused = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let error = self.renew().await.err();
            if let Some(error) = error.as_ref().filter(|_| error != refused) {
                tracing::warn!(error, "the new certificate cannot be used; the old one stays");
            }
            refused = error;
        }
    }

    /// Reads the files again, and shows what is in them from now on.
    async fn renew(&self) -> Result<(), String> {
        let (chain, key) = (self.chain.clone(), self.key.clone());
        let read = tokio::task::spawn_blocking(move || certified(&chain, &key)).await;
        let found = read.unwrap_or_else(|panic| Err(panic.to_string()))?;
        let mut current = self.current.0.write().unwrap_or_else(PoisonError::into_inner);
        if current.cert != found.cert {
            *current = Arc::new(found);
            tracing::info!(chain = %self.chain.display(), "the certificate was renewed");
        }
        Ok(())
    }
}

fn certified(chain: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let named = |path: &Path, why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(chain).map_err(|error| named(chain, &error))?;
    let certificates: Vec<CertificateDer<'static>> =
        certificates.collect::<Result<_, _>>().map_err(|error| named(chain, &error))?;
    if certificates.is_empty() {
        return Err(named(chain, &"there is no certificate in it; write a PEM chain, the server's own first"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
    // Says so if the key is another one's.
    CertifiedKey::from_der(certificates, private, &aws_lc_rs::default_provider()).map_err(|error| named(key, &error))
}

#[cfg(test)]
mod tests {
    use testkit::{Authority, Certificate};

    use super::*;

    fn shown(tls: &ServerTls) -> Vec<u8> {
        tls.current.0.read().unwrap().cert[0].to_vec()
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let write = |certificate: &Certificate| {
            std::fs::write(&chain, certificate.pem()).unwrap();
            std::fs::write(&key, certificate.key_pem()).unwrap();
        };
        let authority = Authority::new();
        write(&authority.valid());
        let tls = ServerTls::read(&chain, &key).unwrap();
        let first = shown(&tls);
        std::fs::write(&key, "nonsense").unwrap();
        tls.renew().await.unwrap_err();
        assert_eq!(shown(&tls), first);
        write(&authority.valid());
        tls.renew().await.unwrap();
        assert_ne!(shown(&tls), first);
        std::fs::write(&key, authority.valid().key_pem()).unwrap();
        let other = ServerTls::read(&chain, &key).unwrap_err();
        assert!(other.starts_with(&format!("{}: ", key.display())), "{other}");
        std::fs::write(&chain, "").unwrap();
        let none = ServerTls::read(&chain, &key).unwrap_err();
        assert!(none.contains("there is no certificate in it"), "{none}");
    }
}
