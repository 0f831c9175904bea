//! Access tokens (JWT, RFC 7519) and refresh tokens.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use kit::http::{ApiError, SecretDigest};
use kit::token::{ACCESS, Claims};
use uuid::Uuid;

use super::keyring::Keyring;
use super::session::Session;
use super::users::User;

/// Makes and reads access tokens.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) keyring: Keyring,
    life: Duration,
}

impl Tokens {
    pub(super) fn new(keyring: Keyring, life: Duration) -> Self {
        Self { keyring, life }
    }

    /// Returns how long a token of a session is good for, in seconds: no longer than the session.
    pub(super) fn life_secs(&self, session: &Session, now: Timestamp) -> i64 {
        let left_secs = session.ends_ms.div_euclid(1000).saturating_sub(now.as_second());
        i64::try_from(self.life.as_secs()).unwrap_or(i64::MAX).min(left_secs)
    }

    /// Makes an access token for a session.
    pub(super) fn make(&self, user: &User, session: &Session, now: Timestamp) -> Result<String, ApiError> {
        let iat = now.as_second();
        let claims = Claims {
            sub: user.id.clone(),
            user_id: user.id.clone(),
            email: user.email.clone(),
            role: user.role.clone(),
            tenant_id: user.tenant_id.clone(),
            kind: ACCESS.to_owned(),
            sid: session.id.clone(),
            jti: Uuid::new_v4().to_string(),
            iat,
            exp: iat.saturating_add(self.life_secs(session, now)),
        };
        self.keyring.sign(&claims)
    }

    /// Reads an access token that this service made and that has not run out.
    ///
    /// # Errors
    /// 503 before the keys are there.
    pub(super) fn read(&self, token: &str) -> Result<Option<Claims>, ApiError> {
        self.keyring.read(token)
    }
}

/// Makes a refresh token, or a key: 256 bits that say nothing. Only its digest is kept.
pub(super) fn make_secret() -> String {
    BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>())
}

/// Returns what is kept of a secret.
pub(super) fn digest(secret: impl AsRef<[u8]>) -> String {
    SecretDigest::of(secret.as_ref()).to_hex()
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD as B64;

    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

    use super::super::keyring::Signing;
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        with_secret(SECRET)
    }

    fn with_secret(secret: &str) -> Tokens {
        let life = Duration::from_secs(60);
        Tokens::new(Keyring::new(&secret.into(), Signing::Secret, life), life)
    }

    fn user() -> User {
        User { id: "7".to_owned(), email: "ada@example.com".to_owned(), role: "user".to_owned(), ..User::default() }
    }

    /// One that goes on for longer than any token.
    fn session() -> Session {
        Session { id: "s1".to_owned(), refresh: "".into(), ends_ms: i64::MAX }
    }

    #[test]
    fn no_token_outlives_its_session() {
        let now = Timestamp::now();
        let life = |left_ms: i64| {
            let session = Session { ends_ms: now.as_millisecond() + left_ms, ..session() };
            let claims = tokens().read(&tokens().make(&user(), &session, now).unwrap()).unwrap().unwrap();
            assert!(claims.exp * 1000 <= session.ends_ms);
            assert_eq!(claims.exp - claims.iat, tokens().life_secs(&session, now));
            claims.exp - claims.iat
        };
        assert_eq!((life(3_600_000), life(30_000)), (60, 30));
    }

    #[test]
    fn a_token_is_read_by_whoever_has_the_secret_until_it_runs_out() {
        let now = Timestamp::now();
        let token = tokens().make(&user(), &session(), now).unwrap();
        let claims = tokens().read(&token).unwrap().unwrap();
        assert_eq!((&*claims.sub, &*claims.user_id, &*claims.sid, claims.exp - claims.iat), ("7", "7", "s1", 60));
        assert_ne!(token, tokens().make(&user(), &session(), now).unwrap(), "two of the same second");
        let other = with_secret("another-secret-of-thirty-two-byte");
        assert_eq!(other.read(&token).unwrap(), None);
        let old = tokens().make(&user(), &session(), now - jiff::SignedDuration::from_secs(61)).unwrap();
        assert_eq!(tokens().read(&old).unwrap(), None);
    }

    #[test]
    fn no_token_chooses_its_own_algorithm() {
        let token = tokens().make(&user(), &session(), Timestamp::now()).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        let (payload, signature) = rest.split_once('.').unwrap();
        for header in
            [r#"{"alg":"none"}"#, r#"{"alg":"None","typ":"JWT"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":"RS256"}"#, "{}"]
        {
            let header = B64.encode(header.as_bytes());
            for forged in [format!("{header}.{payload}."), format!("{header}.{payload}.{signature}")] {
                assert_eq!(tokens().read(&forged).unwrap(), None, "{forged}");
            }
        }
        let hs512 = encode(
            &Header::new(Algorithm::HS512),
            &tokens().read(&token).unwrap().unwrap(),
            &EncodingKey::from_secret(SECRET.as_bytes()),
        );
        assert_eq!(tokens().read(&hs512.unwrap()).unwrap(), None);
        for garbage in ["", ".", "..", "a.b.c", "null"] {
            assert_eq!(tokens().read(garbage).unwrap(), None, "{garbage}");
        }
    }

    #[test]
    fn a_token_for_something_else_is_none() {
        let token = tokens().make(&user(), &session(), Timestamp::now()).unwrap();
        let claims = Claims { kind: "reset".to_owned(), ..tokens().read(&token).unwrap().unwrap() };
        let reset =
            encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
        assert_eq!(tokens().read(&reset).unwrap(), None);
    }
}
