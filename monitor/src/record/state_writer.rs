//! The task that writes state, and the handle others use: nothing is lost while the store fails, and nothing stored is
//! written over before it was read.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::figures::{RETRY, WriterFigures};
use super::folder::Folder;
use super::store::{StateBatch, StateStore, StoreError};

/// How often the folder is looked after.
const TEND_EVERY: Duration = Duration::from_secs(60);
/// Verdict changes, and audit rows, kept in memory while the store fails; older ones are dropped and counted.
const MAX_TRANSITIONS: usize = 10_000;
/// Events of incidents kept in memory while the store fails; further ones are dropped and counted. Incidents and
/// deliveries are not dropped: of each only the newest state is kept.
const MAX_EVENTS: usize = 100_000;

/// A place in the order of writing: what was given with it, or before, is on the disk once [`State::is_durable`] says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticket(u64);

/// Handle to state: what is given is written, in order, as soon as the disk takes it.
pub struct State {
    pub(super) store: Arc<dyn StateStore>,
    pending: Mutex<Pending>,
    wake: Notify,
    /// Where it lies, if that is a folder of ours.
    folder: Option<Arc<Folder>>,
    /// Everything up to here is on the disk.
    durable: watch::Sender<Ticket>,
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
    given: Ticket,
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
            folder: None,
            durable: watch::Sender::default(),
            figures: WriterFigures::default(),
            joined: AtomicBool::new(false),
            join: (kinds, join),
        }
    }

    /// Looks after `folder`: keeps room for the moment its disk is full, and knows what was set aside in it.
    #[must_use]
    pub(super) fn with_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(Arc::new(Folder::load(folder)));
        self
    }

    /// Returns the names of damaged files that were set aside and are still there.
    pub fn damaged(&self) -> Vec<String> {
        self.folder.as_ref().map(|folder| folder.damaged()).unwrap_or_default()
    }

    /// Looks after the folder every minute until `stop`. A disk that hangs delays nothing but this.
    pub async fn tend(&self, stop: CancellationToken) {
        let Some(folder) = &self.folder else { return };
        let minutely = async {
            loop {
                tokio::time::sleep(TEND_EVERY).await;
                let folder = folder.clone();
                let _panicked = tokio::task::spawn_blocking(move || folder.tend()).await;
            }
        };
        let _stopped = stop.run_until_cancelled(minutely).await;
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
    pub fn put(&self, batch: StateBatch) -> Ticket {
        let mut pending = self.pending();
        if batch.is_empty() {
            return pending.given;
        }
        pending.given.0 += 1;
        self.add(&mut pending, batch);
        self.wake.notify_one();
        pending.given
    }

    /// Returns whether everything up to this ticket would survive a power cut.
    pub fn is_durable(&self, ticket: Ticket) -> bool {
        *self.durable.borrow() >= ticket
    }

    /// Waits until that is so.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    pub async fn durable(&self, ticket: Ticket) {
        let mut durable = self.durable.subscribe();
        // The sender lives as long as we do.
        let _never_closed = durable.wait_for(|done| *done >= ticket).await;
    }

    /// Gives something to write and waits until it would survive a power cut.
    ///
    /// # Errors
    /// When the commit failed; it is tried again all the same.
    pub fn put_durably(&self, batch: StateBatch) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut pending = self.pending();
            pending.given.0 += 1;
            self.add(&mut pending, batch);
            pending.waiting.push(sender);
        }
        self.wake.notify_one();
        async { receiver.await.unwrap_or_else(|_gone| Err(StoreError("the writer has stopped".to_owned()))) }
    }

    fn add(&self, pending: &mut Pending, batch: StateBatch) {
        pending.batch.extend(batch);
        let excess = pending.batch.transitions.len().saturating_sub(MAX_TRANSITIONS);
        if excess > 0 {
            pending.batch.transitions.drain(..excess);
            self.figures.dropped(excess);
        }
        let excess = pending.batch.audit.len().saturating_sub(MAX_TRANSITIONS);
        if excess > 0 {
            pending.batch.audit.drain(..excess);
            self.figures.dropped(excess);
        }
        while pending.batch.events.len() > MAX_EVENTS {
            let Some(any) = pending.batch.events.keys().next().copied() else { break };
            pending.batch.events.remove(&any);
            self.figures.dropped(1);
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
        let (mut batch, waiting, given) = {
            let mut pending = self.pending();
            (std::mem::take(&mut pending.batch), std::mem::take(&mut pending.waiting), pending.given)
        };
        if batch.is_empty() && waiting.is_empty() {
            return true;
        }
        let result = self.save(&mut batch).await;
        let result = match result {
            // sqlite.org/rescode.html: SQLITE_FULL says "database or disk is full".
            Err(error) if error.0.contains("disk is full") && self.give_up_ballast() => self.save(&mut batch).await,
            other => other,
        };
        let (is_ok, message) = (result.is_ok(), result.err().map(|error| error.0));
        for waiter in waiting {
            let answer = message.clone().map_or(Ok(()), |message| Err(StoreError(message)));
            let _may_have_gone = waiter.send(answer);
        }
        if is_ok {
            self.durable.send_replace(given);
        } else {
            let mut pending = self.pending();
            let newer = std::mem::replace(&mut pending.batch, batch);
            self.add(&mut pending, newer);
        }
        is_ok
    }

    fn give_up_ballast(&self) -> bool {
        let had_some = self.folder.as_ref().is_some_and(|folder| folder.give_up_ballast());
        if had_some {
            tracing::error!("the disk is full: the room kept for that is in use now; free some");
        }
        had_some
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
