//! Opening databases the same way everywhere: bounded pools, deadlines, checked schema versions.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
pub use postgres::{ConnectError, open_postgres};
#[cfg(feature = "sqlite")]
pub use sqlite::{DamageCheck, Durability, OpenError, SqliteFile, open_sqlite};
