//! What makes a queue unsafe for its dead letters: failed jobs that are thrown away before anybody reads them, workers that
//! take them first, and layouts that nobody here knows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{Peril, PerilKind, SourceError};
use super::BullMq;

/// Newest jobs of each list that are looked at.
const NEWEST: i64 = 5;
/// Fewer failed jobs than this are gone in a second of failures (measured: 790 a second, dlq.md section 1.2, L5).
const FEW: u64 = 1000;
/// Failed jobs that are kept for less than this, in seconds, do not outlive an hour in which nobody looked.
const SOON_SECS: u64 = 3600;
/// The newest layout that is known.
const NEWEST_MAJOR: u32 = 6;
/// Lists of a queue, and sets, that new jobs are found in.
const LISTS: [&str; 2] = ["wait", "active"];
const SETS: [&str; 3] = ["failed", "delayed", "prioritized"];

impl BullMq {
    pub(super) async fn find_perils(&self, queues: &[String]) -> Result<Vec<Peril>, SourceError> {
        let mut perils = Vec::new();
        for queue in queues {
            let mut asked = redis::pipe();
            asked.cmd("HGET").arg(self.keys(queue).of("meta")).arg("version");
            for list in LISTS {
                asked.cmd("LRANGE").arg(self.keys(queue).of(list)).arg(0).arg(NEWEST - 1);
            }
            for set in SETS {
                asked.cmd("ZRANGE").arg(self.keys(queue).of(set)).arg(-NEWEST).arg(-1);
            }
            let (version, wait, active, failed, delayed, prioritized): Newest = self.server.ask(&asked).await?;
            let peril = |kind, why| Peril { queue: queue.clone(), kind, why };
            perils.extend(version.as_deref().and_then(unknown_version).map(|why| peril(PerilKind::Version, why)));
            let jobs: BTreeSet<Vec<u8>> = [wait, active, failed, delayed, prioritized].concat().into_iter().collect();
            perils.extend(self.find_competitors(queue).await?.map(|why| peril(PerilKind::Workers, why)));
            // Where nobody works nothing fails.
            if !self.is_taken(queue) {
                perils.extend(self.find_retention(queue, &jobs).await?.map(|why| peril(PerilKind::Retention, why)));
            }
        }
        Ok(perils)
    }

    /// Only of a queue that holds nothing but what is dead: whoever works there throws it away.
    async fn find_competitors(&self, queue: &str) -> Result<Option<String>, SourceError> {
        if !self.is_taken(queue) {
            return Ok(None);
        }
        let found = self.find_workers(queue).await?;
        Ok((found > 0).then(|| format!("{found} workers take what is dead from {queue} and throw it away; stop them")))
    }

    async fn find_retention(&self, queue: &str, jobs: &BTreeSet<Vec<u8>>) -> Result<Option<String>, SourceError> {
        if jobs.is_empty() {
            return Ok(None);
        }
        let mut asked = redis::pipe();
        for job in jobs {
            asked.cmd("HGET").arg(self.keys(queue).of(&String::from_utf8_lossy(job))).arg("opts");
        }
        let options: Vec<Option<Vec<u8>>> = self.server.ask(&asked).await?;
        let options = options.into_iter().flatten();
        Ok(options.filter_map(|options| unsafe_retention(&serde_json::from_slice(&options).ok()?)).next())
    }
}

type Ids = Vec<Vec<u8>>;
type Newest = (Option<String>, Ids, Ids, Ids, Ids, Ids);

/// Says that a queue is of a release that came later than this.
fn unknown_version(version: &str) -> Option<String> {
    let (_, number) = version.rsplit_once(':')?;
    let major: u32 = number.split('.').next()?.parse().ok()?;
    (major > NEWEST_MAJOR)
        .then(|| format!("it is of {version}; layouts are known up to BullMQ {NEWEST_MAJOR}, so it is only read"))
}

/// Says how a job's failure is thrown away too soon (docs.bullmq.io, "Auto-removal of jobs").
fn unsafe_retention(options: &Value) -> Option<String> {
    let kept = options.get("removeOnFail")?;
    let (count, age_secs) = match kept {
        Value::Bool(true) => (Some(0), None),
        Value::Number(count) => (count.as_u64(), None),
        Value::Object(keep) => (keep.get("count").and_then(Value::as_u64), keep.get("age").and_then(Value::as_u64)),
        _ => return None,
    };
    let is_unsafe = count.is_some_and(|count| count < FEW) || age_secs.is_some_and(|age_secs| age_secs < SOON_SECS);
    is_unsafe.then(|| {
        format!("jobs are put in with removeOnFail: {kept}, so that failures can be gone before they are read; give it {{ age: 604800 }} or false")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn failures_that_are_thrown_away_too_soon_are_found() {
        for (kept, expected) in [
            (json!(true), true),
            (json!(false), false),
            (json!(0), true),
            (json!(50), true),
            (json!(5000), false),
            (json!({ "count": 200 }), true),
            (json!({ "age": 604_800 }), false),
            (json!({ "age": 60, "count": 5000 }), true),
            (json!("soon"), false),
        ] {
            assert_eq!(unsafe_retention(&json!({ "removeOnFail": kept })).is_some(), expected, "{kept}");
        }
        assert_eq!(unsafe_retention(&json!({})), None);
    }

    #[test]
    fn layouts_that_came_later_are_only_read() {
        for (version, expected) in
            [("bullmq:5.58.0", false), ("bullmq:6.7.0", false), ("bullmq:7.0.0", true), ("odd", false), ("", false)]
        {
            assert_eq!(unknown_version(version).is_some(), expected, "{version}");
        }
    }
}
