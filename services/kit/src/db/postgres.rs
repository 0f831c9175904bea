//! PostgreSQL pools.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::config::show_duration;

/// Why a pool was not opened. No message, and no message of a source, holds the password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("the database URL is wrong; write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url(#[source] sqlx::Error),
    /// The server refused the connection or the login, or is not there.
    #[error("cannot connect to PostgreSQL at {at}")]
    Failed {
        /// Host and port.
        at: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The deadline passed.
    #[error("PostgreSQL at {at} did not answer within {}", show_duration(*.within))]
    Late {
        /// Host and port.
        at: String,
        /// The deadline.
        within: Duration,
    },
}

/// Opens a pool of at most `connections`, after one connection has been made and closed again.
///
/// Connecting, waiting for a free connection and every statement each take at most `timeout`: a statement that takes
/// longer is ended by the server (`statement_timeout`, PostgreSQL manual section 20.11.1).
///
/// # Errors
/// See [`ConnectError`].
pub async fn open_postgres(url: &SecretString, connections: u32, timeout: Duration) -> Result<PgPool, ConnectError> {
    open(url, None, connections, timeout).await
}

/// As [`open_postgres`]; names without a schema mean this one.
#[cfg(feature = "sqlite")]
pub(super) async fn open_postgres_schema(
    url: &SecretString,
    schema: &str,
    connections: u32,
    timeout: Duration,
) -> Result<PgPool, ConnectError> {
    open(url, Some(schema), connections, timeout).await
}

async fn open(
    url: &SecretString,
    schema: Option<&str>,
    connections: u32,
    timeout: Duration,
) -> Result<PgPool, ConnectError> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(ConnectError::Url)?;
    let millis = timeout.as_millis().to_string();
    // Whoever is cut off within a transaction must not hold its locks until TCP gives up.
    let limits = [("statement_timeout", millis.clone()), ("idle_in_transaction_session_timeout", millis)];
    let mut options = options.options(limits);
    if let Some(schema) = schema {
        options = options.options([("search_path", schema)]);
    }
    try_once(&options, timeout).await?;
    Ok(PgPoolOptions::new().max_connections(connections).acquire_timeout(timeout).connect_lazy_with(options))
}

/// Connects once. The pool itself takes a refused connection for a server that is just starting: it would try until
/// the deadline and then say only that time is over.
async fn try_once(options: &PgConnectOptions, timeout: Duration) -> Result<(), ConnectError> {
    let at = || format!("{}:{}", options.get_host(), options.get_port());
    let asked = async { options.connect().await?.close().await };
    match tokio::time::timeout(timeout, asked).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(ConnectError::Failed { at: at(), source }),
        Err(_elapsed) => Err(ConnectError::Late { at: at(), within: timeout }),
    }
}

/// Why tables were not brought up to date.
pub(crate) enum Behind {
    /// A later program made them: its version, and the newest that we know.
    Newer(i64, i64),
    /// What the server says.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Behind {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// Brings the tables in `schema` up to date, in one transaction and one program at a time. `{schema}` in a step is the
/// schema; its name, and that of the table `ledger` that knows which steps were taken, go into SQL as they are.
pub(crate) async fn bring_up_to_date(pool: &PgPool, schema: &str, ledger: &str, steps: &[&str]) -> Result<(), Behind> {
    let named =
        |sql: &str| AssertSqlSafe(sql.replace("{schema}", &format!("\"{schema}\"")).replace("{ledger}", ledger));
    let mut transaction = pool.begin().await?;
    // A step may take long, and so may waiting for another program's: the caller has a deadline.
    transaction.execute("SET LOCAL statement_timeout = 0").await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");
    lock.bind(format!("kit {schema}.{ledger}")).execute(&mut *transaction).await?;
    // Asked first: creating needs a right on the database even if the schema is there.
    let is_there = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL");
    if !is_there.bind(format!("\"{schema}\"")).fetch_one(&mut *transaction).await? {
        transaction.execute(sqlx::raw_sql(named("CREATE SCHEMA {schema}"))).await?;
    }
    let made = "CREATE TABLE IF NOT EXISTS {schema}.{ledger} (version BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL)";
    transaction.execute(sqlx::raw_sql(named(made))).await?;
    let found = sqlx::query_scalar(named("SELECT coalesce(max(version), 0) FROM {schema}.{ledger}"));
    let found: i64 = found.fetch_one(&mut *transaction).await?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Behind::Newer(found, known));
    }
    for (version, step) in (1i64..).zip(steps).skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute(sqlx::raw_sql(named(step))).await?;
        let done = sqlx::query(named("INSERT INTO {schema}.{ledger} (version, at) VALUES ($1, now())"));
        done.bind(version).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}
