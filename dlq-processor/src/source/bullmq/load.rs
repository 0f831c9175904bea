//! How busy a queue is: what waits, who works, how much memory is left, what was done lately.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use redis::Value;

use super::super::{Depth, SourceError};
use super::BullMq;
use crate::storm::Load;

/// How long what was done lately is good: it takes thousands of entries to know.
const GOOD: Duration = Duration::from_secs(10);
/// Entries of the stream `events` that are counted, at most: as many as BullMQ keeps unless told otherwise.
const MOST_EVENTS: usize = 10_000;
/// Active jobs of a queue whose locks are looked at, at most: the newest, which are the likeliest to be held.
const MOST_ACTIVE: isize = 100;
/// A minute, in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// Jobs that were done in a minute, by queue, and when that was counted.
pub(super) type Done = HashMap<String, (Instant, u64)>;

/// An entry of a stream.
type Event = (String, HashMap<String, Value>);

impl BullMq {
    pub(super) async fn find_load(&self, queue: &str) -> Result<Load, SourceError> {
        let keys = self.keys(queue);
        let mut asked = redis::pipe();
        asked.cmd("LLEN").arg(keys.of("wait")).cmd("LLEN").arg(keys.of("paused"));
        asked.cmd("ZCARD").arg(keys.of("prioritized")).cmd("HEXISTS").arg(keys.of("meta")).arg("paused");
        asked.cmd("INFO").arg("memory").cmd("CLIENT").arg("LIST").cmd("TIME");
        let (wait, paused, prioritized, is_paused, memory, clients, (secs, _)): Answer =
            self.server.ask(&asked).await?;
        Ok(Load {
            waiting: wait + paused + prioritized,
            is_paused,
            workers: Some(workers(&clients, &self.prefix, queue)),
            memory_ratio: memory_ratio(&memory),
            done: Some(self.find_done(queue, secs * 1000).await?),
        })
    }

    /// Counts what waits and what was done, all queues at once.
    pub(super) async fn find_depths(&self, queues: &[String]) -> Result<Vec<Depth>, SourceError> {
        // What waits where nobody works is dead.
        let queues: Vec<&String> = queues.iter().filter(|queue| !self.taken.contains(queue)).collect();
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = redis::pipe();
        for queue in &queues {
            let keys = self.keys(queue);
            asked.cmd("HEXISTS").arg(keys.of("meta")).arg("paused").cmd("LLEN").arg(keys.of("wait"));
            asked.cmd("ZCARD").arg(keys.of("prioritized")).cmd("ZCARD").arg(keys.of("completed"));
        }
        let counts: Vec<u64> = self.server.ask(&asked).await?;
        let (held, newest) = (self.count_held(&queues).await?, self.find_newest_done(&queues).await?);
        let depth = |(((queue, counts), active), newest_done_ms): (((&String, &[u64]), u64), i64)| match *counts {
            [is_paused, wait, prioritized, completed] => {
                // What waits in a paused queue waits for a person.
                let waiting = if is_paused == 0 { wait + prioritized } else { 0 };
                Some(Depth { queue: queue.clone(), waiting, active, completed, newest_done_ms })
            }
            _ => None,
        };
        Ok(queues.into_iter().zip(counts.chunks(4)).zip(held).zip(newest).filter_map(depth).collect())
    }

    /// Counts the jobs that workers hold, in the order of `queues`. What was active when its worker died stays in the list, as
    /// long as no other worker looks; only its lock runs out (BullMQ 4 to 6, `extendLock`).
    async fn count_held(&self, queues: &[&String]) -> Result<Vec<u64>, SourceError> {
        let mut asked = redis::pipe();
        for queue in queues {
            asked.cmd("LRANGE").arg(self.keys(queue).of("active")).arg(0).arg(MOST_ACTIVE - 1);
        }
        let active: Vec<Vec<Vec<u8>>> = self.server.ask(&asked).await?;
        let mut asked = redis::pipe();
        for (queue, jobs) in queues.iter().zip(&active).filter(|(_, jobs)| !jobs.is_empty()) {
            let lock = |job: &Vec<u8>| self.keys(queue).of(&format!("{}:lock", String::from_utf8_lossy(job)));
            asked.cmd("EXISTS").arg(jobs.iter().map(lock).collect::<Vec<_>>());
        }
        let held: Vec<u64> = if asked.is_empty() { Vec::new() } else { self.server.ask(&asked).await? };
        let mut held = held.into_iter();
        Ok(active.iter().map(|jobs| if jobs.is_empty() { 0 } else { held.next().unwrap_or_default() }).collect())
    }

