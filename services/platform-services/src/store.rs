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

use crate::clearance::{Clearance, clear_for_ever};
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
/// The database of this service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    source: Arc<Source>,
    connections: NonZeroU32,
    clearances: Arc<[Clearance]>,
    opened: Arc<OnceCell<Database>>,
}

impl Store {
    /// Is opened, and cleared of what is over, by [`Self::keep`].
    pub(crate) fn new(source: Source, connections: NonZeroU32, clearances: Vec<Clearance>) -> Self {
        Self { source: Arc::new(source), connections, clearances: clearances.into(), opened: Arc::default() }
    }

    fn database(&self) -> Result<&Database, Problem> {
        self.opened.get().ok_or(Problem::Away)
    }

    pub(crate) async fn begin(&self) -> Result<Transaction, Problem> {
        Ok(self.database()?.begin().await?)
    }

    /// Reads in one transaction, which nobody waits for.
    pub(crate) async fn read<T>(
        &self,
        reading: impl AsyncFnOnce(&mut Transaction) -> Result<T, sqlx::Error>,
    ) -> Result<T, Problem> {
        Ok(self.database()?.read(reading).await?)
    }

    /// Opens the database once it is there, and says in `health` how it is, until `stop`.
    pub(crate) async fn keep(self, health: Health, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.look_for_ever(&health) => {}
            () = clear_for_ever(&self, &self.clearances) => {}
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
}

/// Says that an answer did not come.
pub(crate) fn late(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs())
}

#[cfg(test)]
mod tests {
    use testkit::Postgres;

    use super::*;

    impl Store {
        /// One that is there already, and clears nothing by itself.
        pub(crate) async fn opened(source: Source) -> Self {
            let store = Self::new(source, NonZeroU32::MIN, Vec::new());
            store.look(true).await.unwrap();
            store.look(false).await.unwrap();
            store
        }
    }

    #[tokio::test]
    async fn a_server_that_only_reads_is_told() {
        let postgres = Postgres::start().await;
        let store = Store::opened(Source::parse(&postgres.url()).unwrap()).await;
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
