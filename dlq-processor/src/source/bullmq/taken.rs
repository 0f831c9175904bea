//! Queues that hold nothing but what is dead, as the original has one: their jobs tell of failures in other queues. They are
//! read wherever they wait, and taken out once the ledger has them; nobody works there, and no lock is ever taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::redis::kept::{Hash, field, join};
use super::super::{CLOCKS_DIFFER_MS, Cursor, Episode, Found, PAGE, Page, SourceError};
use super::entry::{self, Entry};
use super::job::asked_by;
use super::{BullMq, WHOLE};

/// What the original calls its own.
pub const DEAD_LETTER_QUEUE: &str = "dead-letter-queue";
/// New entries that one look reads, at most: the rest comes with the next one.
const NEW: usize = 1000;
/// Marks what is kept of a job that was told of elsewhere; no job has such a field.
pub(super) const MARK: &str = "dlq-taken";
/// Lists that jobs wait in, and sets, and the set of those that failed.
const LISTS: [&str; 2] = ["wait", "paused"];
const SETS: [&str; 3] = ["prioritized", "delayed", "failed"];
/// What is asked of the job that an entry tells of.
pub(super) const OF_ORIGINAL: [&str; 7] = ["timestamp", "name", "data", "opts", "priority", "parentKey", "finishedOn"];

/// Where an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) queue: String,
    pub(super) job: String,
    /// When it was put in, in milliseconds since the epoch: what fences it.
    pub(super) put_in_at_ms: i64,
}

/// What was listed of one such queue.
#[derive(Default)]
pub(super) struct Shelf {
    /// How the queue was when all of it was listed.
    seen: Option<Seen>,
    entries: Arc<Entries>,
    places: BTreeMap<Episode, Vec<Place>>,
}

/// What each of its jobs tells of, and when it was put in.
type Entries = HashMap<String, (i64, Episode)>;

/// What changes whenever a job comes, goes or moves: how many are where, and the last event.
type Seen = (Vec<u64>, Vec<(String, redis::Value)>);

/// The values of [`OF_ORIGINAL`].
pub(super) type Original = Vec<Option<Vec<u8>>>;

impl BullMq {
    /// Whether a queue holds nothing but what is dead.
    pub(super) fn is_taken(&self, queue: &str) -> bool {
        self.taken.iter().any(|taken| taken == queue)
    }

    /// Lists all that such a queue holds, if it goes on one page; else from where it is asked.
    pub(super) async fn list_taken(&self, queue: &str, from: Cursor) -> Result<Page, SourceError> {
        self.note_listed(queue).await;
        let seen = self.see(queue).await?;
        let known = {
            let mut shelves = self.shelves.lock().await;
            let shelf = shelves.entry(queue.to_owned()).or_default();
            (shelf.seen.as_ref() != Some(&seen)).then(|| shelf.entries.clone())
        };
        // Nobody waits who asks for places meanwhile: they stand where they stood.
        let filled = match known {
            Some(known) => Some(self.fill(queue, &known, &seen).await?),
            None => None,
        };
        let mut shelves = self.shelves.lock().await;
        let shelf = shelves.entry(queue.to_owned()).or_default();
        if let Some(filled) = filled {
            *shelf = filled;
        }
        let from = if shelf.places.len() < PAGE { Cursor::default() } else { from };
        let mut episodes: Vec<&Episode> = shelf.places.keys().collect();
        episodes.sort_by_key(|episode| episode.failed_at_ms);
        let is_before = |episode: &&&Episode| episode.failed_at_ms < from.failed_at_ms;
        let skip = episodes.iter().filter(is_before).count() + from.read;
        let episodes = episodes.into_iter().skip(skip).take(PAGE).cloned().collect();
        Ok(Page::of(episodes, from, seen.0.iter().sum()))
    }

    async fn see(&self, queue: &str) -> Result<Seen, SourceError> {
        let (keys, mut asked) = (self.keys(queue), redis::pipe());
        for list in LISTS {
            asked.cmd("LLEN").arg(keys.of(list));
        }
        for set in SETS {
            asked.cmd("ZCARD").arg(keys.of(set));
        }
        asked.cmd("XREVRANGE").arg(keys.of("events")).arg("+").arg("-").arg("COUNT").arg(1);
        let (wait, paused, prioritized, delayed, failed, newest) = self.server.ask(&asked).await?;
        Ok((vec![wait, paused, prioritized, delayed, failed], newest))
    }

