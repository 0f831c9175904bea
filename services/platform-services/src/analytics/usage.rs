//! What one user used, by the day, week or month.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use jiff::civil::Date;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checks::{MAX_NAME_CHARS, text, within};
use super::clearances::USAGE_DAYS;
use super::counts::Counts;
use super::period::{Period, date, first_day_ms};
use super::rights::Reader;
use super::routes::Analytics;
use crate::problem::Problem;

/// Which days, and how they are put together.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    period_type: Option<String>,
    days: Option<i64>,
}

/// What was used on one day.
#[derive(Debug, sqlx::FromRow)]
struct Day {
    day_ms: i64,
    #[sqlx(flatten)]
    counts: Counts,
}

/// `GET /analytics/usage/{user}`: newest first; periods without usage are left out, and of the first only what is in these
/// days counts.
pub(super) async fn of_user(
    State(analytics): State<Arc<Analytics>>,
    reader: Reader,
    Path(user_id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let user_id = text("user_id", user_id, MAX_NAME_CHARS)?;
    reader.whose(Some(user_id.clone()))?;
    let period = Period::parse(wanted.period_type.as_deref())?;
    let days = days(wanted.days)?;
    let first_ms = first_day_ms(Timestamp::now().as_millisecond(), days);
    let used = read(&analytics, &user_id, first_ms).await?;
    let usage: Vec<Value> = by_period(&used, period)
        .iter()
        .rev()
        .map(|(date, counts)| {
            json!({
                "user_id": user_id,
                "period_type": period.as_str(),
                "date": date.to_string(),
                "api_calls_count": counts.calls,
                "tokens_used": counts.tokens,
                "cost_usd": counts.dollars(),
            })
        })
        .collect();
    Ok(Json(json!({ "usage": usage, "user_id": user_id, "period_type": period.as_str(), "days": days })))
}

/// Goes on with a number of days of which usage is kept.
pub(super) fn days(given: Option<i64>) -> Result<i64, ApiError> {
    within("days", given, 30, 1..=USAGE_DAYS)
}

async fn read(analytics: &Analytics, user_id: &str, first_ms: i64) -> Result<Vec<Day>, Problem> {
    let sql = "SELECT day_ms, calls, tokens, cost_micros FROM analytics_usage WHERE user_id = $1 AND day_ms >= $2";
    analytics.store.read(async |transaction| transaction.rows(sql, &[user_id.into(), first_ms.into()]).await).await
}

fn by_period(days: &[Day], period: Period) -> BTreeMap<Date, Counts> {
    let mut periods = BTreeMap::<Date, Counts>::new();
    for day in days {
        let counts = periods.entry(period.first_day(date(day.day_ms))).or_default();
        *counts = counts.and(day.counts);
    }
    periods
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY_MS;

    #[test]
    fn weeks_and_months_are_the_sums_of_their_days() {
        // From Thursday 1970-01-01 on, one call a day.
        let days: Vec<Day> =
            (0..40).map(|day| Day { day_ms: day * DAY_MS, counts: Counts { calls: 1, ..Counts::default() } }).collect();
        let calls = |period| {
            let periods = by_period(&days, period);
            periods.iter().map(|(date, counts)| format!("{date} {}", counts.calls)).collect::<Vec<_>>()
        };
        assert_eq!(calls(Period::Daily).len(), 40);
        assert_eq!(calls(Period::Weekly)[..2], ["1969-12-29 4", "1970-01-05 7"]);
        assert_eq!(calls(Period::Monthly), ["1970-01-01 31", "1970-02-01 9"]);
    }
}
