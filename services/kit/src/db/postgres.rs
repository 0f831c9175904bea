//! PostgreSQL pools.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// Opens a pool of at most `connections`; connecting and waiting for a free connection each take at most `timeout`.
///
/// # Errors
/// When the URL does not parse or no connection can be made in time. Messages do not hold the password.
pub async fn open_postgres(url: &SecretString, connections: u32, timeout: Duration) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    let statement_timeout = timeout.as_millis().to_string();
    let options = options.options([("statement_timeout", statement_timeout.as_str())]);
    PgPoolOptions::new().max_connections(connections).acquire_timeout(timeout).connect_with(options).await
}
