//! Sealing: the points of an hour become one chunk and a few roll-ups for every check, written by few statements.

use std::collections::{BTreeMap, HashMap};

use data_encoding::HEXUPPER;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::points::{Point, encode_chunk};
use super::rollup::{Row, decode, encode, roll};
use super::store::StoreError;

/// Spans of roll-ups and how much of them one row holds, in milliseconds.
pub(super) const GRAINS: [(i64, i64); 2] = [(60_000, 3_600_000), (3_600_000, 86_400_000)];

/// Checks written by one statement: a round trip to SQLite's thread for each row cost more than the writing, and the text
/// of so many, about 2 KB each, is half a megabyte.
const AT_ONCE: usize = 256;

/// A check and its points.
type Points<'a> = (u32, &'a [Point]);

/// Writes points that belong to the past.
///
/// # Errors
/// When the file cannot be read or written; then the transaction is to be given up.
pub(super) async fn seal(
    connection: &mut SqliteConnection,
    points: &HashMap<u32, Vec<Point>>,
) -> Result<(), StoreError> {
    let mut checks: Vec<Points<'_>> = points.iter().map(|(series, points)| (*series, points.as_slice())).collect();
    // In the order of the keys: what lies on one page is written while the page is at hand.
    checks.sort_unstable_by_key(|(series, _)| *series);
    for some in checks.chunks(AT_ONCE) {
        add_chunks(connection, some).await?;
        for (span_ms, row_ms) in GRAINS {
            merge_rollups(connection, some, span_ms, row_ms).await?;
        }
    }
    Ok(())
}

async fn add_chunks(connection: &mut SqliteConnection, checks: &[Points<'_>]) -> Result<(), StoreError> {
    let chunk = |(series, points): &Points<'_>| {
        let first = points.iter().map(|point| point.at_ms).min()?;
        let last = points.iter().map(|point| point.at_ms).max()?;
        Some((*series, first, last, HEXUPPER.encode(&encode_chunk(points))))
    };
    let chunks: Vec<_> = checks.iter().filter_map(chunk).collect();
    sqlx::query(
        "INSERT OR REPLACE INTO chunks (series, first_ms, last_ms, points)
         SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3) FROM json_each($1)",
    )
    .bind(json(&chunks)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds roll-ups to stored rows: a span may be sealed in two halves.
async fn merge_rollups(
    connection: &mut SqliteConnection,
    checks: &[Points<'_>],
    span_ms: i64,
    row_ms: i64,
) -> Result<(), StoreError> {
    let mut rows: BTreeMap<(u32, i64), Row> = BTreeMap::new();
    for (series, points) in checks {
        for (start, rollup) in roll(points, span_ms) {
            rows.entry((*series, start - start.rem_euclid(row_ms))).or_default().insert(start, rollup);
        }
    }
    let stored: Vec<(u32, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT rollups.series, rollups.first_ms, rollups.spans FROM json_each($1) AS wanted CROSS JOIN rollups
         ON rollups.series = wanted.value ->> 0 AND rollups.span_ms = $2 AND rollups.first_ms = wanted.value ->> 1",
    )
    .bind(json(&rows.keys().collect::<Vec<_>>())?)
    .bind(span_ms)
    .fetch_all(&mut *connection)
    .await?;
    for (series, first_ms, spans) in stored {
        let row = rows.entry((series, first_ms)).or_default();
        for (start, rollup) in decode(&spans, first_ms) {
            row.entry(start).or_default().merge(&rollup);
        }
    }
    let written =
        |((series, first_ms), row): (&(u32, i64), &Row)| (*series, *first_ms, HEXUPPER.encode(&encode(row, *first_ms)));
    sqlx::query(
        "INSERT OR REPLACE INTO rollups (series, span_ms, first_ms, spans)
         SELECT value ->> 0, $2, value ->> 1, unhex(value ->> 2) FROM json_each($1)",
    )
    .bind(json(&rows.iter().map(written).collect::<Vec<_>>())?)
    .bind(span_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// One parameter that holds many rows, for `json_each` (sqlite.org/json1.html section 4.22).
pub(super) fn json<T: Serialize>(rows: &[T]) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError(error.to_string()))
}
