//! HMAC-SHA-256 (RFC 2104, FIPS 180-4): seals what we hand out and signs what we send.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag};

/// A key that signs and checks.
#[derive(Clone)]
pub struct SigningKey(Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Takes a secret of any length; 32 random bytes are as strong as it gets.
    pub fn new(secret: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, secret))
    }

    /// Signs the parts as if they were one text.
    pub fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = aws_lc_rs::hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        let tag: Tag = context.sign();
        tag.as_ref().to_vec()
    }

    /// Returns whether `signature` is the one of this text. The time taken does not depend on where they differ.
    pub fn is_signature_of(&self, text: &[u8], signature: &[u8]) -> bool {
        aws_lc_rs::hmac::verify(&self.0, text, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_standard_says() {
        // RFC 4231 section 4.3, test case 2.
        let key = SigningKey::new(b"Jefe");
        let signature = key.sign(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            data_encoding::HEXLOWER.encode(&signature),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(key.is_signature_of(b"what do ya want for nothing?", &signature));
        assert!(!key.is_signature_of(b"what do ya want for nothing!", &signature));
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }
}
