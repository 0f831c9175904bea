//! A program's own tables, wherever a deployment wants them: opened, brought up to date, ready.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use super::database::Database;
use super::postgres::{Behind, ConnectError, bring_up_to_date, open_postgres_schema};
use super::sqlite::{DamageCheck, Durability, OpenError, SqliteFile, open_sqlite};
use secrecy::SecretString;

/// Deadline of connecting, of waiting for a connection and of each statement.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where a program's tables are. `Debug` shows no URL, which may hold a password.
#[derive(Clone)]
pub enum Source {
    /// A file, with its folder.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database.
    Postgres(SecretString),
}

/// A program's tables, as steps from one version of them to the next. A step is written once: `{int}` in it is a number of
/// 64 bits, `{counter}` a key that counts rows for ever, `{bytes}` what is no text, and `{strict}` after a table has SQLite
/// keep to the types.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// The schema in PostgreSQL: lower-case letters and underscores.
    pub schema: &'static str,
    /// The steps.
    pub steps: &'static [&'static str],
    /// As of [`SqliteFile`].
    pub cache_kib: u32,
}

impl Tables {
    fn steps(&self, words: [(&str, &str); 4]) -> Vec<String> {
        let written =
            |step: &&str| words.iter().fold((*step).to_owned(), |step, (word, means)| step.replace(word, means));
        self.steps.iter().map(written).collect()
    }
}

const IN_SQLITE: [(&str, &str); 4] = [
    ("{int}", "INTEGER"),
    ("{counter}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
    ("{bytes}", "BLOB"),
    ("{strict}", "STRICT"),
];
const IN_POSTGRES: [(&str, &str); 4] = [
    ("{int}", "BIGINT"),
    ("{counter}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    ("{bytes}", "BYTEA"),
    ("{strict}", ""),
];

/// Why tables were not opened. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The file, or its folder, cannot be made.
    #[error("cannot make {file}")]
    Make {
        /// The file or folder.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] OpenError),
    /// The server.
    #[error(transparent)]
    Server(#[from] ConnectError),
    /// A later program made the tables.
    #[error(
        "schema {schema:?} has tables of version {found}, newer than the {known} this program knows; run the newer program"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// What the server says to a step.
    #[error("the tables in PostgreSQL cannot be brought up to date")]
    Step(#[source] sqlx::Error),
}

impl Source {
    /// Reads `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// # Errors
    /// What to write instead; never the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let wrong = "write sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE";
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // SQLite's own names for no file at all keep nothing.
            let is_file = !path.is_empty() && !path.starts_with(':');
            return if is_file { Ok(Self::Sqlite(path.into())) } else { Err(wrong) };
        }
        // Python's SQLAlchemy names its driver in the scheme.
        let rest =
            ["postgres://", "postgresql://", "postgresql+asyncpg://"].iter().find_map(|it| text.strip_prefix(it));
        rest.map(|rest| Self::Postgres(format!("postgres://{rest}").into())).ok_or(wrong)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

impl Database {
    /// Opens `tables` at `source`, making them or bringing them up to date, one program at a time. In PostgreSQL their
    /// schema is what names without one mean.
    ///
    /// # Errors
    /// See [`TablesError`].
    pub async fn open(source: &Source, tables: &Tables, connections: u32) -> Result<Self, TablesError> {
        match source {
            Source::Sqlite(path) => {
                if let Some(folder) = path.parent() {
                    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
                    made.map_err(|source| TablesError::Make { file: folder.display().to_string(), source })?;
                }
                // Whose hashes are in it is nobody else's business.
                let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
                made.map_err(|source| TablesError::Make { file: path.display().to_string(), source })?;
                let steps = tables.steps(IN_SQLITE);
                let migrations: Vec<&str> = steps.iter().map(String::as_str).collect();
                let (durability, check) = (Durability::Full, DamageCheck::Always);
                Ok(Self::Sqlite(
                    open_sqlite(SqliteFile {
                        path,
                        durability,
                        check,
                        migrations: &migrations,
                        cache_kib: tables.cache_kib,
                    })
                    .await?,
                ))
            }
            Source::Postgres(url) => {
                let pool = open_postgres_schema(url, tables.schema, connections, DEADLINE).await?;
                let (schema, steps) = (tables.schema, tables.steps(IN_POSTGRES));
                let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
                match bring_up_to_date(&pool, schema, "steps", &steps).await {
                    Ok(()) => Ok(Self::Postgres(pool)),
                    Err(Behind::Newer(found, known)) => {
                        Err(TablesError::Newer { schema: schema.to_owned(), found, known })
                    }
                    Err(Behind::Failed(source)) => Err(TablesError::Step(source)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_source_is_a_file_or_a_server_and_shows_no_password() {
        let path = |text: &str| match Source::parse(text) {
            Ok(Source::Sqlite(path)) => path.display().to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(path("sqlite:data/x.db"), "data/x.db");
        assert_eq!(path("sqlite:///var/lib/x.db"), "/var/lib/x.db");
        for scheme in ["postgres", "postgresql", "postgresql+asyncpg"] {
            let source = Source::parse(&format!("{scheme}://u:hush@h/d")).unwrap();
            let Source::Postgres(url) = &source else { panic!("{source:?}") };
            assert_eq!(url.expose_secret(), "postgres://u:hush@h/d");
            assert_eq!(format!("{source:?}"), "Postgres(…)");
        }
        for wrong in ["", "sqlite:", "sqlite::memory:", "x.db", "mysql://u:hush@h/d"] {
            assert!(!Source::parse(wrong).unwrap_err().contains("hush"), "{wrong}");
        }
    }
}
