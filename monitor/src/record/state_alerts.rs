//! Incidents, their events and deliveries, and the audit, in the same file and transaction as everything that must last.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::store::{AuditRow, DeliveryQuery, DeliveryRow, IncidentQuery, StateBatch, StoreError};

pub(super) const TABLES: &str = "
CREATE TABLE incidents (
    id TEXT PRIMARY KEY, service TEXT, opened_ms INTEGER NOT NULL, resolved_ms INTEGER, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX incidents_by_time ON incidents (opened_ms);
CREATE INDEX incidents_open ON incidents (id) WHERE resolved_ms IS NULL;
CREATE TABLE incident_events (
    incident TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (incident, number)) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (
    incident TEXT NOT NULL, event INTEGER NOT NULL, channel TEXT NOT NULL, state TEXT NOT NULL, is_open INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (incident, event, channel)) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_open ON deliveries (updated_ms) WHERE is_open = 1;
CREATE INDEX deliveries_by_state ON deliveries (state, updated_ms);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
    detail TEXT NOT NULL) STRICT;
";

/// Ended incidents that are kept, at most: thirty a day for a year.
const MAX_INCIDENTS: i64 = 10_000;
/// Rows of the audit that are kept, at most.
const MAX_AUDIT: i64 = 100_000;
/// Longest list that is returned.
const MAX_LISTED: u32 = 10_000;

/// Writes a batch's incidents, events, deliveries and audit rows.
pub(super) async fn save(connection: &mut SqliteConnection, batch: &StateBatch) -> Result<(), StoreError> {
    for row in batch.incidents.values() {
        sqlx::query(
            "INSERT OR REPLACE INTO incidents (id, service, opened_ms, resolved_ms, body) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(row.id.to_string())
        .bind(&row.service)
        .bind(row.opened_ms)
        .bind(row.resolved_ms)
        .bind(&row.body)
        .execute(&mut *connection)
        .await?;
    }
    for row in batch.events.values() {
        sqlx::query("INSERT OR REPLACE INTO incident_events (incident, number, body) VALUES ($1, $2, $3)")
            .bind(row.incident.to_string())
            .bind(row.number)
            .bind(&row.body)
            .execute(&mut *connection)
            .await?;
    }
    for row in batch.deliveries.values() {
        save_delivery(connection, row).await?;
    }
    for row in &batch.audit {
        sqlx::query("INSERT INTO audit (at_ms, who, action, target, detail) VALUES ($1, $2, $3, $4, $5)")
            .bind(row.at.as_millisecond())
            .bind(&row.who)
            .bind(&row.action)
            .bind(&row.target)
            .bind(&row.detail)
            .execute(&mut *connection)
            .await?;
    }
    if batch.incidents.values().any(|row| row.resolved_ms.is_some()) || !batch.audit.is_empty() {
        prune(connection).await?;
    }
    Ok(())
}

async fn save_delivery(connection: &mut SqliteConnection, row: &DeliveryRow) -> Result<(), StoreError> {
    let statement = "INSERT OR REPLACE INTO deliveries (incident, event, channel, state, is_open, updated_ms, body)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(statement)
        .bind(row.incident.to_string())
        .bind(row.event)
        .bind(&row.channel)
        .bind(row.state)
        .bind(row.is_open)
        .bind(row.updated_ms)
        .bind(&row.body)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Forgets the oldest ended incidents beyond the bound, but none with something still to be told.
async fn prune(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let excess: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM incidents WHERE resolved_ms IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM deliveries WHERE incident = incidents.id AND is_open = 1)
         ORDER BY opened_ms DESC LIMIT 100 OFFSET $1",
    )
    .bind(MAX_INCIDENTS)
    .fetch_all(&mut *connection)
    .await?;
    for id in excess {
        for statement in [
            "DELETE FROM deliveries WHERE incident = $1",
            "DELETE FROM incident_events WHERE incident = $1",
            "DELETE FROM incidents WHERE id = $1",
        ] {
            sqlx::query(statement).bind(&id).execute(&mut *connection).await?;
        }
    }
    sqlx::query("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - $1")
        .bind(MAX_AUDIT)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

pub(super) async fn incidents(pool: &SqlitePool, query: &IncidentQuery) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query_scalar(
        "SELECT body FROM incidents
         WHERE ($1 IS NULL OR service = $1) AND ($2 IS NULL OR opened_ms < $2 OR (opened_ms = $2 AND id < $5))
           AND ($6 IS NULL OR opened_ms >= $6) AND (NOT $7 OR resolved_ms IS NOT NULL)
           AND (NOT $3 OR resolved_ms IS NULL
                OR EXISTS (SELECT 1 FROM deliveries WHERE incident = incidents.id AND is_open = 1))
         ORDER BY opened_ms DESC, id DESC LIMIT $4",
    )
    .bind(&query.service)
    .bind(query.before_ms)
    .bind(query.unfinished)
    .bind(query.limit.min(MAX_LISTED))
    .bind(query.before_id.map(|id| id.to_string()))
    .bind(query.since_ms)
    .bind(query.ended)
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

pub(super) async fn incident(pool: &SqlitePool, id: Uuid) -> Result<Option<String>, StoreError> {
    let statement = "SELECT body FROM incidents WHERE id = $1";
    Ok(sqlx::query_scalar(statement).bind(id.to_string()).fetch_optional(pool).await?)
}

pub(super) async fn events(pool: &SqlitePool, incident: Uuid) -> Result<Vec<String>, StoreError> {
    let statement = "SELECT body FROM incident_events WHERE incident = $1 ORDER BY number LIMIT $2";
    Ok(sqlx::query_scalar(statement).bind(incident.to_string()).bind(MAX_LISTED).fetch_all(pool).await?)
}

pub(super) async fn deliveries(pool: &SqlitePool, query: &DeliveryQuery) -> Result<Vec<String>, StoreError> {
    let rows = match query {
        DeliveryQuery::Open => {
            let statement = "SELECT body FROM deliveries WHERE is_open = 1 ORDER BY updated_ms";
            sqlx::query_scalar(statement).fetch_all(pool).await?
        }
        DeliveryQuery::Of(incident) => {
            let statement = "SELECT body FROM deliveries WHERE incident = $1 ORDER BY event, channel LIMIT $2";
            sqlx::query_scalar(statement).bind(incident.to_string()).bind(MAX_LISTED).fetch_all(pool).await?
        }
        DeliveryQuery::In(state, limit) => {
            let statement = "SELECT body FROM deliveries WHERE state = $1 ORDER BY updated_ms DESC LIMIT $2";
            sqlx::query_scalar(statement).bind(*state).bind((*limit).min(MAX_LISTED)).fetch_all(pool).await?
        }
    };
    Ok(rows)
}

pub(super) async fn audit(pool: &SqlitePool, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let statement = "SELECT at_ms, who, action, target, detail FROM audit ORDER BY id DESC LIMIT $1";
    let rows: Vec<(i64, String, String, String, String)> =
        sqlx::query_as(statement).bind(limit.min(MAX_LISTED)).fetch_all(pool).await?;
    let row = |(at_ms, who, action, target, detail)| {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        AuditRow { at, who, action, target, detail }
    };
    Ok(rows.into_iter().map(row).collect())
}
