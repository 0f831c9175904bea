//! Seals what must be kept in a database and read by nobody else: AES-256-GCM (NIST SP 800-38D) with a key made of a
//! program's secret for one purpose, so that what is sealed for one cannot be passed off as another.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

const NONCE_BYTES: usize = 12;

/// Seals and opens texts of one purpose.
pub struct Sealer(RandomizedNonceKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// Derives the key (HKDF, RFC 5869); `purpose` names what is sealed with it.
    ///
    /// # Panics
    /// Never: AES-256-GCM takes keys of 32 bytes, which HKDF makes.
    pub fn new(secret: &SecretString, purpose: &str) -> Self {
        let extracted = Salt::new(HKDF_SHA256, &[]).extract(secret.expose_secret().as_bytes());
        let mut key = [0; 32];
        let info = [purpose.as_bytes()];
        let expanded = extracted.expand(&info, &AES_256_GCM);
        expanded.and_then(|expanded| expanded.fill(&mut key)).expect("HKDF makes 32 bytes");
        Self(RandomizedNonceKey::new(&AES_256_GCM, &key).expect("the key has 32 bytes"))
    }

    /// Seals a text; `about` says whose it is, and it opens for the same alone.
    ///
    /// # Panics
    /// Never: only texts of 64 GiB are too long.
    pub fn seal(&self, text: &[u8], about: &str) -> String {
        let mut bytes = text.to_vec();
        let nonce =
            self.0.seal_in_place_append_tag(Aad::from(about.as_bytes()), &mut bytes).expect("it is short enough");
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        BASE64URL_NOPAD.encode(&sealed)
    }

    /// Opens what was sealed with the same secret, for the same purpose, about the same.
    pub fn open(&self, sealed: &str, about: &str) -> Option<SecretSlice<u8>> {
        let mut bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, Aad::from(about.as_bytes()), text).ok()?;
        Some(opened.to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_secret_for_the_same_purpose_alone() {
        let sealer = Sealer::new(&"a secret of some length".into(), "keys");
        let sealed = sealer.seal(b"hush", "ada");
        assert_ne!(sealed, sealer.seal(b"hush", "ada"), "never twice the same");
        let opened = |sealer: &Sealer, sealed: &str, about: &str| {
            sealer.open(sealed, about).map(|opened| opened.expose_secret().to_vec())
        };
        assert_eq!(opened(&sealer, &sealed, "ada").as_deref(), Some(&b"hush"[..]));
        assert_eq!(opened(&sealer, &sealed, "eve"), None);
        assert_eq!(opened(&Sealer::new(&"another secret".into(), "keys"), &sealed, "ada"), None);
        assert_eq!(opened(&Sealer::new(&"a secret of some length".into(), "codes"), &sealed, "ada"), None);
        for damaged in ["", "abc", &sealed[1..], &format!("{sealed}A")] {
            assert_eq!(opened(&sealer, damaged, "ada"), None, "{damaged}");
        }
    }
}
