//! Carries out the plans that are under way, one part after another, no faster than each says.

use std::collections::BTreeMap;
use std::time::Duration;

use kit::backoff::Backoff;
use kit::chain::Chain;

use super::now_ms;
use crate::failpoint;
use crate::ledger::{Ledger, LedgerError, Part, Plan};
use crate::storm::Bucket;

/// Between two parts.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Letters of a part, at most.
const PART: usize = 200;
/// Between tries of a ledger that is away.
const AWAY: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(15) };

/// Works until it is dropped: what was begun is wholly done or not at all.
pub(crate) async fn carry_out_plans(ledger: &Ledger) {
    let (mut rates, mut failures) = (BTreeMap::new(), 0);
    loop {
        let wait = match round(ledger, &mut rates).await {
            Ok(()) => {
                failures = 0;
                LOOK_EVERY
            }
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(error = %Chain(&error), "plans do not get on");
                }
                AWAY.delay(failures, rand::random())
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn round(ledger: &Ledger, rates: &mut BTreeMap<i64, Bucket>) -> Result<(), LedgerError> {
    let plans = ledger.running_plans().await?;
    rates.retain(|number, _| plans.iter().any(|plan| plan.number == *number));
    for plan in &plans {
        let most = allowed(plan, rates);
        let part = if most > 0 { ledger.carry_on(plan, most, now_ms()).await? } else { Part::Full };
        failpoint::at("mid_plan");
        match part {
            Part::Done(letters) => tracing::debug!(plan = plan.id, letters, "a part of a plan is done"),
            Part::Last => tracing::info!(plan = plan.id, "a plan is done"),
            Part::Stopped => tracing::warn!(plan = plan.id, "a plan is stopped: too many of its letters failed again"),
            Part::Full => {}
        }
    }
    Ok(())
}

fn allowed(plan: &Plan, rates: &mut BTreeMap<i64, Bucket>) -> usize {
    let Some(rate_milli) = plan.rate_milli else { return PART };
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let per_second = rate_milli as f64 / 1000.0;
    let now_ms = now_ms();
    rates.entry(plan.number).or_insert_with(|| Bucket::new(per_second, per_second, now_ms)).take(PART, now_ms)
}
