//! Sessions: what a login begins. Each has one refresh token at a time, and ends with all of its tokens.

use std::time::Duration;

use jiff::Timestamp;
use kit::db::Transaction;
use secrecy::SecretString;
use uuid::Uuid;

use super::token::{digest, make_secret};
use super::users::{COLUMNS, User};
use crate::time::{DAY_MS, millis};

/// No session is longer, however often it is refreshed (OWASP ASVS 4.0.3, 3.3.2).
pub(super) const LONGEST_MS: i64 = 30 * DAY_MS;

/// A session with its newest refresh token.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) refresh: SecretString,
    /// When it ends at the latest, in milliseconds since the epoch.
    pub(super) ends_ms: i64,
}

/// What came of a refresh token.
#[derive(Debug)]
pub(super) enum Refreshed {
    /// It was good once; here is what follows it.
    Good(Box<User>, Session),
    /// It is none, has run out, or its session has ended.
    Unknown,
    /// It was used before, and is refused; what else came of that is done.
    Reused(Box<User>),
}

/// Begins a session.
pub(super) async fn begin(
    transaction: &mut Transaction,
    user: &User,
    life: Duration,
    now: Timestamp,
) -> Result<Session, sqlx::Error> {
    let id = Uuid::now_v7().to_string();
    let sql = "INSERT INTO sessions (id, user_id, created_ms) VALUES ($1, $2, $3)";
    transaction.change(sql, &[id.as_str().into(), user.id.as_str().into(), now.as_millisecond().into()]).await?;
    let refresh = add_refresh(transaction, &id, life, now).await?;
    Ok(Session { id, refresh, ends_ms: now.as_millisecond().saturating_add(LONGEST_MS) })
}

async fn add_refresh(
    transaction: &mut Transaction,
    session: &str,
    life: Duration,
    now: Timestamp,
) -> Result<SecretString, sqlx::Error> {
    let refresh = make_secret();
    let expires_ms = now.as_millisecond().saturating_add(millis(life));
    let sql = "INSERT INTO refresh_tokens (digest, session_id, expires_ms) VALUES ($1, $2, $3)";
    transaction.change(sql, &[digest(&refresh).as_str().into(), session.into(), expires_ms.into()]).await?;
    Ok(refresh.into())
}

/// A refresh token with its session and user.
#[derive(Debug, sqlx::FromRow)]
struct Found {
    session_id: String,
    session_created_ms: i64,
    expires_ms: i64,
    used_ms: Option<i64>,
    #[sqlx(flatten)]
    user: User,
}

/// Returns whether a refresh token is there that was not used. Asked before it is taken: of several that come at once one
/// wins, and the others, which saw it unused, are refused and no more. Whoever comes later has a copy.
pub(super) async fn is_unused(transaction: &mut Transaction, token: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT session_id FROM refresh_tokens WHERE digest = $1 AND used_ms IS NULL";
    Ok(transaction.row::<(String,)>(sql, &[digest(token).as_str().into()]).await?.is_some())
}

/// Takes a refresh token, which is good once. A copy ends the session (RFC 9700 section 4.14.2), unless the token
/// `was_unused` when this request came.
pub(super) async fn refresh(
    transaction: &mut Transaction,
    token: &str,
    was_unused: bool,
    life: Duration,
    now: Timestamp,
) -> Result<Refreshed, sqlx::Error> {
    let (digest, now_ms) = (digest(token), now.as_millisecond());
    // Held alone: whoever changes a password holds the user first, and then sessions.
    transaction
        .rows::<(String,)>(
            "SELECT digest FROM refresh_tokens WHERE digest = $1 {for_update}",
            &[digest.as_str().into()],
        )
        .await?;
    let sql = format!(
        "SELECT refresh_tokens.session_id, sessions.created_ms AS session_created_ms, refresh_tokens.expires_ms,
         refresh_tokens.used_ms, {COLUMNS} FROM refresh_tokens JOIN sessions ON sessions.id = refresh_tokens.session_id
         JOIN users ON users.id = sessions.user_id
         WHERE refresh_tokens.digest = $1 AND sessions.ended_ms IS NULL AND users.is_active = 1
         AND users.deleted_ms IS NULL"
    );
    let found: Option<Found> = transaction.row(&sql, &[digest.as_str().into()]).await?;
    let ends_ms = |found: &Found| found.session_created_ms.saturating_add(LONGEST_MS);
    let lives = |found: &Found| found.expires_ms.min(ends_ms(found)) > now_ms;
    let Some(found) = found.filter(lives) else { return Ok(Refreshed::Unknown) };
    if found.used_ms.is_some() {
        if !was_unused {
            end(transaction, &found.session_id, "reuse", now).await?;
        }
        return Ok(Refreshed::Reused(Box::new(found.user)));
    }
    let sql = "UPDATE refresh_tokens SET used_ms = $1 WHERE digest = $2";
    transaction.change(sql, &[now_ms.into(), digest.as_str().into()]).await?;
    let refresh = add_refresh(transaction, &found.session_id, life, now).await?;
    let session = Session { ends_ms: ends_ms(&found), id: found.session_id, refresh };
    Ok(Refreshed::Good(Box::new(found.user), session))
}

