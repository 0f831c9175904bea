//! Access tokens (JWT, RFC 7519): what they say, and which of them are to be believed.

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
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
            // A key that is for something else says so (RFC 7517 sections 4.2 and 4.4).
            if key.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
                return None;
            }
            let id = key.common.key_id.clone()?;
            let algorithm = match &key.algorithm {
                AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
                AlgorithmParameters::RSA(_) => Algorithm::RS256,
                _ => return None,
            };
            if key.common.key_algorithm.is_some_and(|named| Algorithm::try_from(named) != Ok(algorithm)) {
                return None;
            }
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use data_encoding::BASE64URL_NOPAD as BASE64;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_a_pair_is_to_verify_is_signed_by_its_private_half_whatever_the_token_says() {
        let der = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let public = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.as_ref()).unwrap();
        let public = public.public_key().as_ref();
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "alg": "EdDSA", "x": BASE64.encode(public) });
        let reader = TokenReader::of_keys(&serde_json::from_value(json!({ "keys": [key] })).unwrap());
        let claims = json!({ "sub": "u", "user_id": "u", "email": "a@x.y", "role": "admin", "tenant_id": null,
            "type": ACCESS, "sid": "s", "jti": "j", "iat": 0, "exp": u32::MAX });
        let header = |alg: Algorithm| Header { kid: Some("a".to_owned()), ..Header::new(alg) };
        let signed = |alg: Algorithm, key: &EncodingKey| encode(&header(alg), &claims, key).unwrap();
        let part = |json: &Value| BASE64.encode(json.to_string().as_bytes());
        let written = |alg: &str| format!("{}.{}", part(&json!({ "alg": alg, "kid": "a" })), part(&claims));
        assert!(reader.read(&signed(Algorithm::EdDSA, &EncodingKey::from_ed_der(der.as_ref()))).is_some());
        let other = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        for (token, what) in [
            (signed(Algorithm::EdDSA, &EncodingKey::from_ed_der(other.as_ref())), "another pair signed it"),
            (format!("{}.", written("none")), "it says that nobody need sign it"),
            (format!("{}.AAAA", written("none")), "the same, with something where a signature is"),
            (signed(Algorithm::HS256, &EncodingKey::from_secret(public)), "the public half is no secret"),
            (
                signed(Algorithm::HS256, &EncodingKey::from_secret(key.to_string().as_bytes())),
                "nor is it as it is published",
            ),
            (format!("{}.{}", written("RS256"), BASE64.encode(&[0; 256])), "the key is for another algorithm"),
        ] {
            assert!(reader.read(&token).is_none(), "{what}: {token}");
        }
    }

    #[test]
    fn a_key_that_is_for_something_else_verifies_nothing() {
        // {"alg":"EdDSA","kid":"a"}
        let token = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.";
        // RFC 8037 appendix A.2.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for (name, value, is_usable) in
            [("use", "sig", true), ("use", "enc", false), ("alg", "EdDSA", true), ("alg", "RS256", false)]
        {
            let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": x });
            key[name] = json!(value);
            let set = serde_json::from_value(json!({ "keys": [key] })).unwrap();
            assert_eq!(TokenReader::of_keys(&set).misses_key_of(token), !is_usable, "{name}: {value}");
        }
    }
}
