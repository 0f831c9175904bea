//! What the streams `events` of queues tell (docs.bullmq.io, "Events"): which jobs failed, and how far that was heard.

use std::collections::HashMap;
use std::time::Duration;

use super::super::{Episode, Place, Places, SourceError, Told};
use super::BullMq;

/// An entry of the stream.
type Event = (String, HashMap<String, Vec<u8>>);
/// A stream and some of its entries.
type Stream = (String, Vec<Event>);

/// Entries of all streams that are read at once, at most: those of jobs that were done hold what they returned. And of each at
/// least so many.
const EVENTS: usize = 1000;
const FEWEST: usize = 10;
/// Before the first entry.
const NOTHING: &str = "0-0";

impl BullMq {
    /// What fails in a queue that holds nothing but what is dead is not what failed.
    pub(super) async fn find_told(&self, places: &Places, patience: Duration) -> Result<Vec<Told>, SourceError> {
        let own = places.iter().filter(|(queue, _)| !self.is_taken(queue));
        let places: Places = own.map(|(queue, place)| (queue.clone(), place.clone())).collect();
        if places.is_empty() {
            tokio::time::sleep(patience).await;
            return Ok(Vec::new());
        }
        self.find_told_by(&places, patience).await
    }

    /// Of a queue that is heard from its end on it is told at once where that is.
    async fn find_told_by(&self, places: &Places, patience: Duration) -> Result<Vec<Told>, SourceError> {
        let unheard: Vec<&str> =
            places.iter().filter(|(_, place)| **place == Place::End).map(|(queue, _)| queue.as_str()).collect();
        if !unheard.is_empty() {
            let told = |(queue, place): (&str, String)| Told {
                queue: queue.to_owned(),
                failed: Vec::new(),
                place,
                has_gap: false,
                is_all: true,
            };
            return Ok(self.find_newest(&unheard).await?.into_iter().map(told).collect());
        }
        let (mut told, most) = (Vec::new(), (EVENTS / places.len()).max(FEWEST));
        for (queue, events) in self.wait_for_events(places, most, patience).await? {
            let Some((place, _)) = events.last() else { continue };
            let failed = events.iter().filter_map(|event| failure(&queue, event)).collect();
            let is_all = events.len() < most;
            told.push(Told { place: place.clone(), queue, failed, has_gap: false, is_all });
        }
        self.find_gaps(places, &mut told).await?;
        Ok(told)
    }

    /// Waits for entries, of each stream so many at most.
    async fn wait_for_events(
        &self,
        places: &Places,
        most: usize,
        patience: Duration,
    ) -> Result<Vec<Stream>, SourceError> {
        let mut asked = redis::pipe();
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1);
        asked.cmd("XREAD").arg("COUNT").arg(most).arg("BLOCK").arg(patience_ms).arg("STREAMS");
        let streams: HashMap<String, &String> =
            places.keys().map(|queue| (self.keys(queue).of("events"), queue)).collect();
        for queue in places.keys() {
            asked.arg(self.keys(queue).of("events"));
        }
        for place in places.values() {
            asked.arg(id_of(place));
        }
        let (told,): (Option<Vec<Stream>>,) = self.server.wait(&asked, patience).await?;
        let of_queue = |(stream, events): Stream| Some((streams.get(&stream)?.to_string(), events));
        Ok(told.unwrap_or_default().into_iter().filter_map(of_queue).collect())
    }

    /// Where what was told last is gone itself, so may be what came after it.
    async fn find_gaps(&self, places: &Places, told: &mut [Told]) -> Result<(), SourceError> {
        if told.is_empty() {
            return Ok(());
        }
        let mut asked = redis::pipe();
        for Told { queue, .. } in told.iter() {
            asked.cmd("XRANGE").arg(self.keys(queue).of("events")).arg("-").arg("+").arg("COUNT").arg(1);
        }
        let oldest: Vec<Vec<(String, redis::Value)>> = self.server.ask(&asked).await?;
        for (told, oldest) in told.iter_mut().zip(oldest) {
            let after = places.get(&told.queue).map_or(NOTHING, id_of);
            told.has_gap = after != NOTHING && oldest.first().is_some_and(|(oldest, _)| is_later(oldest, after));
        }
        Ok(())
    }

    /// Finds the last entry of each stream.
    async fn find_newest<'q>(&self, queues: &[&'q str]) -> Result<Vec<(&'q str, String)>, SourceError> {
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

fn id_of(place: &Place) -> &str {
    match place {
        Place::At(id) => id,
        Place::Start | Place::End => NOTHING,
    }
}

/// What an entry tells of a failure, if it does.
fn failure(queue: &str, (id, fields): &Event) -> Option<Episode> {
    fields.get("event").filter(|event| *event == b"failed")?;
    let job = String::from_utf8_lossy(fields.get("jobId")?).into_owned();
    let failed_at_ms = i64::try_from(parts(id)?.0).unwrap_or(i64::MAX);
    Some(Episode { queue: queue.to_owned(), job, failed_at_ms })
}

/// Milliseconds and sequence of an entry's id.
fn parts(id: &str) -> Option<(u64, u64)> {
    let (ms, sequence) = id.split_once('-')?;
    Some((ms.parse().ok()?, sequence.parse().ok()?))
}

fn is_later(id: &str, than: &str) -> bool {
    parts(id) > parts(than)
}
