//! When to look: what the streams `events` of queues say, and how far they were heard. What happens between two waits is
//! heard by the second one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::{SourceError, Told};
use super::BullMq;

/// The last entry of each queue's stream that was heard.
#[derive(Default)]
pub(super) struct Heard(Mutex<HashMap<String, String>>);

impl Heard {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// Returns the queues that were heard so far.
    pub(super) fn queues(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }
}

impl BullMq {
    /// Has whatever happens from now on in queues that were not heard before end the next wait.
    pub(super) async fn begin_to_hear(&self, queues: &[&str]) -> Result<(), SourceError> {
        let unheard: Vec<&str> = {
            let heard = self.heard.lock();
            queues.iter().copied().filter(|queue| !heard.contains_key(*queue)).collect()
        };
        for (queue, newest) in self.find_newest(&unheard).await? {
            self.heard.lock().entry(queue.to_owned()).or_insert(newest);
        }
        Ok(())
    }

    pub(super) async fn wait_for_events(&self, queues: &[String], patience: Duration) -> Result<(), SourceError> {
        let queues: Vec<&str> = queues.iter().map(String::as_str).collect();
        self.begin_to_hear(&queues).await?;
        let mut asked = redis::pipe();
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1);
        asked.cmd("XREAD").arg("COUNT").arg(1).arg("BLOCK").arg(patience_ms).arg("STREAMS");
        for queue in &queues {
            asked.arg(self.keys(queue).of("events"));
        }
        {
            let heard = self.heard.lock();
            for queue in &queues {
                asked.arg(heard.get(*queue).map_or(NOTHING, String::as_str));
            }
        }
        let (streams,): (Option<Vec<(String, redis::Value)>>,) = self.server.wait(&asked, patience).await?;
        let streams: Vec<String> = streams.unwrap_or_default().into_iter().map(|(stream, _entries)| stream).collect();
        let has_news = |queue: &&str| streams.contains(&self.keys(queue).of("events"));
        let queues: Vec<&str> = queues.into_iter().filter(has_news).collect();
        // All that is in them by now: whoever waited looks after this, and would only be woken once for each entry.
        for (queue, newest) in self.find_newest(&queues).await? {
            self.heard.lock().insert(queue.to_owned(), newest);
        }
        Ok(())
    }

    /// Reads what failed after an entry of the stream.
    pub(super) async fn find_told(&self, queue: &str, after: Option<&str>) -> Result<Told, SourceError> {
        let Some(after) = after else {
            let newest = self.find_newest(&[queue]).await?;
            return Ok(Told { place: newest.into_iter().next().map(|(_, newest)| newest), ..Told::default() });
        };
        let events = self.keys(queue).of("events");
        let (mut told, mut asked) = (Told { place: Some(after.to_owned()), ..Told::default() }, redis::pipe());
        asked.cmd("XRANGE").arg(&events).arg("-").arg("+").arg("COUNT").arg(1);
        asked.cmd("XRANGE").arg(&events).arg(format!("({after}")).arg("+").arg("COUNT").arg(EVENTS);
        let (oldest, read): (Vec<(String, redis::Value)>, Vec<Event>) = self.server.ask(&asked).await?;
        // What was told last is gone itself: so may be what came after it.
        told.has_gap =
            oldest.first().is_some_and(|(oldest, _)| is_later(oldest, after)) && !read.is_empty() && after != NOTHING;
        told.place = read.last().map(|(id, _)| id.clone()).or(told.place);
        for (_, fields) in read {
            if fields.get("event").is_some_and(|event| event == b"failed") {
                let job = fields.get("jobId").map(|job| String::from_utf8_lossy(job).into_owned());
                told.failed.extend(job);
            }
        }
        Ok(told)
    }

    /// Finds the last entry of each stream.
    async fn find_newest<'q>(&self, queues: &[&'q str]) -> Result<Vec<(&'q str, String)>, SourceError> {
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = redis::pipe();
        for queue in queues {
            asked.cmd("XREVRANGE").arg(self.keys(queue).of("events")).arg("+").arg("-").arg("COUNT").arg(1);
        }
        let newest: Vec<Vec<(String, redis::Value)>> = self.server.ask(&asked).await?;
        let newest = newest.into_iter().map(|entries| entries.into_iter().next());
        let newest = newest.map(|entry| entry.map_or_else(|| NOTHING.to_owned(), |(id, _fields)| id));
        Ok(queues.iter().copied().zip(newest).collect())
    }
}

/// An entry of the stream.
type Event = (String, HashMap<String, Vec<u8>>);

/// Entries that are read at once, at most: as many as BullMQ keeps unless told otherwise.
const EVENTS: usize = 10_000;

/// Compares entries by their ids, `ms-sequence`.
fn is_later(id: &str, than: &str) -> bool {
    let parts = |id: &str| {
        let (ms, sequence) = id.split_once('-')?;
        Some((ms.parse::<u64>().ok()?, sequence.parse::<u64>().ok()?))
    };
    parts(id) > parts(than)
}

/// Before the first entry.
const NOTHING: &str = "0-0";