    /// Finds when the newest job that is kept was done or failed, in the order of `queues`: also where as many are kept as there
    /// may be.
    async fn find_newest_done(&self, queues: &[&String]) -> Result<Vec<i64>, SourceError> {
        let mut asked = redis::pipe();
        for queue in queues {
            for set in ["completed", "failed"] {
                asked.cmd("ZREVRANGE").arg(self.keys(queue).of(set)).arg(0).arg(0).arg("WITHSCORES");
            }
        }
        let newest: Vec<Vec<(Vec<u8>, f64)>> = self.server.ask(&asked).await?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch are whole and below 2^53")]
        let at_ms = |sets: &[Vec<(Vec<u8>, f64)>]| {
            sets.iter().flatten().map(|(_, score)| *score as i64).max().unwrap_or_default()
        };
        Ok(newest.chunks(2).map(at_ms).collect())
    }

    /// Counts the workers that are connected.
    pub(super) async fn find_workers(&self, queue: &str) -> Result<u64, SourceError> {
        let mut asked = redis::pipe();
        asked.cmd("CLIENT").arg("LIST");
        let (clients,): (String,) = self.server.ask(&asked).await?;
        Ok(workers(&clients, &self.prefix, queue))
    }

    /// By what the queue says happened, in the last minute of the server's clock.
    async fn find_done(&self, queue: &str, now_ms: u64) -> Result<u64, SourceError> {
        let known = self.done.lock().await.get(queue).copied();
        if let Some((_, done)) = known.filter(|(at, _)| at.elapsed() < GOOD) {
            return Ok(done);
        }
        let mut asked = redis::pipe();
        asked.cmd("XREVRANGE").arg(self.keys(queue).of("events")).arg("+").arg(now_ms.saturating_sub(MINUTE_MS));
        asked.arg("COUNT").arg(MOST_EVENTS);
        let (events,): (Vec<Event>,) = self.server.ask(&asked).await?;
        let is_done = |(_, fields): &&Event| matches!(fields.get("event"), Some(Value::BulkString(event)) if event.as_slice() == b"completed");
        let mut done = events.iter().filter(is_done).count() as u64;
        // What is more is gone already: as many in the time that is left.
        if events.len() == MOST_EVENTS
            && let Some(oldest_ms) = events.last().and_then(|(id, _)| id.split('-').next()?.parse::<u64>().ok())
        {
            done = done * MINUTE_MS / now_ms.saturating_sub(oldest_ms).clamp(1, MINUTE_MS);
        }
        self.done.lock().await.insert(queue.to_owned(), (Instant::now(), done));
        Ok(done)
    }
}

type Answer = (u64, u64, u64, bool, String, String, (u64, u64));

/// Counts connections of workers: they carry the queue's name (BullMQ 4 to 6, `Worker`), and some a name of their own.
fn workers(clients: &str, prefix: &str, queue: &str) -> u64 {
    let own = format!("{prefix}:{}", BASE64.encode(queue.as_bytes()));
    let is_worker = |line: &&str| {
        let name = line.split(' ').find_map(|field| field.strip_prefix("name="));
        let rest = name.and_then(|name| name.strip_prefix(&own));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(":w:"))
    };
    clients.lines().filter(is_worker).count() as u64
}

fn memory_ratio(memory: &str) -> Option<f64> {
    let number = |name: &str| memory.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let most = number("maxmemory:").filter(|most| *most > 0.0)?;
    Some(number("used_memory:")? / most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_told_by_the_names_of_their_connections() {
        let clients = "id=3 addr=a name=bull:bWFpbHM= db=0\nid=4 name=bull:bWFpbHM=:w:second x=y\nid=5 name=bull:bWFpbHM=:qe\n\
            id=6 name=bull:bWFpbHMy x=y\nid=7 name= x=y\n";
        assert_eq!(workers(clients, "bull", "mails"), 2);
        assert_eq!(workers(clients, "bull", "mails2"), 1);
        assert_eq!(workers(clients, "{bull}", "mails"), 0);
    }

    #[test]
    fn memory_is_a_share_of_what_there_may_be() {
        assert_eq!(memory_ratio("used_memory:80\r\nused_memory_human:80B\r\nmaxmemory:100\r\n"), Some(0.8));
        assert_eq!(memory_ratio("used_memory:80\r\nmaxmemory:0\r\n"), None);
    }
}
