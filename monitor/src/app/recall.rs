//! What was spent of error budgets before this start, counted from history: a restart gives nobody a fresh budget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::alert::{Count, Objective, PERIOD};
use crate::export::{ServiceCard, Shared};
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
        let own: Vec<CheckId> = critical(card).collect();
        let parts: Vec<Vec<CheckId>> = if own.is_empty() {
            card.replicas.iter().filter_map(|name| Some(critical(catalogue.service(name)?).collect())).collect()
        } else {
            vec![own]
        };
        if let Err(error) = recall(&shared, card, &parts, now).await {
            tracing::warn!(%error, service.id = %card.name, "earlier spending of the error budget is not known");
        }
    }
}

fn critical(card: &ServiceCard) -> impl Iterator<Item = CheckId> {
    card.checks.iter().filter(|check| check.severity == Severity::Critical).map(|check| check.id.clone())
}

async fn recall(shared: &Shared, card: &ServiceCard, parts: &[Vec<CheckId>], now: Timestamp) -> Result<(), StoreError> {
    let now_ms = now.as_millisecond();
    let back = |length: Duration| now_ms - i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let fine_from = back(MINUTES_BACK).div_euclid(HOUR_MS) * HOUR_MS;
    let minutes = spans(shared, card, parts, (MINUTE_MS, fine_from, now_ms)).await?;
    let hours = spans(shared, card, parts, (HOUR_MS, back(PERIOD), fine_from)).await?;
    let suppression = shared.alerts.suppression();
    let mut slos = shared.alerts.slos();
    let objectives: Vec<Objective> = slos.of(&card.name).to_vec();
    for (spans, fine) in [(hours, false), (minutes, true)] {
        for (at_ms, rollup) in spans {
            let Ok(at) = Timestamp::from_millisecond(at_ms) else { continue };
            if suppression.window_of(Some(&card.name), at).is_some() {
                continue;
            }
            for objective in &objectives {
                slos.recall(&card.name, objective.what, at, count(&rollup, objective.limit), fine);
            }
        }
    }
    Ok(())
}

/// Returns what is known of each span of a service. Of replicas the one counts that decided, as with verdicts: the worst of
/// the best ones that must work.
async fn spans(
    shared: &Shared,
    card: &ServiceCard,
    parts: &[Vec<CheckId>],
    (grain_ms, from_ms, to_ms): (i64, i64, i64),
) -> Result<BTreeMap<i64, Rollup>, StoreError> {
    let mut known: BTreeMap<i64, Vec<Rollup>> = BTreeMap::new();
    for (place, checks) in parts.iter().enumerate() {
        for check in checks {
            for (at_ms, rollup) in shared.stores.history.rollups(check, grain_ms, from_ms, to_ms).await? {
                let parts = known.entry(at_ms).or_default();
                parts.resize_with(parts.len().max(place + 1), Rollup::default);
                if let Some(part) = parts.get_mut(place) {
                    part.merge(&rollup);
                }
            }
        }
    }
    Ok(known.into_iter().filter_map(|(at_ms, parts)| Some((at_ms, decisive(parts, card.quorum)?))).collect())
}

fn decisive(mut parts: Vec<Rollup>, quorum: usize) -> Option<Rollup> {
    parts.retain(|part| part.known() > 0);
    parts.sort_by(|left, right| (left.fail * right.known()).cmp(&(right.fail * left.known())));
    let place = quorum.clamp(1, parts.len().max(1)) - 1;
    (place < parts.len()).then(|| parts.swap_remove(place))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_replicas_the_one_counts_that_decided() {
        let part = |pass, fail| Rollup { pass, fail, ..Rollup::default() };
        let parts = || vec![part(0, 10), part(10, 0), part(8, 2), part(0, 0)];
        let decided = |quorum| decisive(parts(), quorum).map(|part| (part.pass, part.fail));
        assert_eq!(decided(1), Some((10, 0)));
        assert_eq!(decided(2), Some((8, 2)));
        assert_eq!(decided(3), Some((0, 10)));
        assert_eq!(decided(9), Some((0, 10)), "there are no more");
        assert_eq!(decisive(vec![part(0, 0)], 1).map(|part| part.known()), None);
    }
}
