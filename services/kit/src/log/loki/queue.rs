//! Lines that wait, bounded by the memory they take, and what of them is in the sender's hands.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::figures::Loss;
use super::push::Entry;
use crate::clock::{elapsed, later};

/// How far behind the last line's time the clock may be before it is believed to have been set back.
const STEP: Duration = Duration::from_secs(1);

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    changed: Notify,
    /// Bytes, at most.
    most: usize,
    /// Bytes of a batch.
    batch: usize,
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    /// Of lines that were taken out and are not delivered yet.
    held_bytes: usize,
    last: Timestamp,
    is_closed: bool,
}

/// Lines that were taken out; their bytes count until they are given back.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: usize,
}

impl Queue {
    pub(super) fn new(most: usize, batch: usize) -> Self {
        Self { inside: Mutex::default(), changed: Notify::new(), most, batch }
    }

    /// Puts in a line; its time becomes later than that of the line before, so that none is taken for another.
    pub(super) fn put(&self, mut entry: Entry) -> Result<(), Loss> {
        let bytes = entry.bytes();
        if entry.is_too_long() {
            return Err(Loss::TooLarge);
        }
        let mut inside = self.inside();
        let before = inside.bytes();
        if inside.is_closed {
            return Err(Loss::Undelivered);
        }
        if before + bytes > self.most {
            return Err(Loss::QueueFull);
        }
        entry.at = after(inside.last, entry.at);
        inside.last = entry.at;
        inside.waiting.push_back(entry);
        inside.waiting_bytes += bytes;
        let passes = |mark, before, after| before < mark && after >= mark;
        let waiting = inside.waiting_bytes;
        // Only what somebody waits for is told: the first line, a full batch, and that it is time for the disk.
        let is_news = waiting == bytes
            || passes(self.batch, waiting - bytes, waiting)
            || passes(self.mark(), before, before + bytes);
        drop(inside);
        if is_news {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Takes out the oldest lines, as many as are a batch.
    pub(super) fn take(&self) -> Taken {
        let mut inside = self.inside();
        let mut taken = Taken { entries: Vec::new(), bytes: 0 };
        while taken.bytes < self.batch
            && let Some(entry) = inside.waiting.pop_front()
        {
            taken.bytes += entry.bytes();
            taken.entries.push(entry);
        }
        inside.waiting_bytes -= taken.bytes;
        inside.held_bytes += taken.bytes;
        taken
    }

    /// Gives back bytes of lines that were taken out.
    pub(super) fn release(&self, bytes: usize) {
        let mut inside = self.inside();
        inside.held_bytes = inside.held_bytes.saturating_sub(bytes);
    }

    /// Takes no more lines.
    pub(super) fn close(&self) {
        self.inside().is_closed = true;
    }

    /// Returns how much memory waits, what was taken out included.
    pub(super) fn bytes(&self) -> usize {
        self.inside().bytes()
    }

    /// Waits until there is a line.
    pub(super) async fn begun(&self) {
        self.until(|inside| !inside.waiting.is_empty()).await;
    }

    /// Waits until there is a full batch.
    pub(super) async fn full(&self) {
        self.until(|inside| inside.waiting_bytes >= self.batch).await;
    }

    /// Waits until so much waits that it is time for the disk.
    pub(super) async fn pressed(&self) {
        self.until(|inside| inside.bytes() >= self.mark()).await;
    }

    /// Returns whether that is so.
    pub(super) fn is_pressed(&self) -> bool {
        self.bytes() >= self.mark()
    }

    /// Half of what there may be: the other half is for what comes until the disk has taken it.
    fn mark(&self) -> usize {
        self.most / 2
    }

    async fn until(&self, is_so: impl Fn(&Inside) -> bool) {
        while !is_so(&self.inside()) {
            self.changed.notified().await;
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn bytes(&self) -> usize {
        self.waiting_bytes + self.held_bytes
    }
}

/// Returns a time after `last`. A clock that was set back is believed.
fn after(last: Timestamp, at: Timestamp) -> Timestamp {
    if at > last || elapsed(at, last) > STEP { at } else { later(last, Duration::from_nanos(1)) }
}

#[cfg(test)]
mod tests {
    use super::super::push::tests::entry;
    use super::*;

    #[test]
    fn what_waits_and_what_is_held_is_bounded_and_the_newest_is_lost() {
        let one = entry(tracing::Level::INFO, 1, "line").bytes();
        let queue = Queue::new(4 * one, 2 * one);
        let put = |second| queue.put(entry(tracing::Level::INFO, second, "line"));
        assert_eq!([1, 1, 1].map(put), [Ok(()); 3]);
        let taken = queue.take();
        assert_eq!((taken.entries.len(), queue.bytes()), (2, 3 * one));
        assert_eq!([1, 1].map(put), [Ok(()), Err(Loss::QueueFull)]);
        queue.release(taken.bytes);
        assert_eq!([put(1), put(1), put(1)], [Ok(()), Ok(()), Err(Loss::QueueFull)]);
        queue.close();
        queue.take();
        assert_eq!(put(1), Err(Loss::Undelivered));
        let long = entry(tracing::Level::INFO, 1, &"x".repeat(super::super::push::MAX_LINE_BYTES + 1));
        assert_eq!(queue.put(long), Err(Loss::TooLarge));
    }

    #[test]
    fn no_line_has_the_time_of_another_but_a_clock_that_is_set_back_is_believed() {
        let at = |second, nanos| Timestamp::new(second, nanos).unwrap();
        for (last, now, expected) in [
            (at(9, 0), at(9, 1), at(9, 1)),
            (at(9, 0), at(9, 0), at(9, 1)),
            (at(9, 0), at(8, 1), at(9, 1)),
            (at(9, 0), at(7, 0), at(7, 0)),
        ] {
            assert_eq!(after(last, now), expected);
        }
    }
}
