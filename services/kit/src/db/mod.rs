//! Opening databases the same way everywhere: bounded pools, deadlines, checked schema versions.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod counts;
mod database;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_transaction;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod tables;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use counts::collect;
pub use database::{Bind, Database, Row, Transaction};
#[cfg(feature = "postgres")]
pub(crate) use postgres::{Behind, bring_up_to_date};
#[cfg(feature = "postgres")]
pub use postgres::{ConnectError, open_postgres};
#[cfg(feature = "sqlite")]
pub(crate) use sqlite::classify;
#[cfg(feature = "sqlite")]
pub use sqlite::{CACHE_KIB, DamageCheck, Durability, OpenError, SqliteFile, open_sqlite};
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub use tables::{Source, Tables, TablesError};
