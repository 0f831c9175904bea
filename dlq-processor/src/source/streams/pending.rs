//! What is pending in a group, read in parts and without being claimed.

use std::time::Instant;

use jiff::Timestamp;

use super::super::{Cursor, Episode, Found, PAGE, Page, SourceError};
use super::entry::{Entry, found_of};
use super::entry_id::EntryId;
use super::keys::Group;
use super::settings::Standing;
use super::{RedisStreams, WHOLE};

/// Pending entries of one call of a script, at most: it takes a server 2 ms (4 µs each, Redis 7.0.15 on two shared cores).
const PART: usize = 500;
/// Of these the payload is looked for, at most: a server copies it, and does nothing else meanwhile.
const LOOKED: usize = 100;
/// Pending entries of one list, at most: the next one goes on there.
const READ: usize = 50_000;

/// Id, consumer, milliseconds that it is idle, deliveries, what is known of its payload, and its root.
type Row = (String, Vec<u8>, u64, u64, u8, String);

/// What is known of a payload that was trimmed from its stream.
const TRIMMED: u8 = 2;

impl RedisStreams {
    pub(super) async fn list_dead(&self, queue: &str, from: Cursor) -> Result<Page, SourceError> {
        let Some(group) = Group::of(queue) else { return Ok(Page { next: from, ..Page::default() }) };
        let mut at = self.watch().begin(queue, EntryId::of(from), Instant::now());
        let (mut episodes, mut read, mut is_end) = (Vec::new(), 0, false);
        while !is_end && read < READ && episodes.len() < PAGE {
            let Some((is_last, rows)) = self.look(&group, at).await? else {
                // It will not be among the queues any more.
                self.watch().forget(queue);
                return Ok(Page { next: at.cursor(), ..Page::default() });
            };
            read += rows.len();
            let is_whole = self.take(queue, &rows, &mut at, &mut episodes);
            is_end = is_last && is_whole;
        }
        let mut watch = self.watch();
        if is_end {
            watch.end(queue, at, Instant::now());
        }
        Ok(Page { episodes, next: at.cursor(), failed: watch.dead(queue) })
    }

    async fn look(&self, group: &Group<'_>, at: EntryId) -> Result<Option<(bool, Vec<Row>)>, SourceError> {
        let dead_after = &self.settings.dead_after;
        let mut calls = redis::pipe();
        calls.cmd("EVALSHA").arg(self.scripts.look.hash()).arg(2).arg(group.stream).arg(group.copies());
        calls.arg(&group.name).arg(at.to_string()).arg(PART);
        calls.arg(dead_after.deliveries).arg(dead_after.idle_ms()).arg(LOOKED);
        let (found,) = self.server.run(&self.scripts.look, &calls).await?;
        Ok(found)
    }

    /// Takes the dead among some entries, and returns whether all of these were looked at: a page has its bounds.
    fn take(&self, queue: &str, rows: &[Row], at: &mut EntryId, episodes: &mut Vec<Episode>) -> bool {
        let (mut watch, now_ms) = (self.watch(), Timestamp::now().as_millisecond());
        for (id, consumer, idle_ms, deliveries, payload, root) in rows {
            if episodes.len() == PAGE {
                return false;
            }
            // One of a time that has no number here comes after all others.
            let Some(id) = EntryId::parse(id) else { continue };
            let consumers = watch.note(queue, id, consumer);
            let standing = Standing { deliveries: *deliveries, idle_ms: *idle_ms, consumers, put_in_at_ms: id.ms };
            // Without its payload nobody can do anything with it.
            let is_dead = *payload == TRIMMED || self.settings.dead_after.is_met(standing, now_ms);
            watch.read(queue, id, is_dead);
            // The script has found the root of whatever may be dead.
            if is_dead && !root.is_empty() {
                episodes.push(Episode { queue: queue.to_owned(), job: root.clone(), failed_at_ms: id.ms });
            }
            *at = id.next();
        }
        true
    }

    pub(super) async fn read_dead(&self, episodes: &[Episode]) -> Result<Vec<Option<Found>>, SourceError> {
        let mut found = Vec::with_capacity(episodes.len());
        for part in episodes.chunks(WHOLE) {
            let groups: Vec<Option<Group<'_>>> = part.iter().map(|episode| Group::of(&episode.queue)).collect();
            let mut calls = redis::pipe();
            for (episode, group) in part.iter().zip(&groups) {
                if let Some(group) = group {
                    self.call(&mut calls, &self.scripts.read, group, episode);
                }
            }
            let mut entries: Vec<Option<Entry>> = Vec::new();
            if !calls.is_empty() {
                entries = self.server.run(&self.scripts.read, &calls).await?;
            }
            let mut entries = entries.into_iter();
            for (episode, group) in part.iter().zip(&groups) {
                let entry = group.as_ref().and_then(|_| entries.next().flatten());
                found.push(entry.and_then(|entry| self.judge(episode, entry)));
            }
        }
        Ok(found)
    }

    /// None of what somebody has taken up again.
    fn judge(&self, episode: &Episode, entry: Entry) -> Option<Found> {
        let id = EntryId::parse(&entry.id)?;
        let consumers = self.watch().consumers(&episode.queue, id, &entry.consumer);
        let Entry { deliveries, idle_ms, .. } = entry;
        let standing = Standing { deliveries, idle_ms, consumers, put_in_at_ms: id.ms };
        let is_dead = self.settings.dead_after.is_met(standing, Timestamp::now().as_millisecond());
        (entry.fields.is_empty() || is_dead).then(|| found_of(episode, entry, consumers))
    }
}
