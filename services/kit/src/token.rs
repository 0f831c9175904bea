//! Access tokens (JWT, RFC 7519): what they say, and which of them are to be believed.

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Shorter secrets can be guessed from one token (RFC 7518 section 3.2: as long as the hash, 32 bytes for HS256).
pub const MIN_SECRET_BYTES: usize = 32;
/// Longest token that is looked at, in bytes: half of what a request's headers may hold.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// What a token is for, in its claim `type`.
pub const ACCESS: &str = "access";

/// What an access token says. Clients read one or another of the names for the user's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The user.
    pub user_id: String,
    /// The user's address.
    pub email: String,
    /// What the user may do.
    pub role: String,
    /// To whom the user belongs.
    pub tenant_id: Option<String>,
    /// [`ACCESS`]: a token for anything else is none.
    #[serde(rename = "type")]
    pub kind: String,
    /// The session that it is good for.
    pub sid: String,
    /// Makes two of the same second differ.
    pub jti: String,
    /// When it was made, in seconds since the epoch.
    pub iat: i64,
    /// When it runs out, in seconds since the epoch.
    pub exp: i64,
}

/// Reads tokens of one issuer. Which algorithm counts is decided here, never by the token (RFC 8725 section 3.1).
#[derive(Clone)]
pub struct TokenReader(Trusted);

#[derive(Clone)]
enum Trusted {
    /// HS256.
    Secret(Box<DecodingKey>),
    /// EdDSA and RS256, by `kid`: each key says for which it is.
    Keys(HashMap<String, (Algorithm, DecodingKey)>),
}

impl std::fmt::Debug for TokenReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenReader(…)")
    }
}

impl TokenReader {
    /// Believes what was signed with this secret by HS256, and nothing else.
    pub fn of_secret(secret: &SecretString) -> Self {
        Self(Trusted::Secret(Box::new(DecodingKey::from_secret(secret.expose_secret().as_bytes()))))
    }

    /// Believes what was signed with one of these public keys (RFC 7517) that is for signatures by Ed25519 or RS256, and
    /// nothing else.
    pub fn of_keys(set: &JwkSet) -> Self {
        let usable = |key: &Jwk| {
            let id = key.common.key_id.clone()?;
            let algorithm = match &key.algorithm {
                AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
                AlgorithmParameters::RSA(_) => Algorithm::RS256,
                _ => return None,
            };
            Some((id, (algorithm, DecodingKey::from_jwk(key).ok()?)))
        };
        Self(Trusted::Keys(set.keys.iter().filter_map(usable).collect()))
    }

    /// Returns what a token says that is to be believed and has not run out.
    pub fn read(&self, token: &str) -> Option<Claims> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (algorithm, key) = match &self.0 {
            Trusted::Secret(key) => (Algorithm::HS256, &**key),
            Trusted::Keys(keys) => {
                keys.get(&decode_header(token).ok()?.kid?).map(|(algorithm, key)| (*algorithm, key))?
            }
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = 0;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        let claims = decode::<Claims>(token, key, &validation).ok()?.claims;
        (claims.kind == ACCESS).then_some(claims)
    }

    /// Returns whether a token names a key that is not known here: it may be a newer one.
    pub fn misses_key_of(&self, token: &str) -> bool {
        let Trusted::Keys(keys) = &self.0 else { return false };
        let named = (token.len() <= MAX_TOKEN_BYTES).then(|| decode_header(token).ok()).flatten();
        named.and_then(|header| header.kid).is_some_and(|kid| !keys.contains_key(&kid))
    }
}
