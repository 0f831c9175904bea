//! Links that are sent by mail: each is good once, for one purpose and for a while, and only a digest of it is kept.
//!
//! The token in a link is made of our secret and the mail's job: a mail that is tried again carries the same one, and the
//! queue carries none.

use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use kit::clock::later;
use kit::db::Transaction;
use kit::hmac::SigningKey;
use kit::queue::JobId;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::token::digest;
use super::users::{self, User, WATCHED};

/// Longest token that is looked at, in bytes; ours have 64.
const MAX_TOKEN_BYTES: usize = 128;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To show whose address it is.
    VerifyEmail,
    /// To choose another password.
    ResetPassword,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
        }
    }

    /// The page that a link leads to.
    fn page(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
        }
    }
}

/// Makes links.
#[derive(Debug)]
pub(super) struct Links {
    key: SigningKey,
    base: Url,
}

impl Links {
    pub(super) fn new(secret: &SecretString, public_url: &Url) -> Self {
        Self { key: SigningKey::new(secret.expose_secret().as_bytes()), base: public_url.clone() }
    }

    /// Where people are at home, as they know it.
    pub(super) fn place(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Makes the token of a mail: 256 bits, without a dash at its end that mail programs take for the text's. What is signed has spaces, so that it is never the text of an access token, which
    /// the same secret may sign.
    pub(super) fn token(&self, purpose: Purpose, job: JobId) -> SecretString {
        let text = format!("platform-services link {} {job}", purpose.as_str());
        HEXLOWER.encode(&self.key.sign(&[text.as_bytes()])).into()
    }

    /// Writes the link.
    pub(super) fn url(&self, purpose: Purpose, token: &SecretString) -> SecretString {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["auth", purpose.page()]);
        }
        url.set_query(Some(&format!("token={}", token.expose_secret())));
        String::from(url).into()
    }
}

/// Keeps what a link of a user is known by, for `life` from now on. One that was used stays used.
pub(super) async fn keep(
    transaction: &mut Transaction,
    user: &User,
    purpose: Purpose,
    token: &SecretString,
    life: Duration,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO mailed_tokens (digest, user_id, purpose, expires_ms) VALUES ($1, $2, $3, $4)
        ON CONFLICT (digest) DO UPDATE SET expires_ms = excluded.expires_ms WHERE mailed_tokens.used_ms IS NULL";
    let digest = digest(token.expose_secret());
    let expires_ms = later(now, life).as_millisecond();
    let binds = [digest.as_str().into(), user.id.as_str().into(), purpose.as_str().into(), expires_ms.into()];
    transaction.change(sql, &binds).await.map(|_tokens| ())
}

/// Returns whose link is good.
pub(super) async fn find(
    transaction: &mut Transaction,
    purpose: Purpose,
    token: &str,
    now: Timestamp,
) -> Result<Option<User>, sqlx::Error> {
    if token.len() > MAX_TOKEN_BYTES {
        return Ok(None);
    }
    let sql = "SELECT user_id FROM mailed_tokens
        WHERE digest = $1 AND purpose = $2 AND used_ms IS NULL AND expires_ms > $3 {for_update}";
    let digest = digest(token);
    let binds = [digest.as_str().into(), purpose.as_str().into(), now.as_millisecond().into()];
    let Some((user,)) = transaction.row::<(String,)>(sql, &binds).await? else { return Ok(None) };
    Ok(users::by_id(transaction, &user).await?.filter(may_have_mail))
}

/// As [`find`]; no link of the user for this purpose is good any more.
pub(super) async fn take(
    transaction: &mut Transaction,
    purpose: Purpose,
    token: &str,
    now: Timestamp,
) -> Result<Option<User>, sqlx::Error> {
    let user = find(transaction, purpose, token, now).await?;
    if let Some(user) = &user {
        void(transaction, &user.id, purpose, now).await?;
    }
    Ok(user)
}

/// Ends every link of a user for a purpose.
pub(super) async fn void(
    transaction: &mut Transaction,
    user: &str,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE mailed_tokens SET used_ms = $1 WHERE user_id = $2 AND purpose = $3 AND used_ms IS NULL";
    let binds = [now.as_millisecond().into(), user.into(), purpose.as_str().into()];
    transaction.change(sql, &binds).await.map(|_tokens| ())
}

/// Decides who gets mail: whoever may sign in, and no monitor.
pub(super) fn may_have_mail(user: &User) -> bool {
    user.is_active != 0 && user.realm != WATCHED
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "0190a5b0-0000-7000-8000-00000000000";

    fn links(base: &str) -> Links {
        Links::new(&"a secret of some length".into(), &Url::parse(base).unwrap())
    }

    fn token(links: &Links, purpose: Purpose, last: char) -> String {
        links.token(purpose, format!("{JOB}{last}").parse().unwrap()).expose_secret().to_owned()
    }

    #[test]
    fn a_mail_has_one_token_however_often_it_is_written_and_no_other_has_it() {
        let links = links("https://a.example");
        let first = token(&links, Purpose::VerifyEmail, '1');
        assert_eq!((first.len(), &first), (64, &token(&links, Purpose::VerifyEmail, '1')));
        assert_ne!(first, token(&links, Purpose::VerifyEmail, '2'));
        assert_ne!(first, token(&links, Purpose::ResetPassword, '1'));
    }

    #[test]
    fn a_link_begins_where_people_reach_the_platform() {
        for (base, expected) in [
            ("https://a.example", "https://a.example/auth/reset-password?token=abc"),
            ("http://localhost:3000/", "http://localhost:3000/auth/reset-password?token=abc"),
            ("https://a.example/app/", "https://a.example/app/auth/reset-password?token=abc"),
        ] {
            assert_eq!(links(base).url(Purpose::ResetPassword, &"abc".into()).expose_secret(), expected);
        }
    }
}
