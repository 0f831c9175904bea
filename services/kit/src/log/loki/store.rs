//! What waits, in its order: on the disk, then in memory. When memory is half full the oldest goes to the disk, if there is a
//! folder for it; a disk that fails or is full costs nobody anything but that memory fills up.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::figures::{Figures, Loss};
use super::push::{Batch, Labels};
use super::queue::Queue;
use super::settings::SpillSettings;
use super::spill::Spill;

/// Longest time for a megabyte on a disk that one can count on.
const DISK: Duration = Duration::from_secs(3);
/// How long a disk is left alone after it failed.
const REST: Duration = Duration::from_secs(30);

/// What waits.
pub(super) struct Store {
    queue: Arc<Queue>,
    figures: Arc<Figures>,
    labels: Labels,
    spill: Option<Spill>,
    /// Brings it back from a disk that did not answer in time.
    late: Option<oneshot::Receiver<Spill>>,
    /// When the disk may be tried again.
    rested: Option<Instant>,
    is_full: bool,
    /// Batches that were to go to the disk, which did not take them; older than what is in the queue.
    kept: VecDeque<Hand>,
}

/// The oldest batch, while it is being sent. If anything is on the disk, it is there, too.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) batch: Batch,
    /// Lines that have had no answer.
    pub(super) left: u64,
    /// Of the queue's memory.
    bytes: usize,
    is_on_disk: bool,
}

impl Store {
    pub(super) fn new(queue: Arc<Queue>, figures: Arc<Figures>, labels: Labels) -> Self {
        Self { queue, figures, labels, spill: None, late: None, rested: None, is_full: false, kept: VecDeque::new() }
    }

    /// Looks what an earlier process has left on the disk.
    pub(super) async fn open(&mut self, settings: SpillSettings) {
        let folder = settings.folder.display().to_string();
        match on_thread(move || Spill::open(&settings)).await {
            Some(Ok((spill, lost))) => {
                self.figures.lost(Loss::Unreadable, lost);
                self.figures.on_disk(spill.bytes());
                if spill.bytes() > 0 || lost > 0 {
                    tracing::info!(
                        folder,
                        bytes = spill.bytes(),
                        lost,
                        "log lines of an earlier process wait for Loki"
                    );
                }
                self.spill = Some(spill);
            }
            Some(Err(error)) => tracing::warn!(folder, %error, "log lines wait for Loki in memory only"),
            None => {
                tracing::warn!(folder, error = "the disk does not answer", "log lines wait for Loki in memory only")
            }
        }
    }

    /// Returns the oldest batch, unless all that waits is in the queue.
    pub(super) async fn oldest(&mut self) -> Option<Hand> {
        self.take_back();
        if self.spill.as_ref().is_some_and(|spill| !spill.is_empty())
            && let Some((batch, lost)) = self.on_disk(|spill| Ok(spill.front())).await
        {
            self.figures.lost(Loss::Unreadable, lost);
            if let Some(batch) = batch {
                return Some(Hand { left: batch.lines, batch, bytes: 0, is_on_disk: true });
            }
        }
        self.kept.pop_front()
    }

    /// Returns the oldest batch of the queue, if there is anything in it.
    pub(super) fn oldest_of_queue(&self) -> Option<Hand> {
        let taken = self.queue.take();
        let batch = (!taken.entries.is_empty()).then(|| Batch::of(&self.labels, taken.entries))?;
        Some(Hand { left: batch.lines, batch, bytes: taken.bytes, is_on_disk: false })
    }

    /// Forgets a batch that need not wait any more.
    pub(super) async fn ended(&mut self, hand: Hand) {
        self.queue.release(hand.bytes);
        if hand.is_on_disk {
            let lines = hand.batch.lines;
            let lost = self.on_disk(move |spill| spill.accept(lines)).await.unwrap_or_default();
            self.figures.lost(Loss::Unreadable, lost);
            self.is_full = false;
        }
    }

    /// Returns whether the disk may take something.
    pub(super) fn can_relieve(&mut self) -> bool {
        self.take_back();
        self.spill.is_some() && !self.is_full && self.rested.is_none_or(|at| at <= Instant::now())
    }

    /// Brings the oldest of memory to the disk until there is room again; what is being sent first, to keep the order.
    pub(super) async fn relieve(&mut self, hand: &mut Hand) {
        if !self.bring(hand).await {
            return;
        }
        while self.queue.is_pressed()
            && let Some(mut next) = self.kept.pop_front().or_else(|| self.oldest_of_queue())
        {
            if !self.bring(&mut next).await {
                return self.kept.push_front(next);
            }
        }
    }

    /// Brings to the disk what is left at the end of the program, and counts what is not on it.
    pub(super) async fn finish(&mut self, hand: Option<Hand>) {
        self.queue.close();
        let until = Instant::now() + DISK;
        let (mut next, mut lost) = (hand, 0);
        while let Some(mut hand) = next.or_else(|| self.kept.pop_front()).or_else(|| self.oldest_of_queue()) {
            if !(Instant::now() < until && lost == 0 && self.bring(&mut hand).await) {
                lost += hand.left;
                self.queue.release(hand.bytes);
            }
            next = None;
        }
        self.figures.lost(Loss::Undelivered, lost);
        if lost > 0 {
            tracing::warn!(lines = lost, "the end came before Loki took these log lines");
        }
    }

    /// Brings a batch to the disk, unless it is there; false if it stays in memory.
    async fn bring(&mut self, hand: &mut Hand) -> bool {
        if hand.is_on_disk {
            return true;
        }
        if !self.can_relieve() {
            return false;
        }
        let batch = hand.batch.clone();
        let has_room = self.on_disk(move |spill| spill.append(&batch)).await;
        self.is_full = has_room == Some(false);
        if has_room != Some(true) {
            return false;
        }
        self.queue.release(std::mem::take(&mut hand.bytes));
        hand.is_on_disk = true;
        true
    }

    /// Does something with the files. A disk that does not answer is not asked again before it has: its thread has them.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Spill) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        let mut spill = self.spill.take()?;
        let (give_back, given_back) = oneshot::channel();
        let working = on_thread(move || {
            let done = work(&mut spill);
            let _nobody_waits = give_back.send(spill);
            done
        });
        let Some(done) = working.await else {
            tracing::error!("the disk does not answer: log lines wait for Loki in memory only");
            self.late = Some(given_back);
            return None;
        };
        self.late = Some(given_back);
        self.take_back();
        match done {
            Ok(done) => {
                self.rested = None;
                Some(done)
            }
            Err(error) => {
                if self.rested.is_none() {
                    tracing::warn!(%error, "log lines cannot wait for Loki on the disk; they wait in memory");
                }
                self.rested = Some(Instant::now() + REST);
                None
            }
        }
    }
}

impl Store {
    /// Has the files again once the disk has answered.
    fn take_back(&mut self) {
        let Some(spill) = self.late.as_mut().and_then(|late| late.try_recv().ok()) else { return };
        self.figures.on_disk(spill.bytes());
        (self.spill, self.late) = (Some(spill), None);
    }
}

/// Does what blocks on a thread of its own, which holds up neither the end of the program nor whoever waits here.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let name = "loki-spill".to_owned();
    std::thread::Builder::new().name(name).spawn(move || drop(tell.send(work()))).ok()?;
    timeout(DISK, told).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_does_not_answer_is_not_waited_for() {
        let (answers, answer) = std::sync::mpsc::channel::<()>();
        let began = Instant::now();
        assert_eq!(on_thread(move || answer.recv().is_ok()).await, None);
        assert!(began.elapsed() >= DISK);
        drop(answers);
    }
}
