//! What happened lately, on one page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checks::within;
use super::counts::{Counts, SUMS};
use super::event::EventRow;
use super::events::Filter;
use super::period::{HOUR_MS, Span, hour_ms};
use super::rights::Reader;
use super::routes::Analytics;
use crate::time::written;

/// The longest look back, a month: further back, endpoints are too many to be counted while somebody waits.
const MAX_HOURS: i64 = 31 * 24;
const ENDPOINTS: i64 = 5;
const EVENTS: i64 = 10;

/// How far back.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    hours: Option<i64>,
}

/// What happened.
#[derive(Debug)]
struct Found {
    events: i64,
    counts: Counts,
    users: i64,
    endpoints: Vec<(String, i64)>,
    recent: Vec<EventRow>,
}

/// `GET /analytics/dashboard`: this hour and so many whole ones before it.
pub(super) async fn show(
    State(analytics): State<Arc<Analytics>>,
    reader: Reader,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    reader.everybody()?;
    let hours = within("hours", wanted.hours, 24, 1..=MAX_HOURS)?;
    let now = Timestamp::now();
    let from_ms = hour_ms(now.as_millisecond()).saturating_sub(hours * HOUR_MS).max(analytics.oldest_ms(now));
    let found = analytics.store.read(async |transaction| read(transaction, from_ms).await).await?;
    let named = |(endpoint, count): &(String, i64)| json!({ "endpoint": endpoint, "count": count });
    Ok(Json(json!({
        "total_events": found.events,
        "active_users": found.users,
        "total_api_calls": found.counts.calls,
        "total_cost": found.counts.dollars(),
        "top_endpoints": found.endpoints.iter().map(named).collect::<Vec<_>>(),
        "recent_events": found.recent.iter().map(EventRow::shown).collect::<Vec<_>>(),
        "hours": hours,
        "from": written(from_ms),
    })))
}

async fn read(transaction: &mut Transaction, from_ms: i64) -> Result<Found, sqlx::Error> {
    let (events, counts) = everything(transaction, from_ms).await?;
    // Whoever did something since then has done his last thing since then.
    let sql = "SELECT count(*) FROM analytics_users WHERE last_ms >= $1";
    let users: Option<(i64,)> = transaction.row(sql, &[from_ms.into()]).await?;
    let sql = format!(
        "SELECT endpoint, CAST(sum(mentions) AS BIGINT) AS mentions FROM analytics_endpoints WHERE hour_ms >= $1
         GROUP BY endpoint ORDER BY mentions DESC, endpoint LIMIT {ENDPOINTS}"
    );
    let endpoints = transaction.rows(&sql, &[from_ms.into()]).await?;
    let filter = Filter { span: Span { from_ms, to_ms: Span::NO_END_MS }, user_id: None, event_type: None };
    let recent = filter.rows(transaction, EVENTS, 0).await?;
    Ok(Found { events, counts, users: users.map_or(0, |(users,)| users), endpoints, recent })
}

async fn everything(transaction: &mut Transaction, from_ms: i64) -> Result<(i64, Counts), sqlx::Error> {
    #[derive(sqlx::FromRow)]
    struct Sum {
        events: i64,
        #[sqlx(flatten)]
        counts: Counts,
    }
    let sql = format!(
        "SELECT CAST(coalesce(sum(events), 0) AS BIGINT) AS events, {SUMS} FROM analytics_hours
         WHERE event_type = '' AND hour_ms >= $1"
    );
    let sum: Option<Sum> = transaction.row(&sql, &[from_ms.into()]).await?;
    Ok(sum.map_or_else(Default::default, |sum| (sum.events, sum.counts)))
}
