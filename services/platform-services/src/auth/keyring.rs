//! The keys that access tokens are signed with: one secret that never changes, or key pairs that follow one another, whose
//! public halves everybody may read (JWKS, RFC 7517).
//!
//! A new pair is published before it signs, and an old one stays published until no token of it is good any more: whoever
//! keeps the list for a while misses none.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::Ed25519KeyPair;
use data_encoding::BASE64;
use jiff::Timestamp;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::db::Transaction;
use kit::http::ApiError;
use kit::seal::Sealer;
use kit::token::{Claims, TokenReader};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::problem::Problem;
use crate::store::Store;
use crate::time::millis;

/// How long a key is published before it signs: longer than verifiers keep the list.
const PUBLISHED_BEFORE: Duration = Duration::from_secs(600);
/// Between two looks at the keys.
pub(super) const TEND_EVERY: Duration = Duration::from_secs(60);

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    /// By HS256, with `JWT_SECRET`.
    Secret,
    /// By key pairs, each for this long.
    Pairs(Pair, Duration),
}

/// A kind of key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// RSA with 2048 bits and SHA-256.
    Rs256,
}

impl Pair {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Rs256 => Algorithm::RS256,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// Makes a private key, as PEM (PKCS #8).
    fn generate(self) -> Option<SecretString> {
        let der = match self {
            Self::EdDsa => {
                let random = aws_lc_rs::rand::SystemRandom::new();
                Ed25519KeyPair::generate_pkcs8v1(&random).ok()?.as_ref().to_vec()
            }
            Self::Rs256 => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).ok()?;
                AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok()?.as_ref().to_vec()
            }
        };
        Some(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&der)).into())
    }

    fn encoding_key(self, pem: &[u8]) -> Option<EncodingKey> {
        match self {
            Self::EdDsa => EncodingKey::from_ed_pem(pem).ok(),
            Self::Rs256 => EncodingKey::from_rsa_pem(pem).ok(),
        }
    }
}

/// What signs now, and what is believed.
struct Keys {
    header: Header,
    signing: EncodingKey,
    reader: TokenReader,
    published: JwkSet,
}

/// The keys of this service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keyring {
    signing: Signing,
    access_life: Duration,
    sealer: Arc<Sealer>,
    current: Arc<RwLock<Option<Arc<Keys>>>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("signing", &self.signing).finish_non_exhaustive()
    }
}

/// A pair as it is kept.
#[derive(Debug, sqlx::FromRow)]
struct Kept {
    kid: String,
    sealed: String,
    created_ms: i64,
}

impl Keyring {
    /// With pairs there is no key before [`Self::tend`].
    pub(crate) fn new(secret: &SecretString, signing: Signing, access_life: Duration) -> Self {
        let of_secret = || Keys {
            header: Header::new(Algorithm::HS256),
            signing: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            reader: TokenReader::of_secret(secret),
            published: JwkSet { keys: Vec::new() },
        };
        let current = (signing == Signing::Secret).then(|| Arc::new(of_secret()));
        let sealer = Arc::new(Sealer::new(secret, "platform-services signing keys"));
        Self { signing, access_life, sealer, current: Arc::new(RwLock::new(current)) }
    }

