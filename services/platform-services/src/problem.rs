//! What keeps a request from being answered.

use kit::http::ApiError;

use axum::http::StatusCode;

/// The database's fault, but for one that is the client's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// It was not there yet since this service started.
    #[error("the database is not there yet")]
    Away,
    /// What it says.
    #[error("the database failed")]
    Failed(#[from] sqlx::Error),
}

/// SQLSTATE classes (PostgreSQL manual, appendix A) that pass by themselves: connection, rollback, resources, shutdown; and
/// two codes: read-only (a standby that was reached instead), and a lock that was not to be had.
const PASSING: [&str; 6] = ["08", "40", "53", "57", "25006", "55P03"];
/// A text that PostgreSQL does not keep: one with a zero byte (manual, section 8.3). Nothing has such an id or name.
const NO_TEXT: &str = "22021";
/// SQLITE_BUSY, SQLITE_READONLY, SQLITE_IOERR and SQLITE_FULL (sqlite.org/rescode.html), in the low byte of extended codes.
const PASSING_SQLITE: [u32; 4] = [5, 8, 10, 13];

impl Problem {
    /// Returns true if what the client sent can be nothing of ours.
    fn is_of_the_client(&self) -> bool {
        matches!(self, Self::Failed(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_TEXT))
    }

    /// Returns true if it is worth another try later.
    fn passes(&self) -> bool {
        match self {
            Self::Away => true,
            Self::Failed(sqlx::Error::Database(error)) => error.code().is_some_and(|code| {
                let of_sqlite = code.parse::<u32>().is_ok_and(|number| PASSING_SQLITE.contains(&(number & 0xff)));
                let of_postgres = code.len() == 5 && PASSING.iter().any(|class| code.starts_with(class));
                if code.len() == 5 { of_postgres } else { of_sqlite }
            }),
            Self::Failed(error) => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
            ),
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        if problem.is_of_the_client() {
            return Self::bad_request("a text has a zero byte; leave it out").code("bad_request");
        }
        if !problem.passes() {
            return Self::internal(&problem);
        }
        tracing::warn!(error = &problem as &dyn std::error::Error, "a request could not be answered");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the database is not reachable; try again soon")
            .code("database_unavailable")
    }
}
