//! History in SQLite: one row a flush for fresh points, hourly delta-coded chunks and roll-ups per check after that.
//!
//! Rows a point would touch one page a check at every flush; this layout writes thirty times less.

use std::collections::HashMap;
use std::path::Path;

use futures_util::future::BoxFuture;
use kit::db::{DamageCheck, Durability, OpenError};
use sqlx::Row as _;

use super::file::LazyFile;
use super::points::{Point, decode_chunk, decode_fresh, encode_fresh};
use super::rollup::{Row, decode};
use super::seal::{GRAINS, json, seal};
use super::store::{HistoryStore, Horizon, ServiceDay, StoreError, Tail};

pub(super) const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE fresh (seq INTEGER PRIMARY KEY, points BLOB NOT NULL) STRICT;
CREATE TABLE chunks (
    series INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, points BLOB NOT NULL,
    PRIMARY KEY (series, first_ms)) STRICT, WITHOUT ROWID;
CREATE TABLE rollups (
    series INTEGER NOT NULL, span_ms INTEGER NOT NULL, first_ms INTEGER NOT NULL, spans BLOB NOT NULL,
    PRIMARY KEY (series, span_ms, first_ms)) STRICT, WITHOUT ROWID;
CREATE TABLE service_hours (
    service TEXT NOT NULL, hour_ms INTEGER NOT NULL, verdict TEXT NOT NULL, ms INTEGER NOT NULL,
    PRIMARY KEY (service, hour_ms, verdict)) STRICT, WITHOUT ROWID;
",
    // Hours were summed by day at every start: of a thousand services, millions of rows.
    "
CREATE TABLE service_days (
    service TEXT NOT NULL, day_ms INTEGER NOT NULL, verdict TEXT NOT NULL, ms INTEGER NOT NULL,
    PRIMARY KEY (service, day_ms, verdict)) STRICT, WITHOUT ROWID;
INSERT INTO service_days (service, day_ms, verdict, ms)
    SELECT service, hour_ms - hour_ms % 86400000 AS day, verdict, sum(ms) FROM service_hours GROUP BY service, day, verdict;
DROP TABLE service_hours;
",
];

/// What is too old is found series by series and service by service, by the keys of the tables: to look through all that is
/// kept, every hour, would read gigabytes.
const OLD_CHUNKS: &str = "DELETE FROM chunks WHERE (series, first_ms) IN (
    SELECT chunks.series, chunks.first_ms FROM series CROSS JOIN chunks ON chunks.series = series.id
    WHERE chunks.first_ms < $1 AND chunks.last_ms < $1)";
const OLD_ROLLUPS: &str = "DELETE FROM rollups WHERE (series, span_ms, first_ms) IN (
    SELECT rollups.series, rollups.span_ms, rollups.first_ms FROM series CROSS JOIN rollups ON rollups.series = series.id
    WHERE rollups.span_ms = $1 AND rollups.first_ms < $2)";
const OLD_DAYS: &str = "WITH RECURSIVE services (service) AS (
    SELECT min(service) FROM service_days
    UNION ALL SELECT (SELECT min(service) FROM service_days WHERE service > services.service) FROM services
    WHERE services.service IS NOT NULL)
    DELETE FROM service_days WHERE (service, day_ms, verdict) IN (
    SELECT days.service, days.day_ms, days.verdict FROM services CROSS JOIN service_days AS days
    ON days.service = services.service WHERE days.day_ms < $1)";

/// Chunks of one answer, at most, the newest: a chunk is an hour, so this is twenty days of single points.
const MAX_CHUNKS: u32 = 480;

const DAY_MS: i64 = 86_400_000;

/// History in one SQLite file.
#[derive(Debug)]
pub struct SqliteHistory {
    file: LazyFile,
}

impl SqliteHistory {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// Only when a later program wrote the file.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { file: LazyFile::open(path, Durability::Normal, DamageCheck::InDoubt, &MIGRATIONS).await? })
    }
}

