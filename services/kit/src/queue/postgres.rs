//! The tables in a schema of PostgreSQL. Times are milliseconds since the epoch; the view `dead_jobs`, which others
//! read, shows them as times.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use super::QueueError;
use super::error::check_version;
use crate::db::{Behind, bring_up_to_date};

/// Longest name that PostgreSQL does not cut (manual section 4.1.1).
const MAX_IDENTIFIER_BYTES: usize = 63;

const STEPS: [&str; 4] = [
    r#"
CREATE TABLE {schema}.jobs (
    id TEXT COLLATE "C" PRIMARY KEY, queue TEXT NOT NULL, name TEXT NOT NULL, payload TEXT NOT NULL, key TEXT,
    priority BIGINT NOT NULL, state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'dead')),
    attempts BIGINT NOT NULL DEFAULT 0, max_attempts BIGINT NOT NULL,
    run_at_ms BIGINT NOT NULL, created_at_ms BIGINT NOT NULL,
    owner TEXT, epoch BIGINT NOT NULL DEFAULT 0, until_ms BIGINT,
    reason TEXT, failed_at_ms BIGINT, first_failed_at_ms BIGINT);
CREATE INDEX jobs_due ON {schema}.jobs (queue, priority DESC, run_at_ms, id) WHERE state = 'waiting';
CREATE INDEX jobs_leases ON {schema}.jobs (queue, until_ms) WHERE state = 'running';
CREATE INDEX jobs_dead ON {schema}.jobs (queue, id) WHERE state = 'dead';
CREATE UNIQUE INDEX jobs_keys ON {schema}.jobs (queue, key) WHERE key IS NOT NULL AND state <> 'dead';
CREATE VIEW {schema}.dead_jobs AS SELECT id, epoch, queue, name, payload, attempts, max_attempts, reason,
    to_timestamp(failed_at_ms / 1000.0) AS failed_at, to_timestamp(created_at_ms / 1000.0) AS created_at,
    to_timestamp(first_failed_at_ms / 1000.0) AS first_failed_at
    FROM {schema}.jobs WHERE state = 'dead';
"#,
    "ALTER TABLE {schema}.jobs ADD COLUMN traceparent TEXT;",
    r#"
CREATE INDEX jobs_died ON {schema}.jobs (queue, failed_at_ms, id) WHERE state = 'dead';
CREATE TABLE {schema}.job_orders (id TEXT COLLATE "C" PRIMARY KEY, at_ms BIGINT NOT NULL);
CREATE INDEX job_orders_age ON {schema}.job_orders (at_ms);
"#,
    "ALTER TABLE {schema}.jobs ADD COLUMN tracestate TEXT;",
];

/// Brings the tables in `schema` up to date, in one transaction and one program at a time.
pub(super) async fn migrate(pool: &PgPool, schema: &str) -> Result<(), QueueError> {
    check(schema)?;
    bring_up_to_date(pool, schema, "job_steps", &STEPS).await.map_err(|behind| match behind {
        Behind::Newer(found, known) => QueueError::Newer { schema: schema.to_owned(), found, known },
        Behind::Failed(error) => QueueError::Store(error),
    })
}

/// Looks whether the tables in `schema` are of this program's version: makes nothing and changes nothing.
pub(super) async fn find(pool: &PgPool, schema: &str) -> Result<(), QueueError> {
    check(schema)?;
    let place = format!("schema {schema:?} of PostgreSQL");
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(format!("\"{schema}\".job_steps"))
        .fetch_one(pool)
        .await?;
    if !is_there {
        return Err(QueueError::Missing(place));
    }
    let version = format!("SELECT coalesce(max(version), 0) FROM \"{schema}\".job_steps");
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(version)).fetch_one(pool).await?;
    check_version(place, found, STEPS.len())?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(QueueError::Newer { schema: schema.to_owned(), found, known });
    }
    Ok(())
}

/// The name goes into SQL as it is.
fn check(schema: &str) -> Result<(), QueueError> {
    let is_plain = schema.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let begins = schema.starts_with(|first: char| first.is_ascii_lowercase());
    if is_plain && begins && schema.len() <= MAX_IDENTIFIER_BYTES {
        return Ok(());
    }
    Err(QueueError::Schema(schema.to_owned()))
}