    fn keys(&self) -> Result<Arc<Keys>, ApiError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.ok_or_else(|| {
            let text = "the signing keys are not there yet; try again soon";
            ApiError::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, text).code("keys_unavailable")
        })
    }

    /// Signs a token that says this.
    ///
    /// # Errors
    /// 503 before the keys are there.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, ApiError> {
        let keys = self.keys()?;
        encode(&keys.header, claims, &keys.signing).map_err(|error| ApiError::internal(&error))
    }

    /// Returns what a token says that was signed here and has not run out.
    ///
    /// # Errors
    /// 503 before the keys are there.
    pub(super) fn read(&self, token: &str) -> Result<Option<Claims>, ApiError> {
        Ok(self.keys()?.reader.read(token))
    }

    /// Returns the public halves; none of a secret.
    ///
    /// # Errors
    /// 503 before the keys are there.
    pub(super) fn published(&self) -> Result<JwkSet, ApiError> {
        self.keys().map(|keys| keys.published.clone())
    }

    /// Makes a new pair if it is time, drops what is over, and takes over what other programs did. Nothing signs that is not
    /// kept.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn tend(&self, store: &Store, now: Timestamp) -> Result<(), Problem> {
        let Signing::Pairs(pair, each) = self.signing else { return Ok(()) };
        let mut transaction = store.begin().await?;
        let kept = self.bring_up_to_date(&mut transaction, pair, each, now.as_millisecond()).await?;
        transaction.commit().await?;
        if let Some(made) = kept.last().filter(|newest| newest.created_ms == now.as_millisecond()) {
            tracing::info!(made.kid, algorithm = pair.as_str(), "a signing key was made");
        }
        if let Some(keys) = self.take_over(pair, &kept, now.as_millisecond()) {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
        }
        Ok(())
    }

    /// Returns the pairs that are kept now.
    async fn bring_up_to_date(
        &self,
        transaction: &mut Transaction,
        pair: Pair,
        each: Duration,
        now_ms: i64,
    ) -> Result<Vec<Kept>, sqlx::Error> {
        transaction.lock("platform-services signing keys").await?;
        let kind = pair.as_str();
        let select = "SELECT kid, sealed, created_ms FROM signing_keys WHERE algorithm = $1 ORDER BY created_ms, kid";
        let mut kept: Vec<Kept> = transaction.rows(select, &[kind.into()]).await?;
        // A secret that was changed opens nothing: then everything begins anew.
        kept.retain(|kept| self.open(pair, kept).is_some());
        if is_due(&kept, millis(each), now_ms)
            && let Some(pem) = pair.generate()
        {
            let kid = Uuid::now_v7().to_string();
            let sealed = self.sealer.seal(pem.expose_secret().as_bytes(), &kid);
            let insert = "INSERT INTO signing_keys (kid, algorithm, sealed, created_ms) VALUES ($1, $2, $3, $4)";
            transaction
                .change(insert, &[kid.as_str().into(), kind.into(), sealed.as_str().into(), now_ms.into()])
                .await?;
            kept.push(Kept { kid, sealed, created_ms: now_ms });
        }
        for over in over(&kept, millis(self.access_life), now_ms) {
            transaction.change("DELETE FROM signing_keys WHERE kid = $1", &[over.as_str().into()]).await?;
            kept.retain(|kept| kept.kid != over);
        }
        Ok(kept)
    }

    fn open(&self, pair: Pair, kept: &Kept) -> Option<EncodingKey> {
        let pem = self.sealer.open(&kept.sealed, &kept.kid)?;
        pair.encoding_key(pem.expose_secret())
    }

    fn take_over(&self, pair: Pair, kept: &[Kept], now_ms: i64) -> Option<Keys> {
        let mut published = Vec::new();
        for kept in kept {
            let mut key = Jwk::from_encoding_key(&self.open(pair, kept)?, pair.algorithm()).ok()?;
            key.common.key_id = Some(kept.kid.clone());
            key.common.public_key_use = Some(PublicKeyUse::Signature);
            key.common.key_operations = Some(vec![KeyOperations::Verify]);
            published.push(key);
        }
        let published = JwkSet { keys: published };
        let signs = signs(kept, now_ms)?;
        let mut header = Header::new(pair.algorithm());
        header.kid = Some(signs.kid.clone());
        Some(Keys { header, signing: self.open(pair, signs)?, reader: TokenReader::of_keys(&published), published })
    }
}

/// Decides whether a new pair is to be made: so early that it is published for long enough before it signs.
fn is_due(kept: &[Kept], each_ms: i64, now_ms: i64) -> bool {
    let early = millis(PUBLISHED_BEFORE).min(each_ms / 2);
    kept.last().is_none_or(|newest| now_ms >= newest.created_ms.saturating_add(each_ms - early))
}

/// Returns the pair that signs: the newest that has been published for long enough, or else the oldest.
fn signs(kept: &[Kept], now_ms: i64) -> Option<&Kept> {
    let is_known = |kept: &&Kept| now_ms >= kept.created_ms.saturating_add(millis(PUBLISHED_BEFORE));
    kept.iter().rfind(is_known).or_else(|| kept.first())
}

