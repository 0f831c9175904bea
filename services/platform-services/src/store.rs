//! The database: opened as soon as it is there, looked at again and again, so that health says how it is.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::backoff::Backoff;
use kit::chain::Chain;
use kit::db::{Database, Source, Transaction};
use kit::health::{Health, Need};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;
use crate::tables::TABLES;

/// Its name in health.
pub(crate) const DATABASE: &str = "database";
/// Between two looks at a database that is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a look.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);
/// Between tries to open one that is not.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };
/// Between two looks that write: a disk that is full, or a server that only reads, answers every question.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// Longest time to open the database, with all that its tables need.
const OPEN_DEADLINE: Duration = Duration::from_secs(600);
/// Between two clearances of what is over.
const CLEAR_EVERY: Duration = Duration::from_secs(600);
/// Longest time for one kind of it; the rest waits for the next time.
const CLEAR_DEADLINE: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;
/// Rows that are removed at once.
const CLEARED_AT_ONCE: u64 = 500;
/// What is over if it is older than that, in milliseconds. A session without a token cannot go on.
const CLEARANCES: [(&str, i64); 4] = [
    ("DELETE FROM refresh_tokens WHERE digest IN (SELECT digest FROM refresh_tokens WHERE expires_ms < $1 {some})", 0),
    (
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE created_ms < $1 AND NOT EXISTS
         (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.session_id = sessions.id) {some})",
        0,
    ),
    ("DELETE FROM tries WHERE who IN (SELECT who FROM tries WHERE last_ms < $1 {some})", DAY_MS),
    (
        "DELETE FROM auth_events WHERE number IN (SELECT number FROM auth_events WHERE at_ms < $1 {some})",
        KEPT_DAYS * DAY_MS,
    ),
];
/// How long it is kept what happened in sign-in.
const KEPT_DAYS: i64 = 90;

/// The database of this service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    source: Arc<Source>,
    connections: NonZeroU32,
    opened: Arc<OnceCell<Database>>,
}

impl Store {
    pub(crate) fn new(source: Source, connections: NonZeroU32) -> Self {
        Self { source: Arc::new(source), connections, opened: Arc::default() }
    }

    fn database(&self) -> Result<&Database, Problem> {
        self.opened.get().ok_or(Problem::Away)
    }

    pub(crate) async fn begin(&self) -> Result<Transaction, Problem> {
        Ok(self.database()?.begin().await?)
    }

    pub(crate) async fn begin_reading(&self) -> Result<Transaction, Problem> {
        Ok(self.database()?.begin_reading().await?)
    }

    /// Opens the database once it is there, and says in `health` how it is, until `stop`.
    pub(crate) async fn keep(self, health: Health, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.look_for_ever(&health) => {}
            () = self.clear_for_ever() => {}
        }
        if let Some(database) = self.opened.get() {
            database.close().await;
        }
    }

    async fn look_for_ever(&self, health: &Health) {
        let (mut failures, mut written) = (0, None::<Instant>);
        loop {
            let writes = written.is_none_or(|written| written.elapsed() >= WRITE_EVERY);
            let found = self.look(writes).await;
            failures = if found.is_ok() { 0 } else { failures + 1 };
            written = match &found {
                Ok(()) if writes => Some(Instant::now()),
                Ok(()) => written,
                Err(_) => None,
            };
            health.set(DATABASE, Need::Hard, found);
            tokio::time::sleep(if failures == 0 { LOOK_EVERY } else { RETRY.delay(failures, rand::random()) }).await;
        }
    }

    async fn look(&self, writes: bool) -> Result<(), String> {
        let opening = self.opened.get_or_try_init(|| async {
            let opened = Database::open(&self.source, &TABLES, self.connections.get()).await;
            opened.inspect(|_| tracing::info!("the database is open")).map_err(|error| {
                let text = Chain(&error).to_string();
                tracing::warn!(error = text, "the database cannot be opened yet");
                text
            })
        });
        let opened = tokio::time::timeout(OPEN_DEADLINE, opening).await;
        let database = opened.map_err(|_elapsed| late(OPEN_DEADLINE))??;
        let asking = async {
            if !writes {
                let mut transaction = database.begin_reading().await?;
                transaction.rows::<(i64,)>("SELECT at_ms FROM looks", &[]).await?;
                return transaction.rollback().await;
            }
            let mut transaction = database.begin().await?;
            let sql =
                "INSERT INTO looks (id, at_ms) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms";
            transaction.change(sql, &[Timestamp::now().as_millisecond().into()]).await?;
            transaction.commit().await
        };
        match tokio::time::timeout(LOOK_DEADLINE, asking).await {
            Ok(answer) => answer.map_err(|error| Chain(&error).to_string()),
            Err(_elapsed) => Err(late(LOOK_DEADLINE)),
        }
    }

    async fn clear_for_ever(&self) {
        loop {
            tokio::time::sleep(CLEAR_EVERY).await;
            let now_ms = Timestamp::now().as_millisecond();
            self.clear_all(now_ms).await;
        }
    }

    async fn clear_all(&self, now_ms: i64) {
        for (sql, age_ms) in CLEARANCES {
            let cleared = tokio::time::timeout(CLEAR_DEADLINE, self.clear(sql, now_ms - age_ms)).await;
            let why = match &cleared {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => Chain(error).to_string(),
                Err(_elapsed) => late(CLEAR_DEADLINE),
            };
            tracing::warn!(error = why, sql, "what is over could not be cleared");
        }
    }

    /// Removes some rows at a time, so that nobody waits for it long.
    async fn clear(&self, sql: &str, before_ms: i64) -> Result<(), Problem> {
        let sql = sql.replace("{some}", &format!("LIMIT {CLEARED_AT_ONCE}"));
        loop {
            let mut transaction = self.begin().await?;
            let removed = transaction.change(&sql, &[before_ms.into()]).await?;
            transaction.commit().await?;
            if removed < CLEARED_AT_ONCE {
                return Ok(());
            }
        }
    }
}

