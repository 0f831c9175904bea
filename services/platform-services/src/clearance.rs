//! What is over goes, now and then and a few rows at a time. Each part of the service lists what is over in its tables.

use std::time::Duration;

use jiff::Timestamp;
use kit::chain::Chain;

use crate::problem::Problem;
use crate::store::{Store, late};

/// Between two clearances.
const CLEAR_EVERY: Duration = Duration::from_secs(600);
/// Longest time for one of them; the rest waits for the next time.
const CLEAR_DEADLINE: Duration = Duration::from_secs(60);
/// Rows that are removed at once.
const CLEARED_AT_ONCE: u64 = 500;

/// What is over in one table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clearance {
    /// Removes some of the rows from before `$1`, in milliseconds since the epoch; `{some}` in it says how many.
    pub(crate) sql: &'static str,
    /// What is older is over.
    pub(crate) age_ms: i64,
}

/// Clears again and again. What cannot be cleared is told, and tried again the next time.
pub(crate) async fn clear_for_ever(store: &Store, clearances: &[Clearance]) {
    loop {
        tokio::time::sleep(CLEAR_EVERY).await;
        clear_all(store, clearances, Timestamp::now().as_millisecond()).await;
    }
}

async fn clear_all(store: &Store, clearances: &[Clearance], now_ms: i64) {
    for Clearance { sql, age_ms } in clearances {
        let cleared = tokio::time::timeout(CLEAR_DEADLINE, clear(store, sql, now_ms.saturating_sub(*age_ms))).await;
        let why = match &cleared {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => Chain(error).to_string(),
            Err(_elapsed) => late(CLEAR_DEADLINE),
        };
        tracing::warn!(error = why, sql, "what is over could not be cleared");
    }
}

/// Removes some rows at a time, so that nobody waits for it long.
async fn clear(store: &Store, sql: &str, before_ms: i64) -> Result<(), Problem> {
    let sql = sql.replace("{some}", &format!("LIMIT {CLEARED_AT_ONCE}"));
    loop {
        let mut transaction = store.begin().await?;
        let removed = transaction.change(&sql, &[before_ms.into()]).await?;
        transaction.commit().await?;
        if removed < CLEARED_AT_ONCE {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use kit::db::Source;
    use testkit::Postgres;

    use super::*;
    use crate::time::DAY_MS;
    use crate::{analytics, auth};

    const TABLES: [&str; 13] = [
        "users",
        "api_keys",
        "sessions",
        "refresh_tokens",
        "mailed_tokens",
        "tries",
        "auth_events",
        "analytics_events",
        "analytics_metrics",
        "analytics_hours",
        "analytics_endpoints",
        "analytics_users",
        "analytics_usage",
    ];

    /// More rows than are removed at once, half of them over.
    async fn what_is_over_goes_and_the_rest_stays(source: Source) {
        let store = Store::opened(source).await;
        let mut transaction = store.begin().await.unwrap();
        let day = |number: i64| number % 2 * 100 * DAY_MS;
        for number in 0..1200 {
            let (name, at_ms) = (number.to_string(), day(number));
            let (name, at) = (name.as_str().into(), at_ms.into());
            let user = "INSERT INTO users VALUES ($1, 'a@x.y', '', '', '', 'user', NULL, 0, 0, 0, $2, 'watch', 0)";
            transaction.change(user, &[name, at]).await.unwrap();
            let key = "INSERT INTO api_keys (id, name, digest, scopes, created_ms, expires_ms, revoked_ms)
                VALUES ($1, '', $1, '', 0, $2, $3)";
            let (expires_ms, revoked_ms) = if number % 4 < 2 { (Some(at_ms), None) } else { (None, Some(at_ms)) };
            transaction.change(key, &[name, expires_ms.into(), revoked_ms.into()]).await.unwrap();
            let session = "INSERT INTO sessions (id, user_id, created_ms) VALUES ($1, $1, $2)";
            transaction.change(session, &[name, at]).await.unwrap();
            let link = "INSERT INTO mailed_tokens VALUES ($1, $1, 'verify_email', $2, NULL)";
            transaction.change(link, &[name, at]).await.unwrap();
            transaction.change("INSERT INTO refresh_tokens VALUES ($1, $1, $2, NULL)", &[name, at]).await.unwrap();
            transaction.change("INSERT INTO tries VALUES ($1, 1, $2)", &[name, at]).await.unwrap();
            transaction.change("INSERT INTO auth_events (at_ms, kind) VALUES ($1, 'login')", &[at]).await.unwrap();
            let event = "INSERT INTO analytics_events (at_ms, event_type, event_data) VALUES ($1, 'x', '{}')";
            transaction.change(event, &[at]).await.unwrap();
            let metric = "INSERT INTO analytics_metrics (at_ms, metric_name, metric_value, metric_type, labels)
                VALUES ($1, 'x', '1', 'gauge', '{}')";
            transaction.change(metric, &[at]).await.unwrap();
            transaction.change("INSERT INTO analytics_hours VALUES ($1, $2, 1, 0, 0, 0)", &[name, at]).await.unwrap();
            transaction.change("INSERT INTO analytics_endpoints VALUES ($2, $1, 1)", &[name, at]).await.unwrap();
            transaction.change("INSERT INTO analytics_users VALUES ($1, $2)", &[name, at]).await.unwrap();
            // Kept longer than the rest.
            let earlier = (at_ms - 310 * DAY_MS).into();
            transaction.change("INSERT INTO analytics_usage VALUES ($1, $2, 1, 0, 0)", &[name, earlier]).await.unwrap();
        }
        transaction.commit().await.unwrap();
        clear_all(&store, &auth::CLEARANCES, 95 * DAY_MS).await;
        clear_all(&store, &analytics::clearances(90 * DAY_MS), 95 * DAY_MS).await;
        for table in TABLES {
            let sql = format!("SELECT count(*) FROM {table}");
            let count: Option<(i64,)> = store.read(async |transaction| transaction.row(&sql, &[]).await).await.unwrap();
            assert_eq!(count, Some((600,)), "{table}");
        }
    }

    #[tokio::test]
    async fn what_is_over_goes_from_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        what_is_over_goes_and_the_rest_stays(Source::Sqlite(folder.path().join("x.db"))).await;
    }

    #[tokio::test]
    async fn what_is_over_goes_from_postgresql() {
        let postgres = Postgres::start().await;
        what_is_over_goes_and_the_rest_stays(Source::parse(&postgres.url()).unwrap()).await;
    }
}
