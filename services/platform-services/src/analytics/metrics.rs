//! Metrics as they are asked for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checks::{MAX_NAME_CHARS, text_or_none, within};
use super::conditions::Conditions;
use super::period::Span;
use super::rights::Reader;
use super::routes::Analytics;
use crate::time::written;

/// Metrics of one answer, at most.
const MAX_LIMIT: i64 = 1000;

/// Which metrics.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    metric_name: Option<String>,
    service_name: Option<String>,
    user_id: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, sqlx::FromRow)]
struct MetricRow {
    id: i64,
    at_ms: i64,
    metric_name: String,
    metric_value: String,
    metric_type: String,
    user_id: Option<String>,
    service_name: Option<String>,
    endpoint: Option<String>,
    labels: String,
}

/// `GET /analytics/metrics`: newest first.
pub(super) async fn list(
    State(analytics): State<Arc<Analytics>>,
    reader: Reader,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let limit = within("limit", wanted.limit, 100, 1..=MAX_LIMIT)?;
    let metric_name = text_or_none("metric_name", wanted.metric_name, MAX_NAME_CHARS)?;
    let service_name = text_or_none("service_name", wanted.service_name, MAX_NAME_CHARS)?;
    let user_id = reader.whose(text_or_none("user_id", wanted.user_id, MAX_NAME_CHARS)?)?;
    let mut conditions = Conditions::new(analytics.oldest_ms(Timestamp::now()), Span::NO_END_MS)
        .equals("metric_name", metric_name.as_deref())
        .equals("service_name", service_name.as_deref())
        .equals("user_id", user_id.as_deref());
    let limit = conditions.bind(limit.into());
    let sql = format!(
        "SELECT id, at_ms, metric_name, metric_value, metric_type, user_id, service_name, endpoint, labels
         FROM analytics_metrics WHERE {} ORDER BY at_ms DESC, id DESC LIMIT {limit}",
        conditions.sql()
    );
    let rows: Vec<MetricRow> =
        analytics.store.read(async |transaction| transaction.rows(&sql, conditions.binds()).await).await?;
    let metrics: Vec<Value> = rows.iter().map(MetricRow::shown).collect();
    Ok(Json(json!({ "count": metrics.len(), "metrics": metrics })))
}

impl MetricRow {
    /// As clients read it.
    fn shown(&self) -> Value {
        let json = |text| serde_json::from_str::<Value>(text).unwrap_or_default();
        json!({
            "id": self.id,
            "metric_name": self.metric_name,
            "metric_value": json(&self.metric_value),
            "metric_type": self.metric_type,
            "user_id": self.user_id,
            "service_name": self.service_name,
            "endpoint": self.endpoint,
            "labels": json(&self.labels),
            "timestamp": written(self.at_ms),
        })
    }
}