    /// Reads what is new. What is known already is not read again.
    async fn fill(&self, queue: &str, known: &Entries, seen: &Seen) -> Result<Shelf, SourceError> {
        let jobs = self.find_jobs(queue).await?;
        let mut entries = Entries::with_capacity(jobs.len());
        let is_new = |(job, put_in_at_ms): &&(String, i64)| match known.get(job) {
            Some(entry) if entry.0 == *put_in_at_ms => {
                entries.insert(job.clone(), entry.clone());
                false
            }
            _ => true,
        };
        let new: Vec<_> = jobs.iter().filter(is_new).collect();
        let is_all = new.len() <= NEW;
        let new: Vec<&(String, i64)> = new.into_iter().take(NEW).collect();
        for part in new.chunks(WHOLE) {
            let mut asked = redis::pipe();
            for (job, _) in part {
                asked.cmd("HGET").arg(self.keys(queue).of(job)).arg("data");
            }
            let data: Vec<Option<Vec<u8>>> = self.server.ask(&asked).await?;
            for ((job, put_in_at_ms), data) in part.iter().zip(data) {
                let told = entry::read(&data.unwrap_or_default(), queue).ok();
                entries.insert(job.clone(), (*put_in_at_ms, episode(queue, job, *put_in_at_ms, told.as_ref())));
            }
        }
        let mut places = BTreeMap::<Episode, Vec<Place>>::new();
        for (job, (put_in_at_ms, episode)) in &entries {
            let place = Place { queue: queue.to_owned(), job: job.clone(), put_in_at_ms: *put_in_at_ms };
            places.entry(episode.clone()).or_default().push(place);
        }
        Ok(Shelf { seen: is_all.then(|| seen.clone()), entries: Arc::new(entries), places })
    }

    /// Finds all jobs that wait or failed, and when each was put in.
    async fn find_jobs(&self, queue: &str) -> Result<Vec<(String, i64)>, SourceError> {
        let (keys, mut asked) = (self.keys(queue), redis::pipe());
        for list in LISTS {
            asked.cmd("LRANGE").arg(keys.of(list)).arg(0).arg(-1);
        }
        for set in SETS {
            asked.cmd("ZRANGE").arg(keys.of(set)).arg(0).arg(-1);
        }
        let jobs: Vec<Vec<Vec<u8>>> = self.server.ask(&asked).await?;
        let text = |job: Vec<u8>| String::from_utf8(job).ok();
        let mut jobs: Vec<String> = jobs.into_iter().flatten().filter_map(text).collect();
        jobs.sort();
        jobs.dedup();
        let mut found = Vec::with_capacity(jobs.len());
        for part in jobs.chunks(PAGE) {
            let mut asked = redis::pipe();
            for job in part {
                asked.cmd("HGET").arg(keys.of(job)).arg("timestamp");
            }
            let times: Vec<Option<Vec<u8>>> = self.server.ask(&asked).await?;
            // What wakes workers of BullMQ 4 has none.
            let put_in =
                part.iter().zip(&times).filter_map(|(job, time)| Some((job.clone(), number(time.as_deref())?)));
            found.extend(put_in);
        }
        Ok(found)
    }

    /// Returns where the entries are that tell of these failures.
    pub(super) async fn places(&self, episodes: &[Episode]) -> Vec<Vec<Place>> {
        let shelves = self.shelves.lock().await;
        let places =
            |episode| shelves.values().filter_map(|shelf| shelf.places.get(episode)).flatten().cloned().collect();
        episodes.iter().map(places).collect()
    }

