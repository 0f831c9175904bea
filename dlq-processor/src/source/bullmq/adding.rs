//! Jobs that are added: what was told of in a queue that holds nothing but what is dead is put back where it failed, under its
//! own id if nobody has that; and what goes into another queue, or with something else in it, becomes another job.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::redis::kept::{Hash, field, part};
use super::super::{Episode, GUARD, Order, Other, Put, Sought, SourceError, State};
use super::BullMq;
use super::orders::put_of;
use super::taken::{MARK, OF_ORIGINAL, Original, is_same, number};

/// A job that is to be added.
pub(super) struct Addition<'a> {
    /// Where to.
    pub(super) queue: &'a str,
    /// The id that it is to have, unless somebody has it.
    pub(super) wanted: Option<&'a str>,
    /// All its fields.
    pub(super) fields: &'a Hash,
}

/// Returns the id under which an entry's job is to be put back, empty if none is known; none if it is no entry's.
pub(super) fn mark(kept: &Hash) -> Option<&[u8]> {
    field(kept, MARK)
}

impl BullMq {
    /// Puts back what an entry told of. If the job itself is still dead, it is that which is put back; if it is under way, or was
    /// done, nothing is.
    pub(super) async fn put_told(&self, order: &Order, kept: &Hash) -> Result<Put, SourceError> {
        let Some(wanted) = mark(kept).and_then(|id| str::from_utf8(id).ok()) else { return Ok(Put::Refused) };
        let Episode { queue, job, .. } = &order.episode;
        let keys = self.keys(queue);
        let mut asked = redis::pipe();
        asked.cmd("GET").arg(keys.guard(&order.id)).cmd("HMGET").arg(keys.of(job)).arg(&OF_ORIGINAL);
        asked.cmd("ZSCORE").arg(keys.of("failed")).arg(job);
        let (carried_out, original, failed): (Option<String>, Original, Option<f64>) = self.server.ask(&asked).await?;
        match carried_out {
            Some(under) if under == order.id => return Ok(Put::Already),
            Some(_) => return Ok(Put::Anew),
            None => {}
        }
        let name = String::from_utf8_lossy(field(kept, "name").unwrap_or_default());
        if !wanted.is_empty() && is_same(&original, &order.episode, &name, field(kept, "data").unwrap_or_default()) {
            let failed_at_ms = number(original.get(6).and_then(Option::as_deref));
            let Some(failed_at_ms) = failed_at_ms.filter(|_| failed.is_some()) else { return Ok(Put::NotFailed) };
            let put = self.put_original(order, failed_at_ms).await?;
            if put != Put::Gone {
                return Ok(put);
            }
        }
        let fields: Hash = kept.iter().filter(|(name, _)| name != MARK.as_bytes()).cloned().collect();
        let wanted = Some(wanted).filter(|id| !id.is_empty());
        self.add(order, &Addition { queue, wanted, fields: &fields }).await
    }

    /// Puts back the job itself, of the failure that it has now.
    async fn put_original(&self, order: &Order, failed_at_ms: i64) -> Result<Put, SourceError> {
        let episode = Episode { failed_at_ms, ..order.episode.clone() };
        let mut calls = redis::pipe();
        self.call_redrive(&mut calls, &Order { episode, ..order.clone() }, &Hash::new());
        Ok(match self.run_redrive(&calls).await?.first() {
            // It was put back by somebody else meanwhile.
            Some(Put::Fenced) | None => Put::NotFailed,
            Some(put) => *put,
        })
    }

    /// One after the other: after an error those before it are done, and are not done again.
    pub(super) async fn make_others(&self, others: &[Other]) -> Result<Vec<Put>, SourceError> {
        let mut done = Vec::with_capacity(others.len());
        for Other { order, kept, queue, data } in others {
            let fields = part(kept).and_then(|kept| other(&kept, data.as_deref(), Timestamp::now()));
            done.push(match fields {
                Some(_) if self.is_given(order, queue).await? => Put::Anew,
                Some(_) if let Some(put) = self.find_obstacle(order, kept).await? => put,
                Some(fields) => self.add(order, &Addition { queue, wanted: None, fields: &fields }).await?,
                None => Put::Refused,
            });
        }
        Ok(done)
    }