/// The user of a session that goes on, and when it is known to have been used last.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Held {
    pub(super) used_ms: i64,
    #[sqlx(flatten)]
    pub(super) user: User,
}

/// Returns the user of a session that goes on.
pub(super) async fn user_of(
    transaction: &mut Transaction,
    session: &str,
    user: &str,
    now: Timestamp,
) -> Result<Option<Held>, sqlx::Error> {
    let sql = format!(
        "SELECT coalesce(sessions.used_ms, sessions.created_ms) AS used_ms, {COLUMNS} FROM sessions JOIN users ON users.id = sessions.user_id
         WHERE sessions.id = $1 AND users.id = $2 AND sessions.ended_ms IS NULL AND sessions.created_ms > $3
         AND users.is_active = 1 AND users.deleted_ms IS NULL"
    );
    let oldest_ms = now.as_millisecond().saturating_sub(LONGEST_MS);
    transaction.row(&sql, &[session.into(), user.into(), oldest_ms.into()]).await
}

/// Ends a session, unless it has ended; `by` says why.
pub(super) async fn end(
    transaction: &mut Transaction,
    session: &str,
    by: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let sql = "UPDATE sessions SET ended_ms = $1, ended_by = $2 WHERE id = $3 AND ended_ms IS NULL";
    Ok(transaction.change(sql, &[now.as_millisecond().into(), by.into(), session.into()]).await? == 1)
}

