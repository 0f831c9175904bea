//! What is kept of a secret: its SHA-256, compared so that the time taken tells nothing of it.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
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
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Returns it as it is, as a key of a table.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Writes it as 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl PartialEq for SecretDigest {
    /// Looks at all bytes, whatever the first ones are.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
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
