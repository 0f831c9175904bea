//! What names a letter, and what is known of its job already.

use std::fmt;

use data_encoding::HEXLOWER;
use kit::db::{Bind, Transaction};
use sha2::{Digest, Sha256};

use super::insert::clean;
use super::places_after;
use crate::source::{Episode, Found, as_text};

/// Names one failure of one job of one source, in 32 hexadecimal digits: whoever captures it again has the same letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(String);

impl LetterId {
    /// Returns that of a failure.
    pub fn of(source: &str, Episode { queue, job, failed_at_ms }: &Episode) -> Self {
        let mut digest = Sha256::new();
        // As the ledger has them.
        for part in [source, &as_text(queue), &as_text(job), &failed_at_ms.to_string()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(HEXLOWER.encode(&digest.finalize()).chars().take(32).collect())
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the ledger has of a job from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Redrives that nobody asked for.
    pub redrives: u32,
    /// Its first failure, in milliseconds since the epoch.
    pub first_failed_at_ms: i64,
}

type Known = (String, String, Option<i64>, i64, i64);

/// Letters of so many jobs, each given by so many values, the queue and the id first, after so many others; ends in a condition.
/// SQLite leaves the order of a `CROSS JOIN` as it is (sqlite.org/optoverview.html, section 7.1): it would else read all letters
/// of a source for a few jobs.
pub(super) fn of_jobs(before: usize, jobs: usize, values: usize) -> String {
    format!(
        "(VALUES {}) AS failed CROSS JOIN letters
        WHERE letters.queue = failed.column1 AND letters.job = failed.column2",
        places_after(before, jobs, values)
    )
}

/// Returns what is known of the jobs of failures, in their order; of a job that is new, nothing.
pub(super) async fn pasts(
    transaction: &mut Transaction,
    source: &str,
    found: &[&Found],
) -> Result<Vec<Option<Past>>, sqlx::Error> {
    let sql = format!(
        "SELECT queue, job, put_in_at_ms, MAX(redrives), MIN(failed_at_ms) FROM {} AND source = ${}
        GROUP BY queue, job, put_in_at_ms",
        of_jobs(0, found.len(), 2),
        found.len() * 2 + 1,
    );
    let jobs: Vec<String> = found.iter().map(|found| clean(&found.episode.job)).collect();
    let both = found.iter().zip(&jobs).flat_map(|(found, job)| [found.episode.queue.as_str(), job.as_str()]);
    let binds: Vec<Bind<'_>> = both.chain([source]).map(Bind::from).collect();
    let known: Vec<Known> = transaction.rows(&sql, &binds).await?;
    let past = |(found, job): (&&Found, &String)| {
        let is_it = |(queue, known_job, put_in_at_ms, ..): &&Known| {
            *queue == found.episode.queue && known_job == job && *put_in_at_ms == found.put_in_at_ms
        };
        known.iter().find(is_it).map(|(_, _, _, redrives, first)| Past {
            redrives: u32::try_from(*redrives).unwrap_or(u32::MAX),
            first_failed_at_ms: *first,
        })
    };
    Ok(found.iter().zip(&jobs).map(past).collect())
}