/// Ends every session of a user, but the one that is kept.
pub(super) async fn end_all(
    transaction: &mut Transaction,
    user: &str,
    kept: Option<&str>,
    by: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = "UPDATE sessions SET ended_ms = $1, ended_by = $2
        WHERE user_id = $3 AND ended_ms IS NULL AND id <> coalesce($4, '')";
    let binds = [now.as_millisecond().into(), by.into(), user.into(), kept.into()];
    transaction.change(sql, &binds).await.map(|_sessions| ())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use kit::db::{Database, Source};
    use proptest::prelude::*;
    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    use super::super::users::{NewUser, insert};
    use super::*;
    use crate::tables::TABLES;

    const LIFE: Duration = Duration::from_secs(600);

    /// What a person, a thief and the clock do.
    #[derive(Debug, Clone)]
    enum Step {
        LogIn,
        /// With any refresh token that ever was.
        Refresh(prop::sample::Index),
        /// Out of any session that ever was.
        LogOut(prop::sample::Index),
        /// Everywhere.
        LogOutAll,
        Wait(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::LogIn),
            6 => any::<prop::sample::Index>().prop_map(Step::Refresh),
            1 => any::<prop::sample::Index>().prop_map(Step::LogOut),
            1 => Just(Step::LogOutAll),
            2 => (0u16..400).prop_map(Step::Wait),
            2 => (0u16..7).prop_map(Step::Wait),
        ]
    }

    /// What should be true, in the simplest way to say it.
    #[derive(Default)]
    struct Model {
        /// Session, text, end of its life, when it was used.
        tokens: Vec<(usize, String, Timestamp, Option<Timestamp>)>,
        /// Id, and whether it goes on.
        sessions: Vec<(String, bool)>,
    }

    impl Model {
        fn given(&mut self, place: usize, refresh: &SecretString, now: Timestamp) {
            self.tokens.push((place, refresh.expose_secret().to_owned(), now + LIFE, None));
        }

        /// Says what must come of a token, and does it.
        fn refresh(&mut self, token: usize, now: Timestamp) -> &'static str {
            let (session, end, used) = (self.tokens[token].0, self.tokens[token].2, self.tokens[token].3);
            if !self.sessions[session].1 || end <= now {
                return "unknown";
            }
            if used.is_none() {
                self.tokens[token].3 = Some(now);
                return "good";
            }
            self.sessions[session].1 = false;
            "reused"
        }
    }

    /// Somebody, in a file of her own.
    async fn ada() -> (TempDir, Transaction, User) {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Sqlite(folder.path().join("x.db"));
        let database = Database::open(&source, &TABLES, 1).await.unwrap();
        let mut transaction = database.begin().await.unwrap();
        let user = insert(&mut transaction, NewUser::ada(), Timestamp::UNIX_EPOCH).await.unwrap().unwrap();
        (folder, transaction, user)
    }

    async fn live(steps: Vec<Step>) {
        let (mut now, mut model) = (Timestamp::UNIX_EPOCH, Model::default());
        let (_folder, mut transaction, user) = ada().await;
        for step in steps {
            match step {
                Step::Wait(secs) => now += SignedDuration::from_secs(secs.into()),
                Step::LogIn => {
                    let session = begin(&mut transaction, &user, LIFE, now).await.unwrap();
                    model.sessions.push((session.id, true));
                    model.given(model.sessions.len() - 1, &session.refresh, now);
                }
                Step::LogOut(which) if !model.sessions.is_empty() => {
                    let place = which.index(model.sessions.len());
                    end(&mut transaction, &model.sessions[place].0, "logout", now).await.unwrap();
                    model.sessions[place].1 = false;
                }
                Step::LogOutAll => {
                    end_all(&mut transaction, &user.id, None, "test", now).await.unwrap();
                    model.sessions.iter_mut().for_each(|session| session.1 = false);
                }
                Step::Refresh(which) if !model.tokens.is_empty() => {
                    let place = which.index(model.tokens.len());
                    let (session, token) = (model.tokens[place].0, model.tokens[place].1.clone());
                    let expected = model.refresh(place, now);
                    let was_unused = is_unused(&mut transaction, &token).await.unwrap();
                    let found = match refresh(&mut transaction, &token, was_unused, LIFE, now).await.unwrap() {
                        Refreshed::Good(_, next) => {
                            assert_eq!(next.id, model.sessions[session].0);
                            model.given(session, &next.refresh, now);
                            "good"
                        }
                        Refreshed::Unknown => "unknown",
                        Refreshed::Reused(_) => "reused",
                    };
                    assert_eq!(found, expected);
                }
                Step::LogOut(_) | Step::Refresh(_) => {}
            }
            for (id, goes_on) in &model.sessions {
                assert_eq!(user_of(&mut transaction, id, &user.id, now).await.unwrap().is_some(), *goes_on);
                assert_eq!(user_of(&mut transaction, id, "somebody else", now).await.unwrap(), None);
            }
        }
    }

    #[tokio::test]
    async fn no_session_is_longer_than_thirty_days() {
        let (_folder, mut transaction, user) = ada().await;
        let life = Duration::from_secs(20 * 86_400);
        let mut session = begin(&mut transaction, &user, life, Timestamp::UNIX_EPOCH).await.unwrap();
        for (day, is_good) in [(15, true), (29, true), (30, false)] {
            let now = Timestamp::from_second(day * 86_400).unwrap();
            assert_eq!(session.ends_ms, 30 * DAY_MS);
            let held = user_of(&mut transaction, &session.id, &user.id, now).await.unwrap();
            assert_eq!(held.is_some(), is_good, "day {day}");
            match refresh(&mut transaction, session.refresh.expose_secret(), true, life, now).await.unwrap() {
                Refreshed::Good(_, next) if is_good => session = next,
                Refreshed::Unknown if !is_good => {}
                other => panic!("day {day}: {other:?}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_token_is_good_once_and_only_as_long_as_its_session(steps in proptest::collection::vec(step(), 1..40)) {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(live(steps));
        }
    }
}
