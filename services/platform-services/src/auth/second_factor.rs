//! Second factors as they are kept: a secret that only this service can open, the step that was used last, and the digests
//! of recovery codes, each good once.

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use kit::seal::Sealer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use url::Url;

use super::token::digest;
use super::totp::{self, DIGITS, STEP_SECS};

/// Recovery codes that are made at once.
const CODES: usize = 10;
/// Letters between two dashes of a code.
const GROUP: usize = 4;

/// Makes and opens secrets.
#[derive(Debug)]
pub(super) struct SecondFactors {
    sealer: Sealer,
    /// Who asks for the codes, as apps show it.
    issuer: String,
}

/// A secret as it is shown once.
#[derive(Debug)]
pub(super) struct Shown {
    /// In base32 (RFC 4648 section 6), as people type it.
    pub(super) secret: SecretString,
    /// As apps read it from a picture (github.com/google/google-authenticator/wiki/Key-Uri-Format).
    pub(super) url: SecretString,
    pub(super) sealed: String,
}

impl SecondFactors {
    pub(super) fn new(secret: &SecretString, public_url: &Url) -> Self {
        let issuer = public_url.host_str().unwrap_or_default().to_owned();
        Self { sealer: Sealer::new(secret, "platform-services second factors"), issuer }
    }

    /// Makes a secret of 160 bits (RFC 4226 section 4, R6).
    pub(super) fn make(&self, user: &str, email: &str) -> Shown {
        let bytes: [u8; 20] = rand::random();
        let (secret, encode) = (BASE32_NOPAD.encode(&bytes), |text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let (issuer, email) = (encode(&self.issuer), encode(email));
        let url = format!(
            "otpauth://totp/{issuer}:{email}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECS}"
        );
        Shown { secret: secret.into(), url: url.into(), sealed: self.sealer.seal(&bytes, user) }
    }

    /// Opens a secret; none if `JWT_SECRET` is another one now.
    fn open(&self, sealed: &str, user: &str) -> Option<SecretSlice<u8>> {
        let opened = self.sealer.open(sealed, user);
        if opened.is_none() {
            tracing::warn!(
                user.id = user,
                "a second factor was sealed with another JWT_SECRET; whoever administers can remove it"
            );
        }
        opened
    }

    fn step_of(&self, kept: &Kept, user: &str, code: &str, now: Timestamp) -> Option<i64> {
        let secret = self.open(&kept.sealed, user)?;
        totp::step_of(secret.expose_secret(), code, now.as_second(), kept.used_step)
    }
}

/// What a code proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// There is no second factor.
    NotAsked,
    /// There is one, and no code.
    Missing,
    /// It is no code, was used, or is over.
    Wrong,
    /// It is of the app.
    Code,
    /// It is a recovery code, and was its last use.
    RecoveryCode,
}

#[derive(Debug, sqlx::FromRow)]
struct Kept {
    sealed: String,
    enabled_ms: Option<i64>,
    used_step: i64,
}

async fn find(transaction: &mut Transaction, user: &str) -> Result<Option<Kept>, sqlx::Error> {
    let sql = "SELECT sealed, enabled_ms, used_step FROM second_factors WHERE user_id = $1 {for_update}";
    transaction.row(sql, &[user.into()]).await
}

/// Takes a code: with what is done in the same transaction it is used up.
pub(super) async fn prove(
    transaction: &mut Transaction,
    factors: &SecondFactors,
    user: &str,
    code: Option<&str>,
    now: Timestamp,
) -> Result<Proof, sqlx::Error> {
    let Some(kept) = find(transaction, user).await?.filter(|kept| kept.enabled_ms.is_some()) else {
        return Ok(Proof::NotAsked);
    };
    let Some(code) = code.map(plain) else { return Ok(Proof::Missing) };
    if let Some(step) = factors.step_of(&kept, user, &code, now) {
        let sql = "UPDATE second_factors SET used_step = $1 WHERE user_id = $2";
        transaction.change(sql, &[step.into(), user.into()]).await?;
        return Ok(Proof::Code);
    }
    let sql = "UPDATE recovery_codes SET used_ms = $1 WHERE digest = $2 AND user_id = $3 AND used_ms IS NULL";
    let digest = digest(&code);
    let binds = [now.as_millisecond().into(), digest.as_str().into(), user.into()];
    Ok(if transaction.change(sql, &binds).await? == 1 { Proof::RecoveryCode } else { Proof::Wrong })
}

/// A code as it is compared, however it was typed.
fn plain(code: impl AsRef<str>) -> String {
    code.as_ref().chars().filter(|c| !c.is_whitespace() && *c != '-').collect::<String>().to_uppercase()
}

/// Answers a code that proves nothing.
pub(super) fn wrong() -> ApiError {
    ApiError::unauthorized("the code is wrong, over, or was used; send the newest").code("bad_second_factor")
}

