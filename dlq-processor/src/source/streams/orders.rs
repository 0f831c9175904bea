//! What changes a stream or a group: entries added anew, or taken out of their group, each by one script that bears being
//! repeated.

use redis::Pipeline;

use super::super::redis::Lua;
use super::super::redis::kept::{Hash, part};
use super::super::{Episode, GUARD, Lost, Order, PAGE, Put, SourceError};
use super::keys::Group;
use super::{RedisStreams, WHOLE};

impl RedisStreams {
    /// Calls a script for one entry of a group.
    pub(super) fn call<'c>(
        &self,
        calls: &'c mut Pipeline,
        script: &Lua,
        group: &Group<'_>,
        Episode { job, failed_at_ms, .. }: &Episode,
    ) -> &'c mut Pipeline {
        calls.cmd("EVALSHA").arg(script.hash()).arg(3).arg(group.stream).arg(group.copies()).arg(group.newest(job));
        calls.arg(&group.name).arg(job).arg(failed_at_ms)
    }

    pub(super) async fn redrive(&self, orders: &[Order]) -> Result<Vec<Put>, SourceError> {
        let mut done = Vec::with_capacity(orders.len());
        for some in orders.chunks(PAGE) {
            let calls: Vec<(&Order, Option<Hash>)> = some.iter().map(|order| (order, None)).collect();
            done.extend(self.run_redrive(&calls).await?);
        }
        Ok(done)
    }

    pub(super) async fn make_anew(&self, lost: &[Lost]) -> Result<Vec<Put>, SourceError> {
        let mut done = Vec::with_capacity(lost.len());
        for some in lost.chunks(WHOLE) {
            // Of what cannot be read there is nothing to make an entry of: it stays gone.
            let anew = |Lost { kept, .. }: &Lost| Some(part(kept).unwrap_or_default());
            let calls: Vec<(&Order, Option<Hash>)> = some.iter().map(|lost| (&lost.order, anew(lost))).collect();
            done.extend(self.run_redrive(&calls).await?);
        }
        Ok(done)
    }

    /// With what was kept, or from the entry itself.
    async fn run_redrive(&self, orders: &[(&Order, Option<Hash>)]) -> Result<Vec<Put>, SourceError> {
        let guard_ms = u64::try_from(GUARD.as_millis()).unwrap_or(u64::MAX);
        let mut calls = redis::pipe();
        for (order, kept) in orders {
            let Order { episode: Episode { queue, job, failed_at_ms }, id, .. } = order;
            let Some(group) = Group::of(queue) else { continue };
            calls.cmd("EVALSHA").arg(self.scripts.redrive.hash()).arg(4).arg(group.stream).arg(group.copies());
            calls.arg(group.newest(job)).arg(group.guard(id)).arg(&group.name).arg(job).arg(failed_at_ms);
            calls.arg(id).arg(guard_ms).arg(if kept.is_some() { "1" } else { "0" });
            for (name, value) in kept.iter().flatten() {
                calls.arg(name).arg(value);
            }
        }
        let mut answers = Vec::new();
        if !calls.is_empty() {
            answers = self.server.run::<Vec<i64>>(&self.scripts.redrive, &calls).await?;
        }
        let mut answers = answers.into_iter();
        let put = |(order, _): &(&Order, Option<Hash>)| match Group::of(&order.episode.queue) {
            Some(_) => put_of(answers.next().unwrap_or_default()),
            None => Ok(Put::Gone),
        };
        orders.iter().map(put).collect()
    }

    pub(super) async fn take_out(&self, episodes: &[Episode]) -> Result<u64, SourceError> {
        let idle_ms = self.settings.dead_after.idle_ms();
        let mut taken = 0;
        for some in episodes.chunks(PAGE) {
            let mut calls = redis::pipe();
            for episode in some {
                if let Some(group) = Group::of(&episode.queue) {
                    self.call(&mut calls, &self.scripts.forget, &group, episode).arg(idle_ms);
                }
            }
            if !calls.is_empty() {
                let answers: Vec<i64> = self.server.run(&self.scripts.forget, &calls).await?;
                taken += answers.iter().filter(|answer| **answer == 1).count() as u64;
            }
        }
        Ok(taken)
    }
}

fn put_of(answer: i64) -> Result<Put, SourceError> {
    Ok(match answer {
        1 => Put::Moved,
        2 => Put::Already,
        0 => Put::Gone,
        -3 => Put::NotFailed,
        -7 => Put::Refused,
        other => return Err(SourceError::Odd(format!("a script answered {other}"))),
    })
}