    /// Reads what entries tell of, in their order, with what is still there of the jobs themselves.
    pub(super) async fn read_taken(&self, entries: &[(&Episode, &Place)]) -> Result<Vec<Option<Found>>, SourceError> {
        let mut found = Vec::with_capacity(entries.len());
        for part in entries.chunks(WHOLE) {
            let mut asked = redis::pipe();
            for (episode, place) in part {
                asked.cmd("HGETALL").arg(self.keys(&place.queue).of(&place.job));
                asked.cmd("HMGET").arg(self.keys(&episode.queue).of(&episode.job)).arg(&OF_ORIGINAL);
            }
            let answers: Vec<redis::Value> = self.server.ask(&asked).await?;
            for ((episode, place), both) in part.iter().zip(answers.chunks_exact(2)) {
                let (hash, original): (Hash, Original) = redis::from_redis_value(redis::Value::Array(both.to_vec()))
                    .map_err(|error| SourceError::Odd(error.to_string()))?;
                let is_it = number(field(&hash, "timestamp")) == Some(place.put_in_at_ms);
                found.push(is_it.then(|| found_of(episode, place, &hash, &original)));
            }
        }
        Ok(found)
    }
}

/// What is no entry is a dead letter of the queue that it is in.
fn episode(queue: &str, job: &str, put_in_at_ms: i64, told: Option<&Entry>) -> Episode {
    let own = || Episode { queue: queue.to_owned(), job: job.to_owned(), failed_at_ms: put_in_at_ms };
    told.map_or_else(own, |entry| Episode {
        queue: entry.queue.clone(),
        job: entry.job.clone().unwrap_or_else(|| format!("{queue}:{job}")),
        failed_at_ms: entry.failed_at_ms.unwrap_or(put_in_at_ms),
    })
}

fn found_of(episode: &Episode, place: &Place, hash: &Hash, original: &Original) -> Found {
    let field = |name: &str| field(hash, name);
    let text = |name| String::from_utf8_lossy(field(name).unwrap_or_default()).into_owned();
    let data = field("data").unwrap_or_default();
    let mut found = Found {
        episode: episode.clone(),
        name: text("name"),
        data: data.to_vec(),
        kept: Vec::new(),
        reason: None,
        stack: None,
        attempts: 0,
        stalls: 0,
        is_in_flow: field("parentKey").is_some(),
        put_in_at_ms: Some(place.put_in_at_ms),
        asked_by: None,
        found_in: None,
    };
    let entry = match entry::read(data, &place.queue) {
        Ok(entry) => entry,
        Err(why) => return Found { kept: join(hash), reason: Some(why), ..found },
    };
    found.found_in = Some(place.queue.clone());
    found.name = entry.name.unwrap_or(found.name);
    (found.data, found.reason, found.attempts) = (entry.data, entry.reason, entry.attempts);
    let original = Some(original).filter(|it| entry.job.is_some() && is_same(it, episode, &found.name, &found.data));
    let of_original = |at: usize| original.and_then(|original| original.get(at)?.as_deref());
    found.is_in_flow = of_original(5).is_some();
    found.asked_by = of_original(3).and_then(asked_by);
    found.put_in_at_ms = number(of_original(0)).or(found.put_in_at_ms);
    let put_in = found.put_in_at_ms.unwrap_or_default().to_string();
    let mut kept: Hash = vec![
        (MARK.into(), entry.job.map_or_else(Vec::new, String::into_bytes)),
        (b"name".to_vec(), found.name.clone().into_bytes()),
        (b"data".to_vec(), found.data.clone()),
        (b"opts".to_vec(), of_original(3).unwrap_or(b"{}").to_vec()),
        (b"timestamp".to_vec(), put_in.into_bytes()),
        (b"delay".to_vec(), b"0".to_vec()),
        (b"priority".to_vec(), of_original(4).unwrap_or(b"0").to_vec()),
    ];
    kept.extend(of_original(5).map(|parent| (b"parentKey".to_vec(), parent.to_vec())));
    found.kept = join(&kept);
    found
}

/// Whether a job that is there is the one that an entry tells of. Another one may have got its id: it was put in later.
pub(super) fn is_same(original: &Original, episode: &Episode, name: &str, data: &[u8]) -> bool {
    let field = |at: usize| original.get(at).and_then(Option::as_deref);
    let Some(put_in_at_ms) = number(field(0)) else { return false };
    let is_alike = field(1) == Some(name.as_bytes()) && field(2) == Some(data);
    put_in_at_ms <= episode.failed_at_ms
        || is_alike && put_in_at_ms <= episode.failed_at_ms.saturating_add(CLOCKS_DIFFER_MS)
}

pub(super) fn number(text: Option<&[u8]>) -> Option<i64> {
    str::from_utf8(text?).ok()?.parse().ok()
}