/// Returns the pairs that no good token is signed with any more: what followed has signed for longer than a token lasts.
fn over(kept: &[Kept], access_ms: i64, now_ms: i64) -> Vec<String> {
    // Programs look once in a minute: so long the old one may still sign.
    let lasts = access_ms.saturating_add(millis(PUBLISHED_BEFORE + TEND_EVERY));
    let followed = kept.iter().zip(kept.iter().skip(1));
    followed
        .filter(|(_, next)| now_ms > next.created_ms.saturating_add(lasts))
        .map(|(kept, _)| kept.kid.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use kit::db::Source;
    use testkit::Postgres;

    use super::*;

    const MINUTE: i64 = 60_000;

    #[tokio::test]
    async fn a_pair_that_could_not_be_kept_signs_nothing() {
        let postgres = Postgres::start().await;
        let store = Store::opened(Source::parse(&postgres.url()).unwrap()).await;
        let signing = Signing::Pairs(Pair::EdDsa, Duration::from_secs(3600));
        let keyring = Keyring::new(&"0123456789abcdef0123456789abcdef".into(), signing, Duration::from_secs(60));
        postgres.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not kept'; END $$;
            CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON platform_services.signing_keys
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
        );
        keyring.tend(&store, Timestamp::now()).await.unwrap_err();
        assert!(keyring.published().is_err());
        postgres.sql("DROP TRIGGER at_commit ON platform_services.signing_keys");
        keyring.tend(&store, Timestamp::now()).await.unwrap();
        assert_eq!(keyring.published().unwrap().keys.len(), 1);
    }

    fn claims() -> Claims {
        let text = || "a".to_owned();
        Claims {
            sub: text(),
            user_id: text(),
            email: text(),
            role: text(),
            tenant_id: None,
            kind: kit::token::ACCESS.to_owned(),
            sid: text(),
            jti: text(),
            iat: 0,
            exp: i64::from(u32::MAX),
        }
    }

    #[tokio::test]
    async fn pairs_follow_one_another_and_tokens_of_the_one_before_stay_good_until_they_are_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::opened(Source::Sqlite(folder.path().join("a.db"))).await;
        let (each, access) = (Duration::from_secs(1000 * 60), Duration::from_secs(60 * 60));
        let ring =
            || Keyring::new(&"0123456789abcdef0123456789abcdef".into(), Signing::Pairs(Pair::EdDsa, each), access);
        let (keyring, other) = (ring(), ring());
        let begin = Timestamp::now();
        let tend = async |minute: i64| {
            for keyring in [&keyring, &other] {
                keyring.tend(&store, begin + jiff::SignedDuration::from_mins(minute)).await.unwrap();
            }
        };
        let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let published = || keyring.published().unwrap().keys.into_iter().map(|key| key.common.key_id.unwrap());
        tend(0).await;
        let first = keyring.sign(&claims()).unwrap();
        tend(990).await;
        let early = keyring.sign(&claims()).unwrap();
        assert_eq!((published().count(), kid(&early)), (2, kid(&first)), "published, and not used yet");
        tend(1000).await;
        let second = keyring.sign(&claims()).unwrap();
        assert_ne!(kid(&second), kid(&first));
        for token in [&first, &second] {
            assert!(keyring.read(token).unwrap().is_some() && other.read(token).unwrap().is_some());
        }
        tend(1062).await;
        assert_eq!(published().collect::<Vec<_>>(), [kid(&second)]);
        assert!(keyring.read(&first).unwrap().is_none() && other.read(&first).unwrap().is_none());
        assert!(keyring.read(&second).unwrap().is_some() && other.read(&second).unwrap().is_some());
    }

    fn kept(created: &[i64]) -> Vec<Kept> {
        let each = |minute: &i64| Kept { kid: minute.to_string(), sealed: String::new(), created_ms: minute * MINUTE };
        created.iter().map(each).collect()
    }

    #[test]
    fn a_pair_is_published_before_it_signs_and_stays_until_its_last_token_is_over() {
        let due = |created: &[i64], minute: i64| is_due(&kept(created), 1000 * MINUTE, minute * MINUTE);
        assert_eq!([due(&[], 0), due(&[0], 989), due(&[0], 990), due(&[0, 990], 991)], [true, false, true, false]);
        let signing = |created: &[i64], minute: i64| signs(&kept(created), minute * MINUTE).unwrap().kid.clone();
        assert_eq!([signing(&[0], 0), signing(&[0, 990], 999), signing(&[0, 990], 1000)], ["0", "0", "990"]);
        let gone = |created: &[i64], minute: i64| over(&kept(created), 60 * MINUTE, minute * MINUTE);
        assert_eq!(gone(&[0, 990], 1061), [""; 0]);
        assert_eq!(gone(&[0, 990], 1062), ["0"]);
        assert_eq!(gone(&[0], 1_000_000), [""; 0]);
    }
}
