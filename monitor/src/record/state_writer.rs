//! The task that writes state, and the handle others use: nothing is lost while the store fails, and nothing stored is
//! written over before it was read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::figures::{RETRY, WriterFigures};
use super::store::{StateBatch, StateStore, StoreError};

/// Verdict changes kept in memory while the store fails; older ones are dropped and counted.
const MAX_TRANSITIONS: usize = 10_000;

/// Handle to state: what is given is written, in order, as soon as the disk takes it.
pub struct State {
    pub(super) store: Arc<dyn StateStore>,
    pending: Mutex<Pending>,
    wake: Notify,
    /// How the writer does.
    pub figures: WriterFigures,
    /// Whether what is stored was read, or joined with what we have: before that nothing is written over it.
    joined: AtomicBool,
    /// The kinds of documents, and how a stored one and ours become one.
    join: (&'static [&'static str], Join),
}

/// Joins a stored document of a kind with ours.
pub type Join = fn(kind: &str, stored: &str, ours: &str) -> String;

#[derive(Default)]
struct Pending {
    batch: StateBatch,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

impl State {
    /// Wraps a store.
    pub fn new(store: Arc<dyn StateStore>, kinds: &'static [&'static str], join: Join) -> Self {
        Self {
            store,
            pending: Mutex::default(),
            wake: Notify::new(),
            figures: WriterFigures::default(),
            joined: AtomicBool::new(false),
            join: (kinds, join),
        }
    }

    /// Tells that everything stored is known: from now on ours is the newest.
    pub fn is_joined(&self) {
        self.joined.store(true, Ordering::SeqCst);
    }

    /// Returns the store, for reading.
    pub fn store(&self) -> &dyn StateStore {
        &*self.store
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives something to write. Never waits.
    pub fn put(&self, batch: StateBatch) {
        if batch.is_empty() {
            return;
        }
        self.add(&mut self.pending(), batch);
        self.wake.notify_one();
    }

    /// Gives something to write and waits until it would survive a power cut.
    ///
    /// # Errors
    /// When the commit failed; it is tried again all the same.
    pub async fn put_durably(&self, batch: StateBatch) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut pending = self.pending();
            self.add(&mut pending, batch);
            pending.waiting.push(sender);
        }
        self.wake.notify_one();
        receiver.await.unwrap_or_else(|_gone| Err(StoreError("the writer has stopped".to_owned())))
    }

    fn add(&self, pending: &mut Pending, batch: StateBatch) {
        pending.batch.extend(batch);
        let excess = pending.batch.transitions.len().saturating_sub(MAX_TRANSITIONS);
        if excess > 0 {
            pending.batch.transitions.drain(..excess);
            self.figures.dropped(excess);
        }
    }

    /// Writes until `stop`, then once more.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let stopping = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                () = self.wake.notified(), if failures == 0 => false,
                () = tokio::time::sleep(RETRY.delay(failures, rand::random())), if failures > 0 => false,
            };
            failures = if self.flush().await { 0 } else { failures + 1 };
            if stopping {
                return;
            }
        }
    }

    /// Writes what is pending; puts it back when that failed.
    async fn flush(&self) -> bool {
        let Pending { mut batch, waiting } = std::mem::take(&mut *self.pending());
        if batch.is_empty() && waiting.is_empty() {
            return true;
        }
        let result = self.save(&mut batch).await;
        let (is_ok, message) = (result.is_ok(), result.err().map(|error| error.0));
        for waiter in waiting {
            let answer = message.clone().map_or(Ok(()), |message| Err(StoreError(message)));
            let _may_have_gone = waiter.send(answer);
        }
        if !is_ok {
            let mut pending = self.pending();
            let newer = std::mem::replace(&mut pending.batch, batch);
            self.add(&mut pending, newer);
        }
        is_ok
    }

    async fn save(&self, batch: &mut StateBatch) -> Result<(), StoreError> {
        if !self.joined.load(Ordering::SeqCst) {
            self.join_stored(batch).await?;
        }
        self.figures.timed("state", self.store.save(batch)).await
    }

    /// Joins what is stored into a batch, the first time that can be read.
    async fn join_stored(&self, batch: &mut StateBatch) -> Result<(), StoreError> {
        for kind in self.join.0 {
            for (key, stored) in self.figures.timed("state", self.store.documents(kind)).await? {
                if let Some(Some(ours)) = batch.documents.get_mut(&(*kind, key)) {
                    *ours = self.join.1(kind, &stored, ours);
                }
            }
        }
        self.is_joined();
        Ok(())
    }
}
