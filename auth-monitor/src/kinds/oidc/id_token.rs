//! What a provider says of who signed in: verified as a client must (OpenID Connect Core 1.0 section 3.1.3.7).

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use monitor::probe::{Outcome, ReasonCode};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::token::header_of;

/// Algorithms whose keys are public; with the others whoever verifies could sign, too.
const SIGNED: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// How far two clocks may differ, in seconds (RFC 7519 section 4.1.4: a few minutes at most).
const LEEWAY_SECS: u64 = 60;

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
}

#[derive(Deserialize)]
struct Claims {
    nonce: Option<String>,
    azp: Option<String>,
}

/// Checks a token with the provider's key set. What it says of a person is shown to nobody.
pub(super) fn verify(token: &str, keys: &Json, expected: &Expected<'_>) -> Result<(), Outcome> {
    let wrong = |why: String| Outcome::fail(ReasonCode::Json, format!("the id token {why}"));
    let header = header_of(token).ok_or_else(|| wrong("has no header that can be read".to_owned()))?;
    let named = |name: &str| header.get(name).and_then(Json::as_str);
    let written = named("alg").unwrap_or_default();
    let Some(algorithm) = written.parse().ok().filter(|algorithm| SIGNED.contains(algorithm)) else {
        let why = format!("is signed by {written:?}; let the provider use a key pair, for RS256 or ES256 say");
        return Err(wrong(why));
    };
    let kid = named("kid");
    let is_it = |key: &Jwk| kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
    let all = keys.get("keys").and_then(Json::as_array).into_iter().flatten();
    // A kind of key that is not known here keeps nobody from reading the others.
    let keys: Vec<Jwk> = all.filter_map(|key| serde_json::from_value(key.clone()).ok()).filter(is_it).collect();
    let mut refused = wrong(format!("is signed by key {:?}, which is not in the set", kid.unwrap_or_default()));
    for key in &keys {
        match claims(token, key, algorithm, expected) {
            Ok(claims) if claims.nonce.as_deref() != Some(expected.nonce) => {
                return Err(wrong("is not of this sign-in: its nonce is another one".to_owned()));
            }
            Ok(claims) if claims.azp.as_deref().is_some_and(|client| client != expected.client) => {
                return Err(wrong("is for another client (azp)".to_owned()));
            }
            Ok(_) => return Ok(()),
            // It is signed by this key, and wrong.
            Err(
                kind @ (ErrorKind::ExpiredSignature
                | ErrorKind::InvalidIssuer
                | ErrorKind::InvalidAudience
                | ErrorKind::MissingRequiredClaim(_)),
            ) => return Err(wrong(in_words(&kind, expected))),
            Err(kind) => refused = wrong(in_words(&kind, expected)),
        }
    }
    Err(refused)
}

fn claims(token: &str, key: &Jwk, algorithm: Algorithm, expected: &Expected<'_>) -> Result<Claims, ErrorKind> {
    if key.common.key_algorithm.is_some_and(|named| Algorithm::try_from(named) != Ok(algorithm)) {
        return Err(ErrorKind::InvalidAlgorithm);
    }
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_SECS;
    validation.set_audience(&[expected.client]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let key = DecodingKey::from_jwk(key).map_err(jsonwebtoken::errors::Error::into_kind)?;
    Ok(decode::<Claims>(token, &key, &validation).map_err(jsonwebtoken::errors::Error::into_kind)?.claims)
}

fn in_words(kind: &ErrorKind, expected: &Expected<'_>) -> String {
    match kind {
        ErrorKind::ExpiredSignature => "ran out before it came; is one of the clocks wrong?".to_owned(),
        ErrorKind::InvalidIssuer => format!("is not by {}", expected.issuer),
        ErrorKind::InvalidAudience => "is for another client".to_owned(),
        ErrorKind::InvalidSignature => "is not signed by the key that it names".to_owned(),
        ErrorKind::InvalidAlgorithm => "has an algorithm that its key is not for".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("does not say {claim}"),
        other => format!("cannot be read: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use data_encoding::BASE64URL_NOPAD;
    use jiff::Timestamp;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> = Expected { issuer: "https://id.example.com", client: "me", nonce: "n" };

    /// A key pair: what signs, and a set with what verifies.
    fn pair(kid: &str) -> (EncodingKey, Json) {
        let der = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let public = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.as_ref()).unwrap();
        let x = BASE64URL_NOPAD.encode(public.public_key().as_ref());
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x });
        let mut other = key.clone();
        other["kid"] = json!("other");
        other["x"] = json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        (EncodingKey::from_ed_der(der.as_ref()), json!({ "keys": [{ "kty": "odd" }, key, other] }))
    }

    fn said(token: &str, keys: &Json) -> String {
        match verify(token, keys, &EXPECTED) {
            Ok(()) => "fine".to_owned(),
            Err(Outcome::Fail(reason)) => reason.text,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_is_by_the_provider_for_this_client_and_this_sign_in() {
        let ((key, keys), now) = (pair("a"), Timestamp::now().as_second());
        let good = json!({ "iss": "https://id.example.com", "aud": "me", "sub": "ada", "nonce": "n", "exp": now + 60 });
        for (name, value, expected) in [
            ("sub", json!("bob"), "fine"),
            ("aud", json!(["other", "me"]), "fine"),
            ("iss", json!("https://evil.example.com"), "the id token is not by https://id.example.com"),
            ("aud", json!("other"), "the id token is for another client"),
            ("azp", json!("other"), "the id token is for another client (azp)"),
            ("nonce", json!("m"), "the id token is not of this sign-in: its nonce is another one"),
            ("nonce", Json::Null, "the id token is not of this sign-in: its nonce is another one"),
            ("exp", json!(now - 120), "the id token ran out before it came; is one of the clocks wrong?"),
        ] {
            let mut claims = good.clone();
            claims[name] = value;
            let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::EdDSA) };
            let token = encode(&header, &claims, &key).unwrap();
            assert_eq!(said(&token, &keys), expected, "{claims}");
            let unnamed = encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap();
            assert_eq!(said(&unnamed, &keys), expected, "without a name every key is tried");
        }
    }

    #[test]
    fn a_token_that_somebody_else_can_sign_is_none() {
        let ((key, keys), (other, _)) = (pair("a"), pair("b"));
        let claims = json!({ "iss": "https://id.example.com", "aud": "me", "sub": "a", "nonce": "n", "exp": i64::MAX });
        let header = |alg: Algorithm, kid: &str| Header { kid: Some(kid.to_owned()), ..Header::new(alg) };
        let signed = |alg: Algorithm, kid: &str, key: &EncodingKey| encode(&header(alg, kid), &claims, key).unwrap();
        for (token, expected) in [
            (signed(Algorithm::EdDSA, "a", &key), "fine"),
            (signed(Algorithm::EdDSA, "a", &other), "the id token is not signed by the key that it names"),
            (signed(Algorithm::EdDSA, "b", &other), "the id token is signed by key \"b\", which is not in the set"),
            (
                signed(Algorithm::HS256, "a", &EncodingKey::from_secret(b"secret")),
                "the id token is signed by \"HS256\"; let the provider use a key pair, for RS256 or ES256 say",
            ),
            ("a.b.c".to_owned(), "the id token has no header that can be read"),
        ] {
            assert_eq!(said(&token, &keys), expected);
        }
        let mut for_another = keys;
        for_another["keys"][1]["alg"] = json!("ES256");
        assert_eq!(
            said(&signed(Algorithm::EdDSA, "a", &key), &for_another),
            "the id token has an algorithm that its key is not for"
        );
    }
}
