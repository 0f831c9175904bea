//! What was spent of error budgets before this start, counted from history: a restart gives nobody a fresh budget.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::alert::{Count, Objective, PERIOD};
use crate::export::Shared;
use crate::judge::Severity;
use crate::probe::CheckId;
use crate::record::{Rollup, StoreError};

/// Minutes are looked at for the longest window that is not the whole period.
const MINUTES_BACK: Duration = Duration::from_secs(3 * 86_400);
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Counts what history knows until now of services whose objective is new here. A history that cannot be read is said, and costs only the past.
pub(super) async fn budgets(shared: Arc<Shared>, services: Vec<Arc<str>>) {
    let now = Timestamp::now();
    let catalogue = shared.catalogue.load_full();
    for card in catalogue.wholes().filter(|card| services.contains(&card.name)) {
        // What a replica failed in the past does not tell whether its service did.
        for check in card.checks.iter().filter(|check| check.severity == Severity::Critical) {
            if let Err(error) = recall(&shared, &card.name, &check.id, now).await {
                tracing::warn!(%error, check.id = %check.id, "earlier spending of the error budget is not known");
            }
        }
    }
}

async fn recall(shared: &Shared, service: &str, check: &CheckId, now: Timestamp) -> Result<(), StoreError> {
    let history = &shared.stores.history;
    let now_ms = now.as_millisecond();
    let back = |length: Duration| now_ms - i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let fine_from = back(MINUTES_BACK).div_euclid(HOUR_MS) * HOUR_MS;
    let minutes = history.rollups(check, MINUTE_MS, fine_from, now_ms).await?;
    let hours = history.rollups(check, HOUR_MS, back(PERIOD), fine_from).await?;
    let suppression = shared.alerts.suppression();
    let mut slos = shared.alerts.slos();
    let objectives: Vec<Objective> = slos.of(service).to_vec();
    for (spans, fine) in [(hours, false), (minutes, true)] {
        for (at_ms, rollup) in spans {
            let Ok(at) = Timestamp::from_millisecond(at_ms) else { continue };
            if suppression.window_of(Some(service), at).is_some() {
                continue;
            }
            for objective in &objectives {
                slos.recall(service, objective.what, at, count(&rollup, objective.limit), fine);
            }
        }
    }
    Ok(())
}

fn count(rollup: &Rollup, limit: Option<Duration>) -> Count {
    let passed = rollup.pass + rollup.slow;
    match limit {
        None => Count { good: passed, bad: rollup.fail },
        Some(limit) => {
            let good = rollup.at_most_us(u32::try_from(limit.as_micros()).unwrap_or(u32::MAX)).min(passed);
            Count { good, bad: passed - good }
        }
    }
}
