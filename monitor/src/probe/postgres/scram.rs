//! SCRAM-SHA-256 from the client's side (RFC 5802, RFC 7677), without channel binding.
//!
//! PostgreSQL takes the name from the start-up message, so none is sent here. Passwords are taken as they are: those of
//! ASCII are the same after SASLprep (RFC 4013), and PostgreSQL itself falls back to the raw bytes of others.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::hmac::SigningKey;
use sha2::{Digest, Sha256};

/// The mechanism's name.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";

/// Rounds that a server may ask for; PostgreSQL's own default is 4096. This many take some 0.2 s.
const MAX_ROUNDS: u32 = 500_000;
/// `n,,` in base64: the client does not do channel binding (RFC 5802 section 7).
const NO_BINDING: &str = "biws";

/// What the client has begun with.
#[derive(Debug)]
pub(super) struct Scram {
    nonce: String,
}

/// What the client ends with, and what the server must answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) message: String,
    expected: Vec<u8>,
}

impl Scram {
    /// Begins with this nonce, which must be new.
    pub(super) fn new(nonce: &[u8]) -> Self {
        Self { nonce: STANDARD.encode(nonce) }
    }

    /// What is said first.
    pub(super) fn first(&self) -> String {
        format!("n,,n=,r={}", self.nonce)
    }

    /// Proves to know the password. It takes as long as the server wants: some milliseconds of work.
    ///
    /// # Errors
    /// What is wrong with what the server said.
    pub(super) fn prove(&self, server_first: &str, password: &str) -> Result<Proof, &'static str> {
        let field = |name| server_first.split(',').find_map(|field| field.strip_prefix(name));
        let nonce = field("r=").filter(|nonce| nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or("the server's nonce does not continue ours")?;
        let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("the server sends no salt")?;
        let rounds = field("i=").and_then(|rounds| rounds.parse::<NonZeroU32>().ok());
        let rounds = rounds.filter(|rounds| rounds.get() <= MAX_ROUNDS).ok_or("the server wants too many rounds")?;
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let salted = SigningKey::new(&salted);
        let client_key = salted.sign(&[b"Client Key"]);
        let unproven = format!("c={NO_BINDING},r={nonce}");
        let said = format!("n=,r={},{server_first},{unproven}", self.nonce);
        let signature = SigningKey::new(&Sha256::digest(&client_key)).sign(&[said.as_bytes()]);
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
        let expected = SigningKey::new(&salted.sign(&[b"Server Key"])).sign(&[said.as_bytes()]);
        Ok(Proof { message: format!("{unproven},p={}", STANDARD.encode(proof)), expected })
    }
}

impl Proof {
    /// Whether the server knows the password too.
    pub(super) fn is_answered_by(&self, server_final: &str) -> bool {
        server_final.strip_prefix("v=").and_then(|signature| STANDARD.decode(signature).ok()).as_ref()
            == Some(&self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RFC 7677 section 3, but with the empty name that PostgreSQL is given; computed with Python's `hashlib`.
    #[test]
    fn a_proof_is_what_another_program_computes() {
        let scram = Scram { nonce: "rOprNGfwEbeRWgbNEkqO".to_owned() };
        assert_eq!(scram.first(), "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = scram.prove(first, "pencil").unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k="
        );
        assert!(proof.is_answered_by("v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg="));
        assert!(!proof.is_answered_by("v=AAAA") && !proof.is_answered_by("e=other-error"));
    }

    #[test]
    fn a_server_that_does_not_keep_to_it_is_told() {
        let scram = Scram { nonce: "abc".to_owned() };
        for (first, wrong) in [
            ("r=abc,s=AAAA,i=1", "the server's nonce does not continue ours"),
            ("r=xyz1,s=AAAA,i=1", "the server's nonce does not continue ours"),
            ("r=abc1,i=1", "the server sends no salt"),
            ("r=abc1,s=AAAA,i=0", "the server wants too many rounds"),
            ("r=abc1,s=AAAA,i=4000000000", "the server wants too many rounds"),
        ] {
            assert_eq!(scram.prove(first, "x"), Err(wrong), "{first}");
        }
    }
}
