//! Sends one letter of those that are alike and parked for what they are before the others, where the policy says so, and has
//! them follow if it was done. Whatever holds redrives back holds these, too: it schedules them, and no more.

use std::time::Duration;

use super::{Engine, Trouble, millis, now_ms};
use crate::ledger::{Flock, FlockPlace};
use crate::policy::{Canary, Class, Policy};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Flocks that are looked at in one look, and kinds of letters that may be new ones, at most.
const FLOCKS: usize = 200;
/// Parts of a flock that are let go in one look, at most: others get to the ledger, too.
const PARTS: usize = 25;
/// How long it is known of a flock without letters how many canaries it had, in milliseconds: what it was may come back.
const KNOWN_MS: i64 = 3_600_000;

/// How far was looked.
#[derive(Default)]
struct Looked {
    /// The class, and the fingerprint in it, behind which there may be new flocks.
    new: (usize, String),
    known: FlockPlace,
}

impl Engine {
    pub(super) async fn send_canaries_for_ever(&self) {
        let (mut looked, mut failures) = (Looked::default(), 0);
        loop {
            let round = self.send_canaries(&mut looked).await;
            let wait = self.went("sending canaries", &round, &mut failures);
            tokio::time::sleep(wait.unwrap_or(LOOK_EVERY)).await;
        }
    }

    async fn send_canaries(&self, looked: &mut Looked) -> Result<(), Trouble> {
        let policy = self.policy.now();
        self.watch_new_flocks(&policy, &mut looked.new).await?;
        let flocks = self.ledger.flocks(&self.name, now_ms(), (FLOCKS, &looked.known)).await?;
        looked.known = flocks.last().filter(|_| flocks.len() == FLOCKS).map(Flock::place).unwrap_or_default();
        for flock in &flocks {
            self.care_for(flock, &policy).await?;
        }
        Ok(())
    }

    /// Looks for flocks class by class, and from the first on again after the last.
    async fn watch_new_flocks(&self, policy: &Policy, (class, after): &mut (usize, String)) -> Result<(), Trouble> {
        let classes: Vec<(&Class, &Canary)> = policy.canaries.iter().collect();
        // Another policy may have fewer.
        let Some((of, canary)) = classes.get(*class).or_else(|| classes.first()) else { return Ok(()) };
        let now_ms = now_ms();
        let next_at_ms = now_ms.saturating_add(wait_ms(canary, 0));
        let wanted =
            |queue: &str, name: &str| policy.canary(**of, queue, name).is_some() && self.settings.of_queue(queue).acts;
        let next = self.ledger.watch_flocks(&self.name, of.word(), (after, FLOCKS), now_ms, next_at_ms, wanted);
        let next = next.await?;
        if next.is_none() {
            *class = (*class + 1) % classes.len();
        }
        *after = next.unwrap_or_default();
        Ok(())
    }

    async fn care_for(&self, flock: &Flock, policy: &Policy) -> Result<(), Trouble> {
        let Some(canary) =
            Class::of_word(&flock.class).and_then(|class| policy.canary(class, &flock.queue, &flock.name))
        else {
            // Another policy decides by now.
            return Ok(self.ledger.forget_flock(&self.name, flock).await?);
        };
        if !self.settings.of_queue(&flock.queue).acts {
            return Ok(());
        }
        if flock.release_before_ms.is_some() {
            return self.release(flock, canary, policy).await;
        }
        match (&flock.canary, flock.canary_state.as_deref()) {
            (None, _) => self.send_canary(flock, canary, policy).await,
            (Some(_), Some("scheduled" | "intended" | "redriven")) => Ok(()),
            (Some(_), state) => self.canary_ended(flock, canary, Ended::of(state)).await,
        }
    }

