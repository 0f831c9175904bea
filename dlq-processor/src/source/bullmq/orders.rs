//! What changes a queue: jobs put back, made anew, or removed, each by one script that is fenced and bears being repeated.

use std::sync::atomic::Ordering;

use redis::Pipeline;

use super::super::redis::kept::{Hash, part};
use super::super::{Episode, GUARD, Lost, Order, PAGE, Put, SourceError};
use super::adding::mark;
use super::taken::Place;
use super::{BullMq, WHOLE};

/// Why nothing is done for a holder that another has followed.
const OUTDATED: &str = "another dlq-processor has acted here since, or this ledger is not the one that acted here last";

impl BullMq {
    pub(super) async fn redrive(&self, orders: &[Order]) -> Result<Vec<Put>, SourceError> {
        let mut done = Vec::with_capacity(orders.len());
        for some in orders.chunks(PAGE) {
            let mut calls = redis::pipe();
            for order in some {
                self.call_redrive(&mut calls, order, &Hash::new());
            }
            done.extend(self.run_redrive(&calls).await?);
        }
        Ok(done)
    }

    pub(super) async fn make_anew(&self, lost: &[Lost]) -> Result<Vec<Put>, SourceError> {
        let mut done = Vec::with_capacity(lost.len());
        for some in lost.chunks(WHOLE) {
            // Of what cannot be read there is nothing to make a job of: it stays gone.
            let some: Vec<_> = some.iter().map(|lost| (&lost.order, part(&lost.kept).unwrap_or_default())).collect();
            let is_told = |(order, kept): &(&Order, Hash)| mark(kept).is_some() || self.is_taken(&order.episode.queue);
            let mut calls = redis::pipe();
            for (order, kept) in some.iter().filter(|it| !is_told(it)) {
                self.call_redrive(&mut calls, order, kept);
            }
            let mut of_own = match calls.is_empty() {
                true => Vec::new(),
                false => self.run_redrive(&calls).await?,
            }
            .into_iter();
            for it in &some {
                let own = if is_told(it) { None } else { of_own.next() };
                done.push(match own {
                    Some(put) => put,
                    None => self.put_told(it.0, &it.1).await?,
                });
            }
        }
        Ok(done)
    }

    pub(super) fn call_redrive(&self, calls: &mut Pipeline, order: &Order, kept: &Hash) {
        const KEYS: [&str; 9] = ["failed", "wait", "paused", "active", "prioritized", "pc", "meta", "marker", "events"];
        let Episode { queue, job, failed_at_ms } = &order.episode;
        let keys = self.keys(queue);
        calls.cmd("EVALSHA").arg(self.redrive.hash()).arg(KEYS.len() + 4).arg(keys.of(job));
        for key in KEYS {
            calls.arg(keys.of(key));
        }
        let guard_ms = u64::try_from(GUARD.as_millis()).unwrap_or(u64::MAX);
        calls
            .arg(keys.guard(&order.id))
            .arg(keys.of("id"))
            .arg(keys.epoch())
            .arg(job)
            .arg(failed_at_ms)
            .arg(&order.id)
            .arg(guard_ms);
        calls.arg(if order.has_all_tries { "1" } else { "0" }).arg(self.epoch.load(Ordering::Relaxed));
        for (field, value) in kept {
            calls.arg(field).arg(value);
        }
    }

    pub(super) async fn run_redrive(&self, calls: &Pipeline) -> Result<Vec<Put>, SourceError> {
        let answers: Vec<i64> = self.server.run(&self.redrive, calls).await?;
        answers.into_iter().map(put_of).collect()
    }

    pub(super) async fn remove(&self, episodes: &[Episode]) -> Result<u64, SourceError> {
        let mut removed = 0;
        for some in episodes.chunks(PAGE) {
            let mut calls = redis::pipe();
            for (episode, places) in some.iter().zip(self.places(some).await) {
                if places.is_empty() && !self.is_taken(&episode.queue) {
                    self.call_forget(&mut calls, &episode.queue, &episode.job, episode.failed_at_ms);
                }
                for Place { queue, job, put_in_at_ms } in places {
                    self.call_forget(&mut calls, &queue, &job, put_in_at_ms);
                }
            }
            if calls.is_empty() {
                continue;
            }
            let answers: Vec<i64> = self.server.run(&self.forget, &calls).await?;
            answers.iter().try_for_each(|answer| put_of(*answer).map(drop))?;
            removed += answers.iter().filter(|answer| **answer == 1).count() as u64;
        }
        Ok(removed)
    }

    /// Of a job that is fenced by when it failed, or by when it was put in.
    fn call_forget(&self, calls: &mut Pipeline, queue: &str, job: &str, fence_ms: i64) {
        const PLACES: [&str; 4] = ["wait", "paused", "prioritized", "delayed"];
        let keys = self.keys(queue);
        let places = if self.is_taken(queue) { &PLACES[..] } else { &[] };
        calls.cmd("EVALSHA").arg(self.forget.hash()).arg(6 + places.len()).arg(keys.of(job)).arg(keys.of("failed"));
        calls.arg(format!("{}:lock", keys.of(job))).arg(keys.of("events")).arg(keys.of("meta")).arg(keys.epoch());
        for place in places {
            calls.arg(keys.of(place));
        }
        calls.arg(job).arg(fence_ms).arg(self.epoch.load(Ordering::Relaxed)).arg(keys.of("de:"));
    }
}

pub(super) fn put_of(answer: i64) -> Result<Put, SourceError> {
    Ok(match answer {
        1 => Put::Moved,
        2 => Put::Already,
        0 => Put::Gone,
        -3 => Put::NotFailed,
        -4 => Put::Fenced,
        -5 => Put::Flow,
        -7 => Put::Newer,
        7 => Put::Anew,
        // Somebody works at it: it is in its queue.
        -6 => Put::NotFailed,
        -8 => return Err(SourceError::Odd(OUTDATED.to_owned())),
        other => return Err(SourceError::Odd(format!("a script answered {other}"))),
    })
}
