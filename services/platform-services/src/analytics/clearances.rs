//! What is over in the tables of analytics.

use crate::clearance::Clearance;
use crate::time::DAY_MS;

/// How long usage is kept: a year can be compared with the one before it, month by month.
pub(super) const USAGE_DAYS: i64 = 400;

/// Events and metrics go after `retention_ms`, with what is counted of them by the hour.
pub(crate) fn clearances(retention_ms: i64) -> [Clearance; 6] {
    let over = |sql| Clearance { sql, age_ms: retention_ms };
    [
        over("DELETE FROM analytics_events WHERE id IN (SELECT id FROM analytics_events WHERE at_ms < $1 {some})"),
        over("DELETE FROM analytics_metrics WHERE id IN (SELECT id FROM analytics_metrics WHERE at_ms < $1 {some})"),
        over(
            "DELETE FROM analytics_hours WHERE (event_type, hour_ms) IN
             (SELECT event_type, hour_ms FROM analytics_hours WHERE hour_ms < $1 {some})",
        ),
        over(
            "DELETE FROM analytics_endpoints WHERE (hour_ms, endpoint) IN
             (SELECT hour_ms, endpoint FROM analytics_endpoints WHERE hour_ms < $1 {some})",
        ),
        over(
            "DELETE FROM analytics_users WHERE user_id IN
             (SELECT user_id FROM analytics_users WHERE last_ms < $1 {some})",
        ),
        Clearance {
            sql: "DELETE FROM analytics_usage WHERE (user_id, day_ms) IN
                (SELECT user_id, day_ms FROM analytics_usage WHERE day_ms < $1 {some})",
            age_ms: USAGE_DAYS * DAY_MS,
        },
    ]
}