    /// Whether an order for another job was carried out.
    async fn is_given(&self, order: &Order, queue: &str) -> Result<bool, SourceError> {
        let mut asked = redis::pipe();
        asked.cmd("EXISTS").arg(self.keys(queue).guard(&order.id));
        let (is_given,): (bool,) = self.server.ask(&asked).await?;
        Ok(is_given)
    }

    /// Says why another job would do the same once more, if the dead one does not wait for that any more: somebody else has put
    /// it back. Of one that has gone, nobody has.
    async fn find_obstacle(&self, order: &Order, kept: &[u8]) -> Result<Option<Put>, SourceError> {
        let Episode { queue, job, failed_at_ms } = &order.episode;
        let is_told = part(kept).is_some_and(|kept| mark(&kept).is_some());
        Ok(match self.find_states(&[Sought::of(queue, job)]).await?.first() {
            Some(State::UnderWay | State::Completed) => Some(Put::NotFailed),
            Some(State::Failed(at_ms)) if at_ms != failed_at_ms && !is_told => Some(Put::Fenced),
            _ => None,
        })
    }

    /// Adds a job, once for each order.
    pub(super) async fn add(&self, order: &Order, addition: &Addition<'_>) -> Result<Put, SourceError> {
        const KEYS: [&str; 8] = ["wait", "paused", "active", "prioritized", "pc", "meta", "marker", "events"];
        let (keys, new) = (self.keys(addition.queue), order.new_job());
        let wanted = addition.wanted.unwrap_or_default();
        let mut calls = redis::pipe();
        calls.cmd("EVALSHA").arg(self.add.hash()).arg(KEYS.len() + 5).arg(keys.of(wanted)).arg(keys.of(&new));
        for key in KEYS {
            calls.arg(keys.of(key));
        }
        let guard_ms = u64::try_from(GUARD.as_millis()).unwrap_or(u64::MAX);
        calls.arg(keys.guard(&order.id)).arg(keys.of("id")).arg(keys.epoch());
        calls.arg(wanted).arg(&new).arg(&order.id).arg(guard_ms).arg(self.epoch.load(Ordering::Relaxed));
        calls.arg(if order.has_all_tries { "1" } else { "0" });
        for (field, value) in addition.fields {
            calls.arg(field).arg(value);
        }
        let (answer,): (i64,) = self.server.run(&self.add, &calls).await?;
        put_of(answer)
    }
}

/// Options that are about the job itself rather than about how it is done: its id, its parent, when it comes again, and which
/// others it stands for (BullMQ 4 to 6, `JobOptions`; short names as they are in Redis).
const OF_ITSELF: [&str; 10] = [
    "jobId",
    "repeat",
    "repeatJobKey",
    "prevMillis",
    "parent",
    "delay",
    "deduplication",
    "debounce",
    "de",
    "timestamp",
];

/// Returns the fields of a job that is put in now in place of another; none if there is nothing to make it of.
fn other(kept: &Hash, data: Option<&[u8]>, now: Timestamp) -> Option<Hash> {
    let field = |name: &str| field(kept, name);
    let options = field("opts").and_then(|options| serde_json::from_slice::<Map<String, Value>>(options).ok());
    let mut options = options.unwrap_or_default();
    OF_ITSELF.iter().for_each(|name| drop(options.remove(*name)));
    let (options, now_ms) = (Value::Object(options).to_string(), now.as_millisecond().to_string());
    let mut fields: Vec<(&str, &[u8])> = vec![
        ("name", field("name")?),
        ("data", data.or(field("data"))?),
        ("opts", options.as_bytes()),
        ("timestamp", now_ms.as_bytes()),
        ("delay", b"0"),
        ("priority", field("priority").unwrap_or(b"0")),
    ];
    // The script refuses a part of a flow, and looks whether workers are of BullMQ 4.
    fields.extend(["parentKey", "attemptsMade"].into_iter().filter_map(|name| Some((name, field(name)?))));
    Some(fields.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect())
}