    async fn send_canary(&self, flock: &Flock, canary: &Canary, policy: &Policy) -> Result<(), Trouble> {
        let now_ms = now_ms();
        let sent = if canary.is_spent(count(flock.tried)) {
            None
        } else {
            self.ledger.send_canary(&self.name, flock, millis(policy.max_age), now_ms).await?
        };
        if let Some(letter) = sent {
            self.figures.canaries.with_label_values(&[&*flock.class, "sent"]).inc();
            tracing::info!(
                source = self.name,
                queue = flock.queue,
                name = flock.name,
                letter,
                "one goes before those that are alike"
            );
            return Ok(());
        }
        let is_over = flock.changed_at_ms.saturating_add(KNOWN_MS) < now_ms;
        if is_over && !self.ledger.has_flock(&self.name, flock).await? {
            return Ok(self.ledger.forget_flock(&self.name, flock).await?);
        }
        // Of one whose tries are spent there is nothing to do but forget it some day.
        let least_ms = if canary.is_spent(count(flock.tried)) { KNOWN_MS } else { 0 };
        let next_at_ms = now_ms.saturating_add(wait_ms(canary, count(flock.tried)).max(least_ms));
        Ok(self.ledger.put_canary_off(&self.name, flock, next_at_ms).await?)
    }

    async fn canary_ended(&self, flock: &Flock, canary: &Canary, ended: Ended) -> Result<(), Trouble> {
        let (tried, now_ms) = (flock.tried + i64::from(ended != Ended::Withdrawn), now_ms());
        let wait_ms = wait_ms(canary, count(tried));
        self.ledger.canary_ended(&self.name, flock, tried, now_ms.saturating_add(wait_ms), now_ms).await?;
        let result = ended.word();
        self.figures.canaries.with_label_values(&[&*flock.class, result]).inc();
        tracing::info!(
            source = self.name,
            queue = flock.queue,
            name = flock.name,
            result,
            "those that are alike stay parked"
        );
        Ok(())
    }

    /// Has the others follow, spread as what is redriven of a passing failure.
    async fn release(&self, flock: &Flock, canary: &Canary, policy: &Policy) -> Result<(), Trouble> {
        let spread = policy.retries.get(&Class::Transient);
        for _ in 0..PARTS {
            let now_ms = now_ms();
            let wait_of = || spread.map_or(0, |retry| millis(retry.wait(0, rand::random())));
            let due = || now_ms.saturating_add(wait_of());
            let letters = self.ledger.release_some(&self.name, flock, millis(policy.max_age), now_ms, due).await?;
            if letters > 0 {
                tracing::debug!(source = self.name, queue = flock.queue, letters, "some follow their canary");
                continue;
            }
            let wait_ms = wait_ms(canary, count(flock.tried).saturating_add(1));
            self.ledger.released(&self.name, flock, now_ms.saturating_add(wait_ms), now_ms).await?;
            self.figures.canaries.with_label_values(&[&*flock.class, "passed"]).inc();
            tracing::info!(
                source = self.name,
                queue = flock.queue,
                name = flock.name,
                "those that are alike follow one that was done"
            );
            return Ok(());
        }
        Ok(())
    }
}

/// How a canary ended that nobody follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Failed,
    /// It may be done, but nobody tells: that counts as a try all the same.
    Untold,
    /// Otherwise, which says nothing.
    Withdrawn,
}

impl Ended {
    fn of(state: Option<&str>) -> Self {
        match state {
            Some("recurred") => Self::Failed,
            Some("resolved") => Self::Untold,
            _ => Self::Withdrawn,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Untold => "untold",
            Self::Withdrawn => "withdrawn",
        }
    }
}

fn wait_ms(canary: &Canary, tried: u32) -> i64 {
    millis(canary.wait(tried))
}

fn count(tried: i64) -> u32 {
    u32::try_from(tried).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_of_which_nobody_tells_how_it_ended_has_not_failed() {
        let ended = [Some("recurred"), Some("resolved"), Some("discarded"), None].map(Ended::of).map(Ended::word);
        assert_eq!(ended, ["failed", "untold", "withdrawn", "withdrawn"]);
    }
}
