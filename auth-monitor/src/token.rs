//! Access tokens that no service may take: unsigned, expired, or signed by somebody else (RFC 7519, RFC 8725 section 2).

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA512};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// How long a forged token claims to be good.
const LIFE: SignedDuration = SignedDuration::from_hours(1);

/// How a token is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// No token at all, but three words.
    Garbage,
    /// It ran out an hour ago.
    Expired,
    /// It says that it needs no signature.
    Unsigned,
    /// Somebody else signed it.
    OtherSecret,
    /// It asks to be verified by HS512.
    Hs512,
    /// It asks to be verified by RS256, and is signed with a shared secret.
    Rs256,
}

/// Makes false tokens. With the service's own secret they are false in one way alone; without it each is signed by
/// somebody else too.
pub(crate) struct Forger {
    claims: Map<String, Json>,
    secret: SecretString,
}

impl Forger {
    /// Begins with the claims of a good token, so that nothing but its form is wrong; without one with made-up claims.
    pub(crate) fn new(good: Option<&str>, secret: Option<SecretString>) -> Self {
        let claims = good.and_then(claims_of).unwrap_or_else(made_up);
        Self { claims, secret: secret.unwrap_or_else(other_secret) }
    }

    /// Makes one.
    pub(crate) fn forge(&self, forgery: Forgery, now: Timestamp) -> String {
        let own = self.secret.expose_secret().as_bytes();
        let signed = |alg: &str, claims: &Map<String, Json>, key: &[u8]| sign(alg, claims, key);
        match forgery {
            Forgery::Garbage => "not.a.token".to_owned(),
            Forgery::Expired => {
                let mut claims = self.claims.clone();
                claims.insert("iat".to_owned(), (now - LIFE * 2).as_second().into());
                claims.insert("exp".to_owned(), (now - LIFE).as_second().into());
                signed("HS256", &claims, own)
            }
            Forgery::Unsigned => format!("{}.", unsigned("none", &self.claims)),
            Forgery::OtherSecret => signed("HS256", &self.claims, other_secret().expose_secret().as_bytes()),
            Forgery::Hs512 => signed("HS512", &self.claims, own),
            Forgery::Rs256 => signed("RS256", &self.claims, own),
        }
    }
}

/// Returns what a token claims, without verifying it.
pub(crate) fn claims_of(token: &str) -> Option<Map<String, Json>> {
    part(token, 1)
}

/// Returns the header of a token.
pub(crate) fn header_of(token: &str) -> Option<Map<String, Json>> {
    part(token, 0)
}

fn part(token: &str, place: usize) -> Option<Map<String, Json>> {
    let bytes = BASE64URL_NOPAD.decode(token.split('.').nth(place)?.as_bytes()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Claims under all the names that services here read.
fn made_up() -> Map<String, Json> {
    let (id, now) = (Uuid::new_v4().to_string(), Timestamp::now());
    let claims = json!({
        "sub": id, "user_id": id, "email": "auth-monitor@auth-monitor.invalid", "role": "admin", "tenant_id": null,
        "type": "access", "sid": Uuid::new_v4().to_string(), "jti": Uuid::new_v4().to_string(),
        "iat": now.as_second(), "exp": (now + LIFE).as_second(),
    });
    match claims {
        Json::Object(claims) => claims,
        _ => Map::new(),
    }
}

fn other_secret() -> SecretString {
    BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>()).into()
}

fn unsigned(alg: &str, claims: &Map<String, Json>) -> String {
    let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
    let claims = Json::Object(claims.clone()).to_string();
    format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()))
}

fn sign(alg: &str, claims: &Map<String, Json>, key: &[u8]) -> String {
    let text = unsigned(alg, claims);
    let hash = if alg == "HS512" { HMAC_SHA512 } else { HMAC_SHA256 };
    let signature = hmac::sign(&hmac::Key::new(hash, key), text.as_bytes());
    format!("{text}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 appendix A.1 signs other bytes; this is the same construction, checked by its parts.
    #[test]
    fn a_forged_token_has_the_claims_of_the_good_one_and_is_false_as_asked() {
        let good = sign("HS256", &made_up(), b"right");
        let forger = Forger::new(Some(&good), Some("right".into()));
        let now = Timestamp::now();
        let alg = |token: &str| header_of(token).unwrap()["alg"].as_str().unwrap().to_owned();
        for (forgery, expected) in [
            (Forgery::Unsigned, "none"),
            (Forgery::OtherSecret, "HS256"),
            (Forgery::Hs512, "HS512"),
            (Forgery::Rs256, "RS256"),
        ] {
            let token = forger.forge(forgery, now);
            assert_eq!(alg(&token), expected);
            assert_eq!(claims_of(&token), claims_of(&good), "{forgery:?}");
            assert_ne!(token, good);
        }
        let expired = forger.forge(Forgery::Expired, now);
        assert!(claims_of(&expired).unwrap()["exp"].as_i64().unwrap() < now.as_second());
        let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
        assert_eq!(signature(&forger.forge(Forgery::Unsigned, now)), "");
        assert_eq!(sign("HS256", &claims_of(&expired).unwrap(), b"right"), expired, "only its time is wrong");
    }
}
