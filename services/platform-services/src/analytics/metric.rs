//! Metrics as they come, alone or several at once: checked, kept, and their endpoints counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::ApiError;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::checks::{MAX_NAME_CHARS, id, object, text, text_or_none, time, wrong};
use super::event::{MAX_ENDPOINT_CHARS, mention};
use super::period::{Span, hour_ms};
use super::probe::end;
use super::rights::Writer;
use super::routes::Analytics;
use crate::auth::is_watched;
use crate::problem::Problem;
use crate::time::DAY_MS;

/// Longest `labels`, in bytes of JSON without spaces. Ours.
const MAX_LABELS_BYTES: usize = 4 * 1024;
/// Room for a metric that is right, in bytes of JSON.
pub(super) const MAX_BYTES: usize = 16 * 1024;

/// The body of a request, or one of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct NewMetric {
    metric_name: String,
    metric_value: Number,
    metric_type: Option<String>,
    user_id: Option<Value>,
    service_name: Option<String>,
    endpoint: Option<String>,
    labels: Option<Map<String, Value>>,
    timestamp: Option<String>,
}

/// The body of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    metrics: Vec<NewMetric>,
}

/// A metric that is right.
#[derive(Debug)]
struct Metric {
    at_ms: i64,
    name: String,
    /// As it was written, so that nothing is rounded.
    value: String,
    kind: String,
    user_id: Option<String>,
    service_name: Option<String>,
    endpoint: Option<String>,
    labels: String,
}

/// `POST /analytics/metrics`
pub(super) async fn post(
    State(analytics): State<Arc<Analytics>>,
    writer: Writer,
    Json(new): Json<NewMetric>,
) -> Result<Json<Value>, ApiError> {
    let now = Timestamp::now();
    let metric = new.checked("", now, analytics.oldest_ms(now))?;
    keep(&analytics, &[metric], &writer).await?;
    Ok(Json(json!({ "message": "metric recorded" })))
}

/// `POST /analytics/metrics/batch`: all of them, or none.
pub(super) async fn post_batch(
    State(analytics): State<Arc<Analytics>>,
    writer: Writer,
    Json(batch): Json<Batch>,
) -> Result<Json<Value>, ApiError> {
    let (count, most) = (batch.metrics.len(), analytics.batch_size);
    if !(1..=most).contains(&count) {
        return Err(wrong("metrics", format_args!("has {count} items; write 1 to {most}")));
    }
    let now = Timestamp::now();
    let oldest_ms = analytics.oldest_ms(now);
    let mut metrics = Vec::with_capacity(count);
    for (place, new) in batch.metrics.into_iter().enumerate() {
        metrics.push(new.checked(&format!("metrics[{place}]."), now, oldest_ms)?);
    }
    keep(&analytics, &metrics, &writer).await?;
    Ok(Json(json!({ "message": format!("{count} metrics recorded"), "count": count })))
}

async fn keep(analytics: &Analytics, metrics: &[Metric], writer: &Writer) -> Result<(), Problem> {
    let mut transaction = analytics.store.begin().await?;
    let users: BTreeSet<&str> = metrics.iter().filter_map(|metric| metric.user_id.as_deref()).collect();
    let mut watchers = BTreeSet::new();
    for user in users {
        if is_watched(&mut transaction, user).await? {
            watchers.insert(user);
        }
    }
    let mut mentions: BTreeMap<(i64, &str), i64> = BTreeMap::new();
    for metric in metrics {
        if metric.user_id.as_deref().is_some_and(|user| watchers.contains(user)) {
            continue;
        }
        metric.insert(&mut transaction).await?;
        if let Some(endpoint) = &metric.endpoint {
            *mentions.entry((hour_ms(metric.at_ms), endpoint)).or_default() += 1;
        }
    }
    // In their order, so that no two requests wait for each other.
    for ((hour_ms, endpoint), times) in mentions {
        mention(&mut transaction, hour_ms, endpoint, times).await?;
    }
    Ok(end(transaction, !writer.is_probe).await?)
}

impl NewMetric {
    /// Checks everything; `place` stands before the names of its fields.
    fn checked(self, place: &str, now: Timestamp, oldest_ms: i64) -> Result<Metric, ApiError> {
        let field = |name: &str| format!("{place}{name}");
        let at = match &self.timestamp {
            Some(given) => time(&field("timestamp"), given)?,
            None => now,
        };
        let at_ms = at.as_millisecond();
        // A clock may go wrong, or tell local time; what is later than that would never be over.
        let span = Span { from_ms: oldest_ms, to_ms: now.as_millisecond().saturating_add(DAY_MS) };
        if !(span.from_ms..span.to_ms).contains(&at_ms) {
            let what = format!("is {at}; write a time that is kept, and not a day ahead, or leave it out");
            return Err(wrong(&field("timestamp"), what));
        }
        let kind = self.metric_type.unwrap_or_else(|| "gauge".to_owned());
        Ok(Metric {
            at_ms,
            name: text(&field("metric_name"), self.metric_name, MAX_NAME_CHARS)?,
            value: self.metric_value.to_string(),
            kind: text(&field("metric_type"), kind, MAX_NAME_CHARS)?,
            user_id: id(&field("user_id"), self.user_id)?,
            service_name: text_or_none(&field("service_name"), self.service_name, MAX_NAME_CHARS)?,
            endpoint: text_or_none(&field("endpoint"), self.endpoint, MAX_ENDPOINT_CHARS)?,
            labels: object(&field("labels"), &self.labels.unwrap_or_default(), MAX_LABELS_BYTES)?,
        })
    }
}

impl Metric {
    async fn insert(&self, transaction: &mut Transaction) -> Result<(), sqlx::Error> {
        let sql = "INSERT INTO analytics_metrics
            (at_ms, metric_name, metric_value, metric_type, user_id, service_name, endpoint, labels)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let binds = [
            self.at_ms.into(),
            self.name.as_str().into(),
            self.value.as_str().into(),
            self.kind.as_str().into(),
            self.user_id.as_deref().into(),
            self.service_name.as_deref().into(),
            self.endpoint.as_deref().into(),
            self.labels.as_str().into(),
        ];
        transaction.change(sql, &binds).await.map(|_one_row| ())
    }
}
