//! What is kept of a secret: its SHA-256, compared so that the time taken tells nothing of it.

use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a token or key.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Takes the digest of a secret.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Reads 64 hexadecimal digits; the text itself may be anything, also the secret by mistake, and is not to be shown.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Writes it as 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for SecretDigest {
    /// Looks at all bytes, whatever the first ones are.
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |sum, (left, right)| sum | (left ^ right));
        std::hint::black_box(difference) == 0
    }
}

impl Eq for SecretDigest {}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_standards_digest_in_either_case_and_nothing_else_is_one() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(SecretDigest::of(b"abc").to_hex(), abc);
        assert_eq!(SecretDigest::parse(&abc.to_uppercase()), Some(SecretDigest::of(b"abc")));
        assert_ne!(SecretDigest::parse(abc), Some(SecretDigest::of(b"abd")));
        for wrong in ["", "abc", &abc[1..], &format!("{abc}0"), &abc.replace('b', "g"), &"é".repeat(32)] {
            assert_eq!(SecretDigest::parse(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{:?}", SecretDigest::of(b"abc")), "SecretDigest(…)");
    }
}
