//! The key exchange curve25519-sha256 (RFC 8731, RFC 4253 section 8), as far as the server's proof that it has its host
//! key: no session is encrypted after it.

use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey as SigningKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256};

use super::packet::{push_number, push_text, take_text, without_zeros};
use crate::probe::reader::Reader;

/// Messages by their numbers (RFC 4253 section 12, RFC 5656 section 7.1).
const KEXINIT: u8 = 20;
const ECDH_INIT: u8 = 30;
pub(super) const ECDH_REPLY: u8 = 31;
/// One exchange under two names (RFC 8731 section 3).
const EXCHANGES: &str = "curve25519-sha256,curve25519-sha256@libssh.org";
/// Host keys that can be checked here, best first.
const HOST_KEYS: &str = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,rsa-sha2-512,rsa-sha2-256";
/// Nothing is ever encrypted; these only have to be acceptable to servers old and new.
const CIPHERS: &str =
    "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";
const MACS: &str = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";

/// What a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) exchanges: Vec<String>,
    pub(super) host_keys: Vec<String>,
    pub(super) ciphers: Vec<String>,
}

impl Offer {
    /// Reads a KEXINIT.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        // The number, and a cookie.
        reader.take(17).filter(|head| head.first() == Some(&KEXINIT))?;
        let mut names = || {
            let text = String::from_utf8_lossy(take_text(&mut reader)?).into_owned();
            Some(text.split(',').map(str::to_owned).collect())
        };
        Some(Self { exchanges: names()?, host_keys: names()?, ciphers: names()? })
    }

    /// Whether there is an exchange and a host key that both sides know.
    pub(super) fn suits(&self) -> bool {
        let knows =
            |ours: &str, theirs: &[String]| ours.split(',').any(|name| theirs.iter().any(|other| other == name));
        knows(EXCHANGES, &self.exchanges) && knows(HOST_KEYS, &self.host_keys)
    }
}

/// Our KEXINIT.
pub(super) fn offer(cookie: [u8; 16]) -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend_from_slice(&cookie);
    for names in [EXCHANGES, HOST_KEYS, CIPHERS, CIPHERS, MACS, MACS, "none", "none", "", ""] {
        push_text(&mut payload, names.as_bytes());
    }
    // No guessed packet follows, and a number that is kept for later.
    payload.extend_from_slice(&[0; 5]);
    payload
}

/// What both sides have said so far, which the server signs.
pub(super) struct Said<'a> {
    pub(super) our_identification: &'a str,
    pub(super) their_identification: &'a str,
    pub(super) our_offer: &'a [u8],
    pub(super) their_offer: &'a [u8],
}

/// Our half of the exchange.
pub(super) struct Half {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

/// A host key that its owner has proven to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostKey {
    /// `ssh-ed25519` …
    pub(super) kind: String,
    /// SHA-256 of the key, as `ssh-keygen -l` shows it.
    pub(super) digest: [u8; 32],
}

impl Half {
    /// Makes a new one; none if there are no random numbers.
    pub(super) fn new() -> Option<Self> {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).ok()?;
        let public = private.compute_public_key().ok()?.as_ref().to_vec();
        Some(Self { private, public })
    }

    /// What is sent to the server.
    pub(super) fn message(&self) -> Vec<u8> {
        let mut payload = vec![ECDH_INIT];
        push_text(&mut payload, &self.public);
        payload
    }

    /// Reads the server's reply and checks that whoever sent it has the host key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(self, said: &Said<'_>, reply: &[u8]) -> Result<HostKey, &'static str> {
        let mut reader = Reader(reply.get(1..).unwrap_or_default());
        let mut text = || take_text(&mut reader).ok_or("its half of the key exchange is cut off");
        let (key, public, signature) = (text()?, text()?, text()?);
        let peer = UnparsedPublicKey::new(&X25519, public);
        let shared = agree_ephemeral(self.private, peer, "its half of the key exchange is no key", |shared| {
            Ok::<Vec<u8>, &str>(shared.to_vec())
        })?;
        let mut hashed = Vec::new();
        for part in [said.our_identification.as_bytes(), said.their_identification.as_bytes()] {
            push_text(&mut hashed, part);
        }
        for part in [said.our_offer, said.their_offer, key, &self.public, public] {
            push_text(&mut hashed, part);
        }
        push_number(&mut hashed, &shared);
        if !is_signed(key, signature, &Sha256::digest(&hashed)).unwrap_or(false) {
            return Err("it does not prove to have its host key: somebody may be in between");
        }
        let kind = take_text(&mut Reader(key)).unwrap_or_default();
        Ok(HostKey { kind: String::from_utf8_lossy(kind).into_owned(), digest: Sha256::digest(key).into() })
    }
}

