//! The tables in a schema of PostgreSQL. Times are milliseconds since the epoch; the view `dead_jobs`, which others
//! read, shows them as times.

use sqlx::postgres::PgPool;

use super::QueueError;
use crate::db::{Behind, bring_up_to_date};

/// Longest name that PostgreSQL does not cut (manual section 4.1.1).
const MAX_IDENTIFIER_BYTES: usize = 63;

const STEPS: [&str; 2] = [
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
];

/// Brings the tables in `schema` up to date, in one transaction and one program at a time.
pub(super) async fn migrate(pool: &PgPool, schema: &str) -> Result<(), QueueError> {
    check(schema)?;
    bring_up_to_date(pool, schema, "job_steps", &STEPS).await.map_err(|behind| match behind {
        Behind::Newer(found, known) => QueueError::Newer { schema: schema.to_owned(), found, known },
        Behind::Failed(error) => QueueError::Store(error),
    })
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
