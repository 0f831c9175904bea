//! Events as they are asked for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checks::{MAX_NAME_CHARS, text_or_none, time, within, wrong};
use super::conditions::Conditions;
use super::event::{COLUMNS, EventRow};
use super::period::Span;
use super::rights::Reader;
use super::routes::Analytics;

/// Events of one page, at most.
const MAX_LIMIT: i64 = 1000;
/// How far pages reach: to turn over more takes longer than anybody waits, and `to` leads further back.
const MAX_REACH: i64 = 100_000;

/// Which events.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    page: Option<i64>,
    limit: Option<i64>,
    user_id: Option<String>,
    event_type: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// A page of events.
#[derive(Debug, Clone, Copy)]
struct Page {
    number: i64,
    limit: i64,
}

/// Which events, checked.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) span: Span,
    pub(super) user_id: Option<String>,
    pub(super) event_type: Option<String>,
}

/// `GET /analytics/events`: newest first.
pub(super) async fn list(
    State(analytics): State<Arc<Analytics>>,
    reader: Reader,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let page = wanted.page()?;
    let filter = wanted.filter(&reader, analytics.oldest_ms(Timestamp::now()))?;
    let reading = async |transaction: &mut Transaction| {
        let total = filter.total(transaction).await?;
        Ok((filter.rows(transaction, page.limit, (page.number - 1) * page.limit).await?, total))
    };
    let (events, total) = analytics.store.read(reading).await?;
    let events: Vec<Value> = events.iter().map(EventRow::shown).collect();
    Ok(Json(json!({ "events": events, "total": total, "page": page.number, "limit": page.limit })))
}

impl Wanted {
    fn page(&self) -> Result<Page, ApiError> {
        let limit = within("limit", self.limit, 50, 1..=MAX_LIMIT)?;
        let number = within("page", self.page, 1, 1..=MAX_REACH)?;
        if number * limit > MAX_REACH {
            let what = format!("{number} is beyond the first {MAX_REACH} events; write an earlier time as to instead");
            return Err(wrong("page", what));
        }
        Ok(Page { number, limit })
    }

    fn filter(self, reader: &Reader, oldest_ms: i64) -> Result<Filter, ApiError> {
        let at_ms = |field, given: Option<String>, default_ms| match given {
            Some(given) => time(field, &given).map(Timestamp::as_millisecond),
            None => Ok(default_ms),
        };
        let from_ms = at_ms("from", self.from, oldest_ms)?.max(oldest_ms);
        Ok(Filter {
            span: Span { from_ms, to_ms: at_ms("to", self.to, Span::NO_END_MS)? },
            user_id: reader.whose(text_or_none("user_id", self.user_id, MAX_NAME_CHARS)?)?,
            event_type: text_or_none("event_type", self.event_type, MAX_NAME_CHARS)?,
        })
    }
}

impl Filter {
    fn conditions(&self, span: Span) -> Conditions<'_> {
        Conditions::new(span.from_ms, span.to_ms)
            .equals("user_id", self.user_id.as_deref())
            .equals("event_type", self.event_type.as_deref())
    }

    /// Returns the newest of these events, after so many.
    pub(super) async fn rows(
        &self,
        transaction: &mut Transaction,
        limit: i64,
        after: i64,
    ) -> Result<Vec<EventRow>, sqlx::Error> {
        let mut conditions = self.conditions(self.span);
        let (limit, after) = (conditions.bind(limit.into()), conditions.bind(after.into()));
        let found = conditions.sql();
        let sql = format!(
            "SELECT {COLUMNS} FROM analytics_events WHERE {found} ORDER BY at_ms DESC, id DESC LIMIT {limit} OFFSET {after}"
        );
        transaction.rows(&sql, conditions.binds()).await
    }

    /// Counts these events: one user's one by one, everybody's by the hour.
    pub(super) async fn total(&self, transaction: &mut Transaction) -> Result<i64, sqlx::Error> {
        if self.user_id.is_some() {
            return self.count(transaction, self.span).await;
        }
        let (hours, ends) = self.span.hours();
        let sql = "SELECT CAST(coalesce(sum(events), 0) AS BIGINT) FROM analytics_hours
            WHERE event_type = $1 AND hour_ms >= $2 AND hour_ms < $3";
        let event_type = self.event_type.as_deref().unwrap_or_default();
        let counted: Option<(i64,)> =
            transaction.row(sql, &[event_type.into(), hours.from_ms.into(), hours.to_ms.into()]).await?;
        let mut total = counted.map_or(0, |(counted,)| counted);
        for end in ends {
            total = total.saturating_add(self.count(transaction, end).await?);
        }
        Ok(total)
    }

    async fn count(&self, transaction: &mut Transaction, span: Span) -> Result<i64, sqlx::Error> {
        if span.is_empty() {
            return Ok(0);
        }
        let conditions = self.conditions(span);
        let sql = format!("SELECT count(*) FROM analytics_events WHERE {}", conditions.sql());
        let counted: Option<(i64,)> = transaction.row(&sql, conditions.binds()).await?;
        Ok(counted.map_or(0, |(counted,)| counted))
    }
}