/// Whether this is the key's signature of `text`; none if either is cut off.
fn is_signed(key: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
    let (mut key, mut signature) = (Reader(key), Reader(signature));
    let (kind, way) = (take_text(&mut key)?, take_text(&mut signature)?);
    let signature = take_text(&mut signature)?;
    let verify = |way: &'static dyn VerificationAlgorithm, point: &[u8], signature: &[u8]| {
        SigningKey::new(way, point).verify(text, signature).is_ok()
    };
    match (kind, way) {
        (b"ssh-ed25519", b"ssh-ed25519") => Some(verify(&ED25519, take_text(&mut key)?, signature)),
        (b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp256") => {
            take_text(&mut key)?;
            Some(verify(&ECDSA_P256_SHA256_FIXED, take_text(&mut key)?, &pair(signature, 32)?))
        }
        (b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp384") => {
            take_text(&mut key)?;
            Some(verify(&ECDSA_P384_SHA384_FIXED, take_text(&mut key)?, &pair(signature, 48)?))
        }
        (b"ssh-rsa", b"rsa-sha2-512") => is_signed_by_rsa(key, &RSA_PKCS1_2048_8192_SHA512, text, signature),
        (b"ssh-rsa", b"rsa-sha2-256") => is_signed_by_rsa(key, &RSA_PKCS1_2048_8192_SHA256, text, signature),
        _ => Some(false),
    }
}

fn is_signed_by_rsa(mut key: Reader<'_>, way: &RsaParameters, text: &[u8], signature: &[u8]) -> Option<bool> {
    let (e, n) = (without_zeros(take_text(&mut key)?), without_zeros(take_text(&mut key)?));
    Some(RsaPublicKeyComponents { n, e }.verify(way, text, signature).is_ok())
}

/// The two numbers of an ECDSA signature (RFC 5656 section 3.1.2), side by side.
fn pair(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    let mut reader = Reader(signature);
    let mut bytes = Vec::with_capacity(2 * width);
    for end in [width, 2 * width] {
        let number = without_zeros(take_text(&mut reader)?);
        bytes.resize(end.checked_sub(number.len()).filter(|start| *start >= bytes.len())?, 0);
        bytes.extend_from_slice(number);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_as_it_is_written() {
        let read = Offer::read(&offer([1; 16])).unwrap();
        assert!(read.suits());
        assert_eq!(read.host_keys[0], "ssh-ed25519");
        let old = Offer { exchanges: vec!["diffie-hellman-group1-sha1".to_owned()], ..read };
        assert!(!old.suits());
        assert_eq!(Offer::read(&[KEXINIT; 18]), None);
    }

    #[test]
    fn a_reply_that_is_cut_or_forged_proves_nothing() {
        let said = Said { our_identification: "a", their_identification: "b", our_offer: b"c", their_offer: b"d" };
        let reply = |texts: &[&[u8]]| {
            let mut bytes = vec![ECDH_REPLY];
            texts.iter().for_each(|text| push_text(&mut bytes, text));
            bytes
        };
        let told = |reply: &[u8]| Half::new().unwrap().check(&said, reply).unwrap_err();
        assert_eq!(told(&reply(&[b"key"])), "its half of the key exchange is cut off");
        assert_eq!(told(&reply(&[b"key", b"short", b"x"])), "its half of the key exchange is no key");
        let other = Half::new().unwrap().public;
        let forged = "it does not prove to have its host key: somebody may be in between";
        assert_eq!(told(&reply(&[b"key", &other, b"x"])), forged);
    }

    #[test]
    fn numbers_of_a_signature_are_padded_and_never_too_long() {
        let mut bytes = Vec::new();
        push_number(&mut bytes, &[1]);
        push_number(&mut bytes, &[0x80, 2]);
        assert_eq!(pair(&bytes, 2), Some(vec![0, 1, 0x80, 2]));
        assert_eq!(pair(&bytes, 1), None);
    }
}