impl HistoryStore for SqliteHistory {
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.file.close())
    }

    fn distrust(&self) {
        self.file.distrust();
    }

    fn series<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<HashMap<String, u32>, StoreError>> {
        Box::pin(async move {
            let names = json(names)?;
            let mut transaction = self.file.begin().await?;
            sqlx::query("INSERT OR IGNORE INTO series (name) SELECT value FROM json_each($1)")
                .bind(&names)
                .execute(&mut *transaction)
                .await?;
            let ids: Vec<(String, u32)> =
                sqlx::query_as("SELECT name, id FROM series WHERE name IN (SELECT value FROM json_each($1))")
                    .bind(&names)
                    .fetch_all(&mut *transaction)
                    .await?;
            transaction.commit().await?;
            Ok(ids.into_iter().collect())
        })
    }

    fn known_series(&self) -> BoxFuture<'_, Result<HashMap<String, u32>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<(String, u32)> =
                sqlx::query_as("SELECT name, id FROM series").fetch_all(self.file.pool().await?).await?;
            Ok(rows.into_iter().collect())
        })
    }

    fn tail(&self) -> BoxFuture<'_, Result<Tail, StoreError>> {
        Box::pin(async move {
            let mut tail = Tail::default();
            let rows =
                sqlx::query("SELECT seq, points FROM fresh ORDER BY seq").fetch_all(self.file.pool().await?).await?;
            for row in rows {
                tail.next_seq = row.get::<i64, _>(0) + 1;
                for (series, point) in decode_fresh(row.get::<&[u8], _>(1)) {
                    tail.points.entry(series).or_default().push(point);
                }
            }
            Ok(tail)
        })
    }

    fn append<'a>(&'a self, seq: i64, points: &'a [(u32, Point)]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut transaction = self.file.begin().await?;
            sqlx::query("INSERT OR REPLACE INTO fresh (seq, points) VALUES ($1, $2)")
                .bind(seq)
                .bind(encode_fresh(points))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        })
    }

    fn seal<'a>(&'a self, tail: &'a Tail, keep: Horizon) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut transaction = self.file.begin().await?;
            seal(&mut transaction, &tail.points).await?;
            sqlx::query("DELETE FROM fresh WHERE seq < $1").bind(tail.next_seq).execute(&mut *transaction).await?;
            sqlx::query(OLD_CHUNKS).bind(keep.raw_ms).execute(&mut *transaction).await?;
            for ((span_ms, row_ms), oldest) in GRAINS.into_iter().zip([keep.minutes_ms, keep.hours_ms]) {
                let before = oldest.saturating_sub(row_ms);
                sqlx::query(OLD_ROLLUPS).bind(span_ms).bind(before).execute(&mut *transaction).await?;
            }
            sqlx::query(OLD_DAYS).bind(keep.hours_ms.saturating_sub(DAY_MS)).execute(&mut *transaction).await?;
            transaction.commit().await
        })
    }

    fn points<'a>(&'a self, series: u32, from_ms: i64, to_ms: i64) -> BoxFuture<'a, Result<Vec<Point>, StoreError>> {
        Box::pin(async move {
            let chunks: Vec<Vec<u8>> = sqlx::query_scalar(
                "SELECT points FROM (SELECT points, first_ms FROM chunks WHERE series = $1 AND last_ms >= $2 AND first_ms < $3
                 ORDER BY first_ms DESC LIMIT $4) ORDER BY first_ms",
            )
            .bind(series)
            .bind(from_ms)
            .bind(to_ms)
            .bind(MAX_CHUNKS)
            .fetch_all(self.file.readers().await?)
            .await?;
            let points = chunks.iter().flat_map(|chunk| decode_chunk(chunk));
            Ok(points.filter(|point| (from_ms..to_ms).contains(&point.at_ms)).collect())
        })
    }

    fn rollups<'a>(
        &'a self,
        series: u32,
        span_ms: i64,
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'a, Result<Row, StoreError>> {
        Box::pin(async move {
            let row_ms = GRAINS.iter().find(|grain| grain.0 == span_ms).map_or(span_ms, |grain| grain.1);
            let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "SELECT first_ms, spans FROM rollups WHERE series = $1 AND span_ms = $2 AND first_ms > $3 AND first_ms < $4",
            )
            .bind(series)
            .bind(span_ms)
            .bind(from_ms - row_ms)
            .bind(to_ms)
            .fetch_all(self.file.readers().await?)
            .await?;
            let spans = rows.iter().flat_map(|(first_ms, bytes)| decode(bytes, *first_ms));
            Ok(spans.filter(|(start, _)| (from_ms..to_ms).contains(start)).collect())
        })
    }

    fn rename_service<'a>(&'a self, old: &'a str, new: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut transaction = self.file.begin().await?;
            sqlx::query(
                "UPDATE OR IGNORE series SET name = $2 || substr(name, length($1) + 1) WHERE substr(name, 1, length($1) + 1) = $1 || '/'",
            )
            .bind(old)
            .bind(new)
            .execute(&mut *transaction)
            .await?;
            // A day on which the service had either name is the sum of both.
            sqlx::query(
                "INSERT INTO service_days (service, day_ms, verdict, ms)
                 SELECT $2, day_ms, verdict, ms FROM service_days WHERE service = $1
                 ON CONFLICT DO UPDATE SET ms = ms + excluded.ms",
            )
            .bind(old)
            .bind(new)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("DELETE FROM service_days WHERE service = $1").bind(old).execute(&mut *transaction).await?;
            transaction.commit().await
        })
    }

    fn add_service_days<'a>(&'a self, days: &'a [ServiceDay]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let rows: Vec<_> = days.iter().map(|day| (&day.service, day.day_ms, &day.verdict, day.ms)).collect();
            let mut transaction = self.file.begin().await?;
            sqlx::query(
                "INSERT INTO service_days (service, day_ms, verdict, ms)
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true
                 ON CONFLICT DO UPDATE SET ms = ms + excluded.ms",
            )
            .bind(json(&rows)?)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        })
    }

    fn service_days(&self, from_ms: i64) -> BoxFuture<'_, Result<Vec<ServiceDay>, StoreError>> {
        Box::pin(async move {
            // One row a service: to fetch a row costs more than to read it.
            let rows: Vec<(String, String)> = sqlx::query_as(
                "SELECT service, json_group_array(json_array(day_ms, verdict, ms)) FROM service_days WHERE day_ms >= $1
                 GROUP BY service",
            )
            .bind(from_ms)
            .fetch_all(self.file.pool().await?)
            .await?;
            let mut all = Vec::new();
            for (service, days) in rows {
                let days: Vec<(i64, String, i64)> =
                    serde_json::from_str(&days).map_err(|error| StoreError(error.to_string()))?;
                let day = |(day_ms, verdict, ms)| ServiceDay { service: service.clone(), day_ms, verdict, ms };
                all.extend(days.into_iter().map(day));
            }
            Ok(all)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::Mark;
    use super::*;

    fn steady(from_ms: i64, count: i64) -> Vec<Point> {
        (0..count).map(|n| Point { at_ms: from_ms + n * 10_000, took_us: 1600, mark: Mark::Pass }).collect()
    }

    #[tokio::test]
    async fn fresh_points_survive_a_restart_and_sealed_ones_are_found_by_time_and_rolled_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let store = SqliteHistory::open(&path).await.unwrap();
        let ids = store.series(&["web/http".to_owned(), "db/tcp".to_owned()]).await.unwrap();
        let web = ids["web/http"];
        let points = steady(3_600_000, 30);
        let fresh: Vec<(u32, Point)> = points.iter().map(|point| (web, *point)).collect();
        store.append(0, &fresh).await.unwrap();
        drop(store);
        let store = SqliteHistory::open(&path).await.unwrap();
        assert_eq!(store.series(&["db/tcp".to_owned(), "web/http".to_owned()]).await.unwrap(), ids);
        let tail = store.tail().await.unwrap();
        assert_eq!((tail.next_seq, &tail.points[&web]), (1, &points));
        store.seal(&tail, Horizon { raw_ms: 0, minutes_ms: 0, hours_ms: 0 }).await.unwrap();
        assert!(store.tail().await.unwrap().points.is_empty());
        assert_eq!(store.points(web, 3_610_000, 3_640_000).await.unwrap(), points[1..4]);
        let minutes = store.rollups(web, 60_000, 0, i64::MAX / 2).await.unwrap();
        assert_eq!(minutes.values().map(|minute| minute.pass).collect::<Vec<_>>(), [6, 6, 6, 6, 6]);
        // A second seal in the same hour adds to the stored rows.
        let more = Tail { next_seq: 2, points: [(web, steady(3_900_000, 6))].into() };
        store.seal(&more, Horizon { raw_ms: 0, minutes_ms: 0, hours_ms: 0 }).await.unwrap();
        let hours = store.rollups(web, 3_600_000, 0, i64::MAX / 2).await.unwrap();
        assert_eq!(hours.values().map(|hour| hour.pass).collect::<Vec<_>>(), [36]);
    }

    /// A thousand checks keep a million rows: none of these may be looked through every hour.
    #[tokio::test]
    async fn what_is_too_old_is_found_by_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteHistory::open(&folder.path().join("history.db")).await.unwrap();
        let pool = store.file.pool().await.unwrap();
        for sql in [OLD_CHUNKS, OLD_ROLLUPS, OLD_DAYS] {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
            let steps = plan.bind(0).bind(0).fetch_all(pool).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|row| row.get::<String, _>("detail")).collect();
            let scanned = |step: &&String| {
                ["chunks", "rollups", "days", "service_days"]
                    .iter()
                    .any(|table| step.starts_with(&format!("SCAN {table}")))
            };
            assert_eq!(steps.iter().find(scanned), None, "{sql}: {steps:#?}");
            assert!(steps.iter().any(|step| step.starts_with("SEARCH ")), "{steps:#?}");
        }
    }

    #[tokio::test]
    async fn what_is_older_than_the_horizon_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteHistory::open(&folder.path().join("history.db")).await.unwrap();
        let id = store.series(&["a/b".to_owned()]).await.unwrap()["a/b"];
        let tail = |points| Tail { next_seq: 1, points: [(id, points)].into() };
        store.seal(&tail(steady(0, 10)), Horizon { raw_ms: 0, minutes_ms: 0, hours_ms: 0 }).await.unwrap();
        let late = 10 * 86_400_000;
        store.seal(&tail(steady(late, 10)), Horizon { raw_ms: late, minutes_ms: late, hours_ms: 0 }).await.unwrap();
        assert_eq!(store.points(id, 0, i64::MAX).await.unwrap().len(), 10);
        assert_eq!(store.rollups(id, 60_000, 0, i64::MAX / 2).await.unwrap().len(), 2);
        assert_eq!(store.rollups(id, 3_600_000, 0, i64::MAX / 2).await.unwrap().len(), 2);
        let day = |day_ms| ServiceDay { service: "web".to_owned(), day_ms, verdict: "up".to_owned(), ms: 1 };
        store.add_service_days(&[day(0), day(late)]).await.unwrap();
        let keep = Horizon { raw_ms: late, minutes_ms: late, hours_ms: late };
        store.seal(&Tail { next_seq: 1, ..Tail::default() }, keep).await.unwrap();
        assert_eq!(store.service_days(0).await.unwrap(), [day(late)]);
    }

    #[tokio::test]
    async fn a_renamed_service_keeps_its_series_and_one_with_history_of_its_own_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteHistory::open(&folder.path().join("history.db")).await.unwrap();
        let names = ["shop/home", "shop/api", "shopping/home", "store/api"].map(str::to_owned);
        let ids = store.series(&names).await.unwrap();
        store.rename_service("shop", "store").await.unwrap();
        let after = store.known_series().await.unwrap();
        assert_eq!(after["store/home"], ids["shop/home"]);
        assert_eq!((after["store/api"], after["shop/api"]), (ids["store/api"], ids["shop/api"]));
        assert_eq!(after["shopping/home"], ids["shopping/home"]);
    }

    #[tokio::test]
    async fn the_days_of_a_renamed_service_are_added_to_those_by_its_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteHistory::open(&folder.path().join("history.db")).await.unwrap();
        let day = |service: &str, day_ms, ms| ServiceDay {
            service: service.to_owned(),
            day_ms,
            verdict: "up".to_owned(),
            ms,
        };
        store.add_service_days(&[day("shop", 0, 1), day("shop", DAY_MS, 2), day("store", DAY_MS, 5)]).await.unwrap();
        for _again_at_every_start in 0..2 {
            store.rename_service("shop", "store").await.unwrap();
            assert_eq!(store.service_days(0).await.unwrap(), [day("store", 0, 1), day("store", DAY_MS, 7)]);
        }
    }

    #[tokio::test]
    async fn verdict_time_adds_up_by_day() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteHistory::open(&folder.path().join("history.db")).await.unwrap();
        let day = |ms| ServiceDay { service: "web".to_owned(), day_ms: 0, verdict: "up".to_owned(), ms };
        store.add_service_days(&[day(5_000)]).await.unwrap();
        store.add_service_days(&[day(7_000)]).await.unwrap();
        let next = ServiceDay { day_ms: DAY_MS, ..day(1_000) };
        store.add_service_days(std::slice::from_ref(&next)).await.unwrap();
        assert_eq!(store.service_days(0).await.unwrap(), [day(12_000), next.clone()]);
        assert_eq!(store.service_days(1).await.unwrap(), [next]);
    }

    /// A monitor of before kept hours.
    #[tokio::test]
    async fn hours_of_an_earlier_schema_become_days() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let earlier = LazyFile::open(&path, Durability::Normal, DamageCheck::InDoubt, &[MIGRATIONS[0]]).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO series VALUES (7, 'web/http');
             INSERT INTO service_hours VALUES
             ('web', 0, 'up', 5), ('web', 82800000, 'up', 7), ('web', 82800000, 'down', 3), ('web', 86400000, 'up', 1)",
        )
        .execute(earlier.pool().await.unwrap())
        .await
        .unwrap();
        earlier.close().await;
        let store = SqliteHistory::open(&path).await.unwrap();
        assert_eq!(store.known_series().await.unwrap(), [("web/http".to_owned(), 7)].into());
        assert!(folder.path().join("history.db.v1.bak").exists());
        let days = store.service_days(0).await.unwrap();
        let told = days.iter().map(|day| (&*day.service, day.day_ms, &*day.verdict, day.ms));
        let expected = [("web", 0, "down", 3), ("web", 0, "up", 12), ("web", DAY_MS, "up", 1)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