fn late(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs())
}

#[cfg(test)]
mod tests {
    use testkit::Postgres;

    use super::*;

    async fn opened(source: Source) -> Store {
        let store = Store::new(source, NonZeroU32::MIN);
        store.look(true).await.unwrap();
        store.look(false).await.unwrap();
        store
    }

    /// More rows than are removed at once, half of them over.
    async fn what_is_over_goes_and_the_rest_stays(store: &Store) {
        let mut transaction = store.begin().await.unwrap();
        let user = "INSERT INTO users VALUES ('u', 'a@x.y', '', '', '', 'user', NULL, 1, 0, 0, NULL, '')";
        transaction.change(user, &[]).await.unwrap();
        let day = |number: i64| number % 2 * 100 * DAY_MS;
        for number in 0..1200 {
            let (name, at_ms) = (number.to_string(), day(number));
            let (name, at) = (name.as_str().into(), at_ms.into());
            transaction.change("INSERT INTO sessions VALUES ($1, 'u', $2, NULL, NULL)", &[name, at]).await.unwrap();
            transaction.change("INSERT INTO refresh_tokens VALUES ($1, $1, $2, NULL)", &[name, at]).await.unwrap();
            transaction.change("INSERT INTO tries VALUES ($1, 1, $2)", &[name, at]).await.unwrap();
            transaction.change("INSERT INTO auth_events (at_ms, kind) VALUES ($1, 'login')", &[at]).await.unwrap();
        }
        transaction.commit().await.unwrap();
        store.clear_all(95 * DAY_MS).await;
        for table in ["sessions", "refresh_tokens", "tries", "auth_events"] {
            let mut transaction = store.begin_reading().await.unwrap();
            let count: Option<(i64,)> = transaction.row(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap();
            assert_eq!(count, Some((600,)), "{table}");
            transaction.rollback().await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_over_goes_from_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        what_is_over_goes_and_the_rest_stays(&opened(Source::Sqlite(folder.path().join("x.db"))).await).await;
    }

    #[tokio::test]
    async fn what_is_over_goes_from_postgresql_and_a_server_that_went_is_missed() {
        let postgres = Postgres::start().await;
        let store = opened(Source::parse(&postgres.url()).unwrap()).await;
        what_is_over_goes_and_the_rest_stays(&store).await;
        postgres.sql("ALTER SYSTEM SET default_transaction_read_only = on");
        postgres.sql("SELECT pg_reload_conf()");
        let only_reads =
            testkit::eventually("a server that only reads to be told", Duration::from_secs(60), async || {
                store.look(true).await.err()
            });
        assert!(only_reads.await.contains("read-only"));
        store.look(false).await.unwrap();
    }
}