/// Keeps a secret that proves nothing yet, instead of such a one before; false if there is one that does.
pub(super) async fn keep(
    transaction: &mut Transaction,
    user: &str,
    sealed: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let sql = "INSERT INTO second_factors (user_id, sealed, created_ms, used_step) VALUES ($1, $2, $3, 0)
        ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, created_ms = excluded.created_ms
        WHERE second_factors.enabled_ms IS NULL";
    Ok(transaction.change(sql, &[user.into(), sealed.into(), now.as_millisecond().into()]).await? == 1)
}

/// What came of turning it on.
pub(super) enum Enabled {
    /// It is on; these are its recovery codes, shown once.
    Now(Vec<String>),
    /// The code is wrong.
    Wrong,
    /// It was on before.
    Before,
    /// There is no secret.
    NoSecret,
}

/// Turns it on, if the code shows that the app has the secret.
pub(super) async fn enable(
    transaction: &mut Transaction,
    factors: &SecondFactors,
    user: &str,
    code: &str,
    now: Timestamp,
) -> Result<Enabled, sqlx::Error> {
    let kept = match find(transaction, user).await? {
        None => return Ok(Enabled::NoSecret),
        Some(kept) if kept.enabled_ms.is_some() => return Ok(Enabled::Before),
        Some(kept) => kept,
    };
    let Some(step) = factors.step_of(&kept, user, &plain(code), now) else { return Ok(Enabled::Wrong) };
    let sql = "UPDATE second_factors SET enabled_ms = $1, used_step = $2 WHERE user_id = $3";
    transaction.change(sql, &[now.as_millisecond().into(), step.into(), user.into()]).await?;
    let codes: Vec<String> = (0..CODES).map(|_| make_code()).collect();
    for code in &codes {
        let sql = "INSERT INTO recovery_codes (digest, user_id) VALUES ($1, $2)";
        transaction.change(sql, &[digest(plain(code)).as_str().into(), user.into()]).await?;
    }
    Ok(Enabled::Now(codes))
}

/// Makes a recovery code: 120 bits, so that a plain digest of it is safe (OWASP ASVS 4.0.3, 2.6.2: 112 or more).
fn make_code() -> String {
    let letters: Vec<char> = BASE32_NOPAD.encode(&rand::random::<[u8; 15]>()).to_lowercase().chars().collect();
    let groups: Vec<String> = letters.chunks(GROUP).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

/// Removes the second factor with its recovery codes; false if there was none that proved anything.
pub(super) async fn remove(transaction: &mut Transaction, user: &str) -> Result<bool, sqlx::Error> {
    let sql = "DELETE FROM second_factors WHERE user_id = $1 AND enabled_ms IS NOT NULL";
    let is_removed = transaction.change(sql, &[user.into()]).await? == 1;
    if is_removed {
        remove_codes(transaction, user).await?;
    }
    Ok(is_removed)
}

/// Removes everything of it, also what was only begun.
pub(super) async fn forget(transaction: &mut Transaction, user: &str) -> Result<(), sqlx::Error> {
    transaction.change("DELETE FROM second_factors WHERE user_id = $1", &[user.into()]).await?;
    remove_codes(transaction, user).await
}

/// After the factor itself, for which whoever else changes it waits: no code of theirs stays behind.
async fn remove_codes(transaction: &mut Transaction, user: &str) -> Result<(), sqlx::Error> {
    transaction.change("DELETE FROM recovery_codes WHERE user_id = $1", &[user.into()]).await.map(|_codes| ())
}

/// Returns how many recovery codes are left; none if there is no second factor.
pub(super) async fn codes_left(transaction: &mut Transaction, user: &str) -> Result<Option<i64>, sqlx::Error> {
    let sql = "SELECT (SELECT count(*) FROM recovery_codes WHERE user_id = $1 AND used_ms IS NULL)
        FROM second_factors WHERE user_id = $1 AND enabled_ms IS NOT NULL";
    Ok(transaction.row::<(i64,)>(sql, &[user.into()]).await?.map(|(left,)| left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_told_everything_it_asks_for_and_nobody_else_the_secret() {
        let factors =
            SecondFactors::new(&"a secret of some length".into(), &Url::parse("https://a.example/x").unwrap());
        let shown = factors.make("u", "ada+1@example.com");
        let secret = shown.secret.expose_secret();
        assert_eq!(
            shown.url.expose_secret(),
            &format!(
                "otpauth://totp/a%2Eexample:ada%2B1%40example%2Ecom?secret={secret}&issuer=a%2Eexample&algorithm=SHA1&digits=6&period=30"
            )
        );
        assert_eq!(secret.len(), 32);
        assert_eq!(BASE32_NOPAD.encode(factors.open(&shown.sealed, "u").unwrap().expose_secret()), *secret);
        assert!(factors.open(&shown.sealed, "another").is_none());
        assert!(!format!("{factors:?} {shown:?}").contains(secret));
    }

    #[test]
    fn a_recovery_code_is_the_same_however_it_is_typed() {
        let code = make_code();
        assert_eq!((code.len(), code.matches('-').count()), (29, 5), "{code}");
        assert_eq!(plain(&code), plain(code.to_uppercase().replace('-', " ")));
        assert_ne!(code, make_code());
    }
}
