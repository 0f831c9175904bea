//! Redrives letters that are due, as far as rates and breakers let it: written first, done then.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use uuid::Uuid;

use super::{Engine, Trouble, now_ms};
use crate::ledger::{Due, Intended};
use crate::source::{GUARD, Lost, PAGE, Put};
use crate::storm::Bucket;

/// Between two looks for what is due, while there is nothing.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Engine {
    pub(super) async fn redrive_for_ever(&self) {
        let (mut buckets, mut failures, mut is_settled) = (BTreeMap::new(), 0, false);
        loop {
            // Of what is written nobody knows whether it was done: after a start, and after a source was away.
            let round = if is_settled { self.redrive_due(&mut buckets).await } else { self.settle().await.map(|()| 0) };
            let done = round.as_ref().copied().unwrap_or_default();
            let wait = self.went("redriving", &round.map(drop), &mut failures);
            is_settled = wait.is_none();
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None if done == 0 => tokio::time::sleep(LOOK_EVERY).await,
                None => {}
            }
        }
    }

    /// Carries out again what was written and of which nobody has said what came of it.
    async fn settle(&self) -> Result<(), Trouble> {
        let intended = self.ledger.intended(&self.name).await?;
        let oldest_ms = now_ms() - i64::try_from(GUARD.as_millis()).unwrap_or(i64::MAX);
        let (known, forgotten): (Vec<Intended>, Vec<Intended>) =
            intended.into_iter().partition(|intended| intended.since_ms > oldest_ms);
        // The source no longer knows either.
        self.ledger.uncertain(&forgotten, now_ms()).await?;
        for part in known.chunks(PAGE) {
            self.carry_out(part).await?;
        }
        Ok(())
    }

    /// Looks whether what is put back could be lost: then nothing is.
    async fn look_for_hazards(&self) -> Result<bool, Trouble> {
        let found = self.source.hazards().await?;
        let mut known = self.hazards.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != found {
            match found.first() {
                Some(hazard) => tracing::warn!(source = self.name, hazard, "nothing is redriven"),
                None => tracing::info!(source = self.name, "letters are redriven again"),
            }
        }
        self.figures.armed.with_label_values(&[&self.name]).set(found.is_empty().into());
        *known = found;
        Ok(known.is_empty())
    }

    /// Returns how many there were.
    async fn redrive_due(&self, buckets: &mut BTreeMap<String, Bucket>) -> Result<usize, Trouble> {
        let due = self.ledger.due(&self.name, now_ms(), PAGE).await?;
        if due.is_empty() || !self.look_for_hazards().await? {
            return Ok(0);
        }
        let admitted = self.admit(due, buckets);
        if admitted.is_empty() {
            return Ok(0);
        }
        let order = || Uuid::now_v7().simple().to_string();
        let intended = self.ledger.intend(&self.name, &admitted, now_ms(), order).await?;
        self.carry_out(&intended).await?;
        Ok(intended.len())
    }

    /// Leaves out what would be too much.
    fn admit(&self, due: Vec<Due>, buckets: &mut BTreeMap<String, Bucket>) -> Vec<Due> {
        let now_ms = now_ms();
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admit = |due: &Due| {
            let (queue, name) = (&due.episode.queue, &due.name);
            let bucket = buckets.entry(queue.clone()).or_insert_with(|| {
                let per_second = self.settings.of_queue(queue).rate;
                Bucket::new(per_second, per_second, now_ms)
            });
            let has_tokens = bucket.tokens(now_ms) >= 1.0 && rate.tokens(now_ms) >= 1.0;
            let breaker = breakers.entry((queue.clone(), name.clone())).or_default();
            has_tokens && breaker.admit(1, now_ms) == 1 && bucket.take(1, now_ms) == 1 && rate.take(1, now_ms) == 1
        };
        due.into_iter().filter(|due| admit(due)).collect()
    }

    /// Makes jobs anew that have gone, where a person asked for it: unasked nobody can say whether they were done after all.
    async fn make_anew(&self, intended: &[Intended], put: &mut [Put]) -> Result<(), Trouble> {
        let is_lost = |(intended, put): &(&Intended, &mut Put)| **put == Put::Gone && intended.order.has_all_tries;
        let (lost, places): (Vec<&Intended>, Vec<&mut Put>) = intended.iter().zip(put).filter(is_lost).unzip();
        if lost.is_empty() {
            return Ok(());
        }
        let kept = self.ledger.kept(&lost).await?;
        let anew: Vec<Lost> =
            lost.iter().zip(kept).map(|(lost, kept)| Lost { order: lost.order.clone(), kept }).collect();
        for (place, put) in places.into_iter().zip(self.source.put_anew(&anew).await?) {
            *place = put;
        }
        Ok(())
    }

    async fn carry_out(&self, intended: &[Intended]) -> Result<(), Trouble> {
        let orders: Vec<_> = intended.iter().map(|intended| intended.order.clone()).collect();
        let mut put = self.source.put_back(&orders).await?;
        self.make_anew(intended, &mut put).await?;
        let done: Vec<_> = intended.iter().cloned().zip(put).collect();
        self.ledger.redriven(&done, now_ms()).await?;
        for (intended, put) in &done {
            self.figures.redriven.with_label_values(&[&intended.order.episode.queue, put.word()]).inc();
            tracing::debug!(letter = %intended.id, order = intended.order.id, result = put.word(), "redriven");
        }
        Ok(())
    }
}
