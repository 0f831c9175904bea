//! State in SQLite with `synchronous=FULL`: streaks, verdicts, pushes, ledgers, and every verdict change.

use std::collections::HashMap;
use std::path::Path;

use futures_util::future::BoxFuture;
use kit::db::{DamageCheck, Durability, OpenError};
use uuid::Uuid;

use super::file::LazyFile;
use super::state_alerts;
use super::store::{AuditRow, DeliveryQuery, IncidentQuery, StateBatch, StateStore, StoreError, Transition};

pub(super) const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY, service TEXT NOT NULL, at_ms INTEGER NOT NULL,
    from_verdict TEXT, to_verdict TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE INDEX transitions_by_service ON transitions (service, id);
",
    super::state_alerts::TABLES,
];

/// Verdict changes that are kept, at most. One every minute for two months.
const MAX_TRANSITIONS: i64 = 100_000;

/// State in one SQLite file.
#[derive(Debug)]
pub struct SqliteState {
    file: LazyFile,
}

impl SqliteState {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// Only when a later program wrote the file.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { file: LazyFile::open(path, Durability::Full, DamageCheck::Always, &MIGRATIONS).await? })
    }
}

impl StateStore for SqliteState {
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.file.close())
    }

    fn save<'a>(&'a self, batch: &'a StateBatch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut transaction = self.file.begin().await?;
            for ((kind, key), body) in &batch.documents {
                let query = match body {
                    Some(body) => sqlx::query("INSERT OR REPLACE INTO documents (kind, key, body) VALUES ($1, $2, $3)")
                        .bind(kind)
                        .bind(key)
                        .bind(body),
                    None => sqlx::query("DELETE FROM documents WHERE kind = $1 AND key = $2").bind(kind).bind(key),
                };
                query.execute(&mut *transaction).await?;
            }
            for change in &batch.transitions {
                sqlx::query("INSERT INTO transitions (service, at_ms, from_verdict, to_verdict, reason) VALUES ($1, $2, $3, $4, $5)")
                    .bind(&change.service)
                    .bind(change.at.as_millisecond())
                    .bind(&change.from)
                    .bind(&change.to)
                    .bind(&change.reason)
                    .execute(&mut *transaction)
                    .await?;
            }
            if !batch.transitions.is_empty() {
                sqlx::query("DELETE FROM transitions WHERE id <= (SELECT max(id) FROM transitions) - $1")
                    .bind(MAX_TRANSITIONS)
                    .execute(&mut *transaction)
                    .await?;
            }
            state_alerts::save(&mut transaction, batch).await?;
            transaction.commit().await
        })
    }

    fn documents<'a>(&'a self, kind: &'static str) -> BoxFuture<'a, Result<HashMap<String, String>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<(String, String)> = sqlx::query_as("SELECT key, body FROM documents WHERE kind = $1")
                .bind(kind)
                .fetch_all(self.file.pool().await?)
                .await?;
            Ok(rows.into_iter().collect())
        })
    }

    fn rename_service<'a>(&'a self, old: &'a str, new: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut transaction = self.file.begin().await?;
            for statement in [
                "UPDATE OR IGNORE documents SET key = $2 WHERE key = $1",
                "UPDATE OR IGNORE documents SET key = $2 || substr(key, length($1) + 1) WHERE substr(key, 1, length($1) + 1) = $1 || '/'",
                "UPDATE transitions SET service = $2 WHERE service = $1",
                "UPDATE incidents SET service = $2, body = json_set(body, '$.service', $2) WHERE service = $1 AND resolved_ms IS NOT NULL",
            ] {
                sqlx::query(statement).bind(old).bind(new).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        })
    }

    fn transitions<'a>(
        &'a self,
        service: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Transition>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<(String, i64, Option<String>, String, String)> = sqlx::query_as(
                "SELECT service, at_ms, from_verdict, to_verdict, reason FROM transitions
                 WHERE $1 IS NULL OR service = $1 ORDER BY id DESC LIMIT $2",
            )
            .bind(service)
            .bind(limit)
            .fetch_all(self.file.readers().await?)
            .await?;
            let transition = |(service, at_ms, from, to, reason)| {
                let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
                Transition { service, from, to, reason, at }
            };
            Ok(rows.into_iter().map(transition).collect())
        })
    }

    fn incidents<'a>(&'a self, query: &'a IncidentQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move { state_alerts::incidents(self.file.readers().await?, query).await })
    }

    fn incident(&self, id: Uuid) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async move { state_alerts::incident(self.file.readers().await?, id).await })
    }

    fn events(&self, incident: Uuid) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async move { state_alerts::events(self.file.readers().await?, incident).await })
    }

    fn deliveries<'a>(&'a self, query: &'a DeliveryQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move { state_alerts::deliveries(self.file.readers().await?, query).await })
    }

    fn audit(&self, limit: u32) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>> {
        Box::pin(async move { state_alerts::audit(self.file.readers().await?, limit).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn documents_are_replaced_and_removed_and_transitions_come_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let store = SqliteState::open(&path).await.unwrap();
        let mut batch = StateBatch::default();
        batch.documents.insert(("check", "a/b".to_owned()), Some("1".to_owned()));
        batch.documents.insert(("check", "a/c".to_owned()), Some("2".to_owned()));
        for (from, to) in [(None, "up"), (Some("up".to_owned()), "down")] {
            let at = jiff::Timestamp::from_millisecond(5).unwrap();
            batch.transitions.push(Transition {
                service: "a".to_owned(),
                from,
                to: to.to_owned(),
                reason: String::new(),
                at,
            });
        }
        store.save(&batch).await.unwrap();
        let mut second = StateBatch::default();
        second.documents.insert(("check", "a/b".to_owned()), None);
        store.save(&second).await.unwrap();
        drop(store);
        let store = SqliteState::open(&path).await.unwrap();
        assert_eq!(store.documents("check").await.unwrap(), [("a/c".to_owned(), "2".to_owned())].into());
        let newest = store.transitions(Some("a"), 10).await.unwrap();
        assert_eq!(newest.iter().map(|change| change.to.as_str()).collect::<Vec<_>>(), ["down", "up"]);
        assert!(store.transitions(Some("b"), 10).await.unwrap().is_empty());
    }
}
