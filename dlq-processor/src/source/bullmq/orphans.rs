//! Jobs that are in none of their queue's sets: nobody will ever run them, and no queue says so. What is on its way from one set
//! to another is none, so that everything is looked at twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::redis::KEYS;
use super::super::redis::glob::escaped;
use super::super::{Orphans, PAGE, SourceError};
use super::BullMq;
use super::entry::is_no_job;

/// Parts of a server's keys that are looked at, at most: a million keys.
const PARTS: usize = 1_000_000 / KEYS;
/// Jobs of a queue that are named, at most.
const NAMED: usize = 100;
/// Jobs of a queue that are looked at again, at most.
const SUSPECTS: usize = 10_000;
/// Longest list that is read; of a queue that has a longer one nothing is said.
const LISTED: i64 = 100_000;
/// Between the two looks: a move takes a script, or what a worker takes between two.
const PAUSE: Duration = Duration::from_millis(500);

/// Where jobs may be (BullMQ 4 to 6).
const LISTS: [&str; 3] = ["wait", "paused", "active"];
const SETS: [&str; 6] = ["delayed", "prioritized", "priority", "waiting-children", "completed", "failed"];

impl BullMq {
    /// Finds jobs of these queues that are in no set.
    pub(super) async fn find_orphans(&self, queues: &[String]) -> Result<Vec<Orphans>, SourceError> {
        let (jobs, is_all) = self.find_all_jobs(queues).await?;
        let mut found = Vec::new();
        let mut suspects = BTreeMap::new();
        for (queue, jobs) in jobs {
            if let Some(mut homeless) = self.without_place(queue, jobs).await? {
                homeless.truncate(SUSPECTS);
                suspects.insert(queue, homeless);
            }
        }
        if suspects.values().any(|jobs| !jobs.is_empty()) {
            tokio::time::sleep(PAUSE).await;
        }
        for queue in queues {
            let first = suspects.remove(queue.as_str());
            // Of more than are looked at again there may be others.
            let is_known = first.as_ref().is_some_and(|jobs| jobs.len() < SUSPECTS);
            let homeless = match first {
                Some(jobs) => self.without_place(queue, jobs).await?.unwrap_or_default(),
                None => Vec::new(),
            };
            let jobs: Vec<String> = homeless.iter().take(NAMED).cloned().collect();
            found.push(Orphans {
                queue: queue.clone(),
                count: homeless.len() as u64,
                jobs,
                is_all: is_all && is_known,
            });
        }
        Ok(found)
    }

    /// Returns the jobs of each queue, and whether these are all.
    async fn find_all_jobs<'q>(
        &self,
        queues: &'q [String],
    ) -> Result<(BTreeMap<&'q str, Vec<String>>, bool), SourceError> {
        let mut jobs: BTreeMap<&str, Vec<String>> = queues.iter().map(|queue| (queue.as_str(), Vec::new())).collect();
        // Of two that a key may be of, the longer.
        let mut by_length: Vec<&str> = jobs.keys().copied().collect();
        by_length.sort_by_key(|queue| std::cmp::Reverse(queue.len()));
        let every = escaped(&self.prefix) + ":*";
        let mut scan = self.server.scan(every, Some("hash"));
        let mut is_all = false;
        for _part in 0..PARTS {
            let Some(keys) = scan.next().await? else {
                is_all = true;
                break;
            };
            for key in keys.iter().filter_map(|key| str::from_utf8(key).ok()) {
                let Some(rest) = key.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(':')) else {
                    continue;
                };
                let job = |queue: &str| rest.strip_prefix(queue)?.strip_prefix(':');
                let Some(queue) = by_length.iter().find(|queue| job(queue).is_some()) else { continue };
                let job = job(queue).filter(|job| !is_no_job(job));
                jobs.entry(queue).or_default().extend(job.map(str::to_owned));
            }
        }
        for jobs in jobs.values_mut() {
            // Each once.
            jobs.sort_unstable();
            jobs.dedup();
        }
        Ok((jobs, is_all))
    }

    /// Returns those of some jobs that are there and in no set; nothing if a list is too long to be read.
    async fn without_place(&self, queue: &str, jobs: Vec<String>) -> Result<Option<Vec<String>>, SourceError> {
        let keys = self.keys(queue);
        let mut asked = redis::pipe();
        for list in LISTS {
            asked.cmd("LLEN").arg(keys.of(list));
        }
        let lengths: Vec<i64> = self.server.ask(&asked).await?;
        if lengths.iter().any(|length| *length > LISTED) {
            return Ok(None);
        }
        let mut asked = redis::pipe();
        for list in LISTS {
            asked.cmd("LRANGE").arg(keys.of(list)).arg(0).arg(LISTED);
        }
        let listed: Vec<Vec<Vec<u8>>> = self.server.ask(&asked).await?;
        let listed: BTreeSet<&[u8]> = listed.iter().flatten().map(Vec::as_slice).collect();
        let jobs: Vec<String> = jobs.into_iter().filter(|job| !listed.contains(job.as_bytes())).collect();
        let mut homeless = Vec::new();
        for part in jobs.chunks(PAGE) {
            let mut asked = redis::pipe();
            for job in part {
                // What has no time is something else: a scheduler, say.
                asked.cmd("HEXISTS").arg(keys.of(job)).arg("timestamp");
                for set in SETS {
                    asked.cmd("ZSCORE").arg(keys.of(set)).arg(job);
                }
            }
            let answers: Vec<Option<f64>> = self.server.ask(&asked).await?;
            let found = part.iter().zip(answers.chunks(SETS.len() + 1));
            let is_homeless = |answers: &[Option<f64>]| matches!(answers, [Some(exists), places @ ..] if *exists > 0.0 && places.iter().all(Option::is_none));
            homeless.extend(found.filter(|(_, answers)| is_homeless(answers)).map(|(job, _)| job.clone()));
        }
        Ok(Some(homeless))
    }
}
