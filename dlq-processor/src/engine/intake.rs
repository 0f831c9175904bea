//! Failures on their way from a source to the ledger: read as soon as they are told, written as fast as the ledger takes them.
//! While it takes none, as many are held as there is room for, and no more are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::source::Found;

/// What is held, at most, in KiB; one batch that is larger is held alone.
const ROOM_KIB: u32 = 16 << 10;
/// Batches that are held, at most.
const BATCHES: usize = 256;
/// Failures that are written at once, if so many wait; and one batch that goes beyond.
const AT_ONCE: usize = 1000;
/// What a failure takes besides its payload and its texts, in bytes.
const OWN_BYTES: usize = 512;

/// Holds what was read and is not written yet.
pub(super) struct Intake {
    room: Arc<Semaphore>,
    sender: mpsc::Sender<Batch>,
    receiver: Mutex<mpsc::Receiver<Batch>>,
    /// Held while some are read and handed over: what was read first is written first.
    reading: Mutex<()>,
    handed_over: AtomicU64,
    /// Failures that were handed over and are not written.
    waiting: AtomicI64,
    written: watch::Sender<u64>,
}

struct Batch {
    found: Vec<Found>,
    _room: OwnedSemaphorePermit,
}

/// What is written at once. Its room is free again when this is dropped.
pub(super) struct Held(Vec<Batch>);

impl Held {
    /// Returns the failures, in the order in which they were read.
    pub(super) fn found(&self) -> Vec<&Found> {
        self.0.iter().flat_map(|batch| &batch.found).collect()
    }
}

impl Intake {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(BATCHES);
        Self {
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            sender,
            receiver: Mutex::new(receiver),
            reading: Mutex::default(),
            handed_over: AtomicU64::new(0),
            waiting: AtomicI64::new(0),
            written: watch::Sender::new(0),
        }
    }

    /// Waits until nobody else reads. Who holds this reads, hands over, and then knows of what could not be read that all that
    /// was read before is handed over.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().await
    }

    /// Hands over what was read, as soon as there is room for it.
    ///
    /// # Cancel safety
    /// Either all of it is handed over or none.
    pub(super) async fn hand_over(&self, found: Vec<Found>) {
        if found.is_empty() {
            return;
        }
        let kib = u32::try_from(found.iter().map(bytes).sum::<usize>() / 1024).unwrap_or(u32::MAX);
        // Neither is ever closed: this holds both ends.
        let Ok(room) = self.room.clone().acquire_many_owned(kib.clamp(1, ROOM_KIB)).await else { return };
        let Ok(place) = self.sender.reserve().await else { return };
        self.handed_over.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(failures(&found), Ordering::Relaxed);
        place.send(Batch { found, _room: room });
    }

    /// Says how many batches were handed over so far.
    pub(super) fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// Says how many failures were handed over and are not written.
    pub(super) fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether so many batches are written.
    pub(super) fn is_written(&self, batches: u64) -> bool {
        *self.written.borrow() >= batches
    }

    /// Waits until everything that was handed over so far is written.
    pub(super) async fn all_is_written(&self) {
        let batches = self.handed_over();
        // It is never closed: this holds it.
        let mut written = self.written.subscribe();
        let _written = written.wait_for(|written| *written >= batches).await;
    }

    /// Waits for what is to be written next. One writer alone may ask.
    pub(super) async fn next(&self) -> Held {
        let mut receiver = self.receiver.lock().await;
        let mut batches: Vec<Batch> = receiver.recv().await.into_iter().collect();
        let mut failures = batches.iter().map(|batch| batch.found.len()).sum::<usize>();
        while failures < AT_ONCE
            && let Ok(batch) = receiver.try_recv()
        {
            failures += batch.found.len();
            batches.push(batch);
        }
        Held(batches)
    }

    /// Notes that it is written.
    pub(super) fn note_written(&self, held: Held) {
        let batches = held.0.len() as u64;
        self.waiting.fetch_sub(held.0.iter().map(|batch| failures(&batch.found)).sum(), Ordering::Relaxed);
        drop(held);
        self.written.send_modify(|written| *written += batches);
    }
}

fn failures(found: &[Found]) -> i64 {
    i64::try_from(found.len()).unwrap_or(i64::MAX)
}

fn bytes(found: &Found) -> usize {
    let texts = [found.reason.as_deref(), found.stack.as_deref()].into_iter().flatten().map(str::len).sum::<usize>();
    OWN_BYTES + found.data.len() + found.kept.len() + texts
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::source::Episode;

    fn found(job: &str, bytes: usize) -> Found {
        Found {
            episode: Episode { queue: "mails".to_owned(), job: job.to_owned(), failed_at_ms: 1 },
            name: "job".to_owned(),
            data: vec![b'x'; bytes],
            kept: Vec::new(),
            reason: None,
            stack: None,
            attempts: 1,
            stalls: 0,
            is_in_flow: false,
            put_in_at_ms: None,
            asked_by: None,
            found_in: None,
        }
    }

    fn jobs(held: &Held) -> Vec<&str> {
        held.found().into_iter().map(|found| found.episode.job.as_str()).collect()
    }

    #[tokio::test]
    async fn what_waits_is_written_together_and_in_order() {
        let intake = Intake::new();
        assert!(intake.is_written(intake.handed_over()));
        for job in ["a", "b"] {
            intake.hand_over(vec![found(job, 10)]).await;
        }
        intake.hand_over(Vec::new()).await;
        assert_eq!(intake.handed_over(), 2, "nothing is no batch");
        let held = intake.next().await;
        assert_eq!(jobs(&held), ["a", "b"]);
        assert_eq!((intake.all_is_written().now_or_never(), intake.waiting()), (None, 2));
        intake.note_written(held);
        assert_eq!(intake.waiting(), 0);
        intake.all_is_written().await;
        assert!(intake.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_waits_and_what_is_larger_than_all_is_held_alone() {
        let intake = Intake::new();
        intake.hand_over(vec![found("small", 10)]).await;
        let large = || vec![found("large", 40 << 20)];
        assert_eq!(intake.hand_over(large()).now_or_never(), None);
        intake.note_written(intake.next().await);
        intake.hand_over(large()).await;
        assert_eq!(intake.hand_over(vec![found("small", 10)]).now_or_never(), None);
        assert_eq!(jobs(&intake.next().await), ["large"]);
    }
}
