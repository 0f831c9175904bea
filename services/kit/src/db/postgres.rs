//! PostgreSQL pools.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

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
    let options: PgConnectOptions = url.expose_secret().parse().map_err(ConnectError::Url)?;
    let options = options.options([("statement_timeout", timeout.as_millis().to_string())]);
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
