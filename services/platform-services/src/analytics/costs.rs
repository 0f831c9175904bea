//! What everything cost, and who caused it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checks::{MAX_NAME_CHARS, text_or_none};
use super::counts::{Counts, SUMS};
use super::period::{date, first_day_ms};
use super::rights::Reader;
use super::routes::Analytics;
use super::usage::days;

/// Users of one answer, at most.
const MAX_USERS: i64 = 100;

/// Whose costs, and of which days.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    user_id: Option<String>,
    days: Option<i64>,
}

/// What one user used.
#[derive(Debug, sqlx::FromRow)]
struct OfUser {
    user_id: String,
    #[sqlx(flatten)]
    counts: Counts,
}

/// `GET /analytics/costs`: with the users who cost most, if it is about everybody.
pub(super) async fn sum(
    State(analytics): State<Arc<Analytics>>,
    reader: Reader,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let days = days(wanted.days)?;
    let user_id = reader.whose(text_or_none("user_id", wanted.user_id, MAX_NAME_CHARS)?)?;
    let now_ms = Timestamp::now().as_millisecond();
    let first_ms = first_day_ms(now_ms, days);
    let reading = async |transaction: &mut Transaction| {
        let all = total(transaction, user_id.as_deref().unwrap_or_default(), first_ms).await?;
        let users = match user_id {
            Some(user_id) => vec![OfUser { user_id, counts: all }],
            None => most_expensive(transaction, first_ms).await?,
        };
        Ok((all, users))
    };
    let (all, users) = analytics.store.read(reading).await?;
    let breakdown: Vec<Value> = users.iter().map(OfUser::shown).collect();
    Ok(Json(json!({
        "summary": {
            "total_cost_usd": all.dollars(),
            "total_tokens": all.tokens,
            "total_api_calls": all.calls,
            "period_days": days,
            "cost_per_token": all.dollars_per(all.tokens),
            "cost_per_api_call": all.dollars_per(all.calls),
        },
        "user_breakdown": breakdown,
        "period": { "from": date(first_ms).to_string(), "to": date(now_ms).to_string() },
    })))
}

async fn total(transaction: &mut Transaction, user_id: &str, first_ms: i64) -> Result<Counts, sqlx::Error> {
    let sql = format!("SELECT {SUMS} FROM analytics_usage WHERE user_id = $1 AND day_ms >= $2");
    Ok(transaction.row(&sql, &[user_id.into(), first_ms.into()]).await?.unwrap_or_default())
}

/// Looks for the users first, in an index that holds nothing else, and then at what else they used.
async fn most_expensive(transaction: &mut Transaction, first_ms: i64) -> Result<Vec<OfUser>, sqlx::Error> {
    let sql = format!(
        "SELECT user_id, {SUMS} FROM analytics_usage WHERE day_ms >= $1 AND user_id IN
         (SELECT user_id FROM analytics_usage WHERE cost_micros > 0 AND day_ms >= $1 AND user_id <> ''
          GROUP BY user_id ORDER BY sum(cost_micros) DESC, user_id LIMIT {MAX_USERS})
         GROUP BY user_id ORDER BY 4 DESC, user_id"
    );
    transaction.rows(&sql, &[first_ms.into()]).await
}

impl OfUser {
    fn shown(&self) -> Value {
        json!({
            "user_id": self.user_id,
            "total_cost_usd": self.counts.dollars(),
            "total_tokens": self.counts.tokens,
            "total_api_calls": self.counts.calls,
        })
    }
}
