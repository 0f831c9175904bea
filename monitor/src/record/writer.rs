//! The two tasks that write, and the handles others use: taking news never waits, a failing store is retried with
//! back-off while memory keeps the newest.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kit::backoff::Backoff;
use kit::db::OpenError;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::file::READ_DEADLINE;
use super::history::SqliteHistory;
use super::points::Point;
use super::rollup::{Rollup, Row, roll};
use super::state::SqliteState;
use super::store::{HistoryStore, Horizon, ServiceHour, StateBatch, StateStore, StoreError, Tail};
use crate::probe::CheckId;

/// Fresh points reach the disk this often. A kill -9 loses at most this much history, never state.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Points kept in memory while the store fails; older ones are dropped and counted. About 3 MB.
const MAX_PENDING: usize = 100_000;
/// Points after which the tail is sealed before its hour is over. About 5 MB.
const MAX_TAIL: usize = 200_000;
/// Deadline of one store call.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// How a writer does, for metrics and health.
#[derive(Debug, Default)]
pub struct WriterFigures {
    commits: AtomicU64,
    commit_ns: AtomicU64,
    failures: AtomicU64,
    dropped: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl WriterFigures {
    /// Returns commits, their total time, failed commits, and news that was dropped.
    pub fn read(&self) -> (u64, Duration, u64, u64) {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        (load(&self.commits), Duration::from_nanos(load(&self.commit_ns)), load(&self.failures), load(&self.dropped))
    }

    /// Returns why the last commit failed, or `None` if it did not.
    pub fn error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    async fn timed<T>(&self, what: &str, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let began = Instant::now();
        let late = || StoreError(format!("no answer from the disk within {} s", CALL_DEADLINE.as_secs()));
        let result = tokio::time::timeout(CALL_DEADLINE, call).await.unwrap_or_else(|_elapsed| Err(late()));
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(_) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.commit_ns.fetch_add(took, Ordering::Relaxed);
                if last.take().is_some() {
                    tracing::info!("{what} is written again");
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if last.replace(error.0.clone()).is_none() {
                    tracing::error!(error = error.0, "{what} cannot be written; going on in memory");
                }
            }
        }
        result
    }
}

/// Answers about the past have a deadline of their own.
async fn in_time<T>(question: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_elapsed| StoreError("no answer from the disk in time".to_owned());
    tokio::time::timeout(READ_DEADLINE, question).await.map_err(late)?
}

/// News for history.
#[derive(Debug)]
pub enum HistoryNews {
    /// An observation.
    Point(CheckId, Point),
    /// A service had a verdict for some time that ended at `to_ms`.
    Verdict {
        /// The service.
        service: Arc<str>,
        /// The verdict's word.
        verdict: &'static str,
        /// End of the time, milliseconds since the epoch.
        to_ms: i64,
        /// Its length, in milliseconds.
        ms: i64,
    },
}

/// Handle to history: takes news, answers questions about the past.
pub struct History {
    store: Arc<dyn HistoryStore>,
    memory: Mutex<Memory>,
    wake: Notify,
    /// How the writer does.
    pub figures: WriterFigures,
    /// Whether what an earlier monitor left was read: before that nothing may be written over it.
    loaded: AtomicBool,
}

#[derive(Default)]
struct Memory {
    series: HashMap<String, u32>,
    pending: VecDeque<(CheckId, Point)>,
    tail: Tail,
    tail_points: usize,
    /// Not yet stored.
    hours: HashMap<(Arc<str>, i64, &'static str), i64>,
    /// Service → start of day → verdict → milliseconds, for the last 90 days.
    days: HashMap<String, BTreeMap<i64, HashMap<String, i64>>>,
}

impl History {
    /// Wraps a store; what it holds is read by [`History::load`].
    pub fn new(store: Arc<dyn HistoryStore>) -> Self {
        Self {
            store,
            memory: Mutex::default(),
            wake: Notify::new(),
            figures: WriterFigures::default(),
            loaded: AtomicBool::new(false),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes news. Never waits; when the store cannot keep up, the oldest unwritten points go and are counted.
    pub fn take(&self, news: HistoryNews) {
        let mut memory = self.memory();
        match news {
            HistoryNews::Point(check, point) => {
                if memory.pending.len() >= MAX_PENDING {
                    memory.pending.pop_front();
                    self.figures.dropped(1);
                }
                memory.pending.push_back((check, point));
                if memory.pending.len() == MAX_PENDING / 2 {
                    self.wake.notify_one();
                }
            }
            HistoryNews::Verdict { service, verdict, to_ms, ms } => {
                let from_ms = to_ms - ms;
                let day = memory.days.entry(service.to_string()).or_default();
                *day.entry(from_ms - from_ms.rem_euclid(DAY_MS)).or_default().entry(verdict.to_owned()).or_default() +=
                    ms;
                *memory.hours.entry((service, from_ms - from_ms.rem_euclid(HOUR_MS), verdict)).or_default() += ms;
            }
        }
    }

    /// Returns, by start of day, how long the service had which verdict, for at most the last 90 days.
    pub fn days(&self, service: &str) -> BTreeMap<i64, HashMap<String, i64>> {
        self.memory().days.get(service).cloned().unwrap_or_default()
    }

    /// Returns points of a check with `from_ms <= at < to_ms`, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn points(&self, check: &CheckId, from_ms: i64, to_ms: i64) -> Result<Vec<Point>, StoreError> {
        let (series, mut newest) = self.newest(check);
        let mut points = match series {
            Some(series) => in_time(self.store.points(series, from_ms, to_ms)).await?,
            None => Vec::new(),
        };
        newest.retain(|point| (from_ms..to_ms).contains(&point.at_ms));
        points.append(&mut newest);
        Ok(points)
    }

    /// Returns roll-ups of a check by their start; `span_ms` is 60 000 or 3 600 000.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn rollups(
        &self,
        check: &CheckId,
        span_ms: i64,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<BTreeMap<i64, Rollup>, StoreError> {
        let (series, newest) = self.newest(check);
        let mut row: Row = match series {
            Some(series) => in_time(self.store.rollups(series, span_ms, from_ms, to_ms)).await?,
            None => Row::new(),
        };
        for (start, rollup) in roll(&newest, span_ms) {
            if (from_ms..to_ms).contains(&start) {
                row.entry(start).or_default().merge(&rollup);
            }
        }
        Ok(row)
    }

    /// What is not sealed yet: on disk as fresh rows, or only in memory.
    fn newest(&self, check: &CheckId) -> (Option<u32>, Vec<Point>) {
        let memory = self.memory();
        let series = memory.series.get(&check.to_string()).copied();
        let tail = series.and_then(|series| memory.tail.points.get(&series)).into_iter().flatten();
        let pending = memory.pending.iter().filter(|(id, _)| id == check).map(|(_, point)| point);
        (series, tail.chain(pending).copied().collect())
    }

    /// Writes until `stop`, then once more.
    pub async fn run(&self, keep: (Duration, Duration, Duration), stop: CancellationToken) {
        let mut failures = 0;
        let mut sealed_hour = Timestamp::now().as_millisecond() / HOUR_MS;
        loop {
            let wait = if failures == 0 { FLUSH_EVERY } else { RETRY.delay(failures, rand::random()) };
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = self.wake.notified() => false,
                () = tokio::time::sleep(wait) => false,
            };
            failures = if self.flush().await.is_ok() { 0 } else { failures + 1 };
            let hour = Timestamp::now().as_millisecond() / HOUR_MS;
            let is_full = self.memory().tail_points > MAX_TAIL;
            if failures == 0 && !stopping && (hour != sealed_hour || is_full) && self.seal(keep).await.is_ok() {
                sealed_hour = hour;
            }
            if stopping {
                return;
            }
        }
    }

    /// Gives a service's past to another name, on disk and in memory.
    pub async fn rename_service(&self, old: &str, new: &str) -> Result<(), StoreError> {
        self.figures.timed("history", self.store.rename_service(old, new)).await?;
        let series = self.figures.timed("history", self.store.known_series()).await?;
        let mut memory = self.memory();
        memory.series = series;
        if !memory.days.contains_key(new)
            && let Some(days) = memory.days.remove(old)
        {
            memory.days.insert(new.to_owned(), days);
        }
        Ok(())
    }

    /// Reads what an earlier monitor left; questions about the past are answered from then on. Tried again before every
    /// write until it works.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(&self) -> Result<(), StoreError> {
        let from_ms = Timestamp::now().as_millisecond() - 90 * DAY_MS;
        let read = async {
            Ok((self.store.tail().await?, self.store.service_hours(from_ms).await?, self.store.known_series().await?))
        };
        let (tail, hours, series) = self.figures.timed("history", read).await?;
        let mut memory = self.memory();
        memory.series = series;
        memory.tail_points = tail.points.values().map(Vec::len).sum();
        memory.tail = tail;
        for hour in hours {
            let day = hour.hour_ms - hour.hour_ms.rem_euclid(DAY_MS);
            let days = memory.days.entry(hour.service).or_default();
            *days.entry(day).or_default().entry(hour.verdict).or_default() += hour.ms;
        }
        self.loaded.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Writes what is pending.
    async fn flush(&self) -> Result<(), StoreError> {
        if !self.loaded.load(Ordering::SeqCst) {
            self.load().await?;
        }
        let (pending, hours, unknown) = {
            let memory = self.memory();
            let names = memory.pending.iter().map(|(check, _)| check.to_string());
            let mut unknown: Vec<String> = names.filter(|name| !memory.series.contains_key(name)).collect();
            unknown.sort();
            unknown.dedup();
            (memory.pending.iter().cloned().collect::<Vec<_>>(), memory.hours.clone(), unknown)
        };
        if !unknown.is_empty() {
            let ids = self.figures.timed("history", self.store.series(&unknown)).await?;
            self.memory().series.extend(ids);
        }
        if !pending.is_empty() {
            self.append(&pending).await?;
        }
        if !hours.is_empty() {
            let rows: Vec<ServiceHour> = hours
                .iter()
                .map(|((service, hour_ms, verdict), ms)| ServiceHour {
                    service: service.to_string(),
                    hour_ms: *hour_ms,
                    verdict: (*verdict).to_owned(),
                    ms: *ms,
                })
                .collect();
            self.figures.timed("history", self.store.add_service_hours(&rows)).await?;
            let mut memory = self.memory();
            for (key, written) in hours {
                if let Some(ms) = memory.hours.get_mut(&key) {
                    *ms -= written;
                }
            }
            memory.hours.retain(|_, ms| *ms > 0);
        }
        Ok(())
    }

    async fn append(&self, pending: &[(CheckId, Point)]) -> Result<(), StoreError> {
        let (seq, rows) = {
            let memory = self.memory();
            let id = |check: &CheckId| memory.series.get(&check.to_string()).copied();
            let rows: Vec<(u32, Point)> =
                pending.iter().filter_map(|(check, point)| Some((id(check)?, *point))).collect();
            (memory.tail.next_seq, rows)
        };
        self.figures.timed("history", self.store.append(seq, &rows)).await?;
        let mut memory = self.memory();
        // What overflowed meanwhile is gone from the front already.
        let written = pending.len().min(memory.pending.len());
        memory.pending.drain(..written);
        memory.tail.next_seq = seq + 1;
        memory.tail_points += rows.len();
        for (series, point) in rows {
            memory.tail.points.entry(series).or_default().push(point);
        }
        Ok(())
    }

    async fn seal(&self, (raw, minutes, hours): (Duration, Duration, Duration)) -> Result<(), StoreError> {
        let tail = self.memory().tail.clone();
        let now_ms = Timestamp::now().as_millisecond();
        let before = |length: Duration| now_ms - i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4);
        let keep = Horizon { raw_ms: before(raw), minutes_ms: before(minutes), hours_ms: before(hours) };
        self.figures.timed("history", self.store.seal(&tail, keep)).await?;
        let mut memory = self.memory();
        memory.tail.points.clear();
        memory.tail_points = 0;
        let oldest_day = now_ms - 91 * DAY_MS;
        memory.days.values_mut().for_each(|days| days.retain(|day, _| *day >= oldest_day));
        Ok(())
    }
}

/// Verdict changes kept in memory while the store fails; older ones are dropped and counted.
const MAX_TRANSITIONS: usize = 10_000;

/// Handle to state: what is given is written, in order, as soon as the disk takes it.
pub struct State {
    store: Arc<dyn StateStore>,
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
        let Pending { batch, waiting } = std::mem::take(&mut *self.pending());
        if batch.is_empty() && waiting.is_empty() {
            return true;
        }
        let (mut batch, waiting) = (batch, waiting);
        let result = async {
            if !self.joined.load(Ordering::SeqCst) {
                self.join_stored(&mut batch).await?;
            }
            self.figures.timed("state", self.store.save(&batch)).await
        };
        let result = result.await;
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
}

impl State {
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

/// Both stores of a monitor.
#[derive(Clone)]
pub struct Stores {
    /// Observations.
    pub history: Arc<History>,
    /// Everything that must not be lost.
    pub state: Arc<State>,
}

impl Stores {
    /// Lets go of both files.
    pub async fn close(&self) {
        self.history.store.close().await;
        self.state.store.close().await;
    }

    /// Gives each service that says what it was called before its past.
    pub async fn rename(&self, renames: &[(Arc<str>, Arc<str>)]) {
        for (old, new) in renames {
            let history = self.history.rename_service(old, new).await;
            let state = self.state.store().rename_service(old, new).await;
            if let Err(error) = history.and(state) {
                tracing::error!(%error, old = &**old, new = &**new, "the past under the old name could not be taken over");
            }
        }
    }

    /// Opens both files in the monitor's folder.
    ///
    /// # Errors
    /// Only when a later program wrote one of them.
    pub async fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_joining(folder, &[], |_, _, ours| ours.to_owned()).await
    }

    /// As [`Stores::open`]; should stored documents of these kinds not be readable at first, `join` makes one of a stored
    /// one and ours later, before anything is written over it.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub async fn open_joining(folder: &Path, kinds: &'static [&'static str], join: Join) -> Result<Self, OpenError> {
        let history = SqliteHistory::open(&folder.join("history.db")).await?;
        let state = SqliteState::open(&folder.join("state.db")).await?;
        Ok(Self {
            history: Arc::new(History::new(Arc::new(history))),
            state: Arc::new(State::new(Arc::new(state), kinds, join)),
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::super::points::Mark;
    use super::*;

    /// A disk that can be full.
    #[derive(Default)]
    struct Disk {
        full: AtomicBool,
        saved: Mutex<Vec<StateBatch>>,
    }

    impl StateStore for Disk {
        fn save<'a>(&'a self, batch: &'a StateBatch) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async move {
                if self.full.load(Ordering::SeqCst) {
                    return Err(StoreError("disk full".to_owned()));
                }
                let copy = StateBatch { documents: batch.documents.clone(), transitions: batch.transitions.clone() };
                self.saved.lock().unwrap().push(copy);
                Ok(())
            })
        }

        fn documents<'a>(&'a self, _: &'static str) -> BoxFuture<'a, Result<HashMap<String, String>, StoreError>> {
            Box::pin(async { Ok(HashMap::new()) })
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {})
        }

        fn rename_service<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async { Ok(()) })
        }

        fn transitions<'a>(
            &'a self,
            _: Option<&'a str>,
            _: u32,
        ) -> BoxFuture<'a, Result<Vec<super::super::store::Transition>, StoreError>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    fn document(value: &str) -> StateBatch {
        StateBatch {
            documents: [(("check", "a/b".to_owned()), Some(value.to_owned()))].into(),
            transitions: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_said_and_the_newest_state_is_written_once_it_has_room() {
        let disk = Arc::new(Disk::default());
        disk.full.store(true, Ordering::SeqCst);
        let state = Arc::new(State::new(disk.clone(), &["check"], |_, _, ours| ours.to_owned()));
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (state, stop) = (state.clone(), stop.clone());
            async move { state.run(stop).await }
        });
        assert_eq!(state.put_durably(document("1")).await.unwrap_err().0, "disk full");
        state.put(document("2"));
        assert_eq!(state.figures.error().as_deref(), Some("disk full"));
        disk.full.store(false, Ordering::SeqCst);
        state.put_durably(document("3")).await.unwrap();
        stop.cancel();
        task.await.unwrap();
        let saved = disk.saved.lock().unwrap();
        let last = saved.last().unwrap().documents.values().next().unwrap().clone();
        assert_eq!(last.as_deref(), Some("3"));
        assert_eq!(state.figures.error(), None);
    }

    #[tokio::test]
    async fn history_answers_from_memory_before_it_is_written_and_from_disk_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let check = CheckId::new("web", "http");
        let keep = (Duration::from_secs(86_400), Duration::from_secs(86_400), Duration::from_secs(86_400));
        let now_ms = Timestamp::now().as_millisecond();
        let day_ms = now_ms - now_ms.rem_euclid(DAY_MS);
        for restart in 1..=2usize {
            let stores = Stores::open(folder.path()).await.unwrap();
            stores.history.load().await.unwrap();
            let stop = CancellationToken::new();
            let task = tokio::spawn({
                let (history, stop) = (stores.history.clone(), stop.clone());
                async move { history.run(keep, stop).await }
            });
            let point = Point { at_ms: now_ms, took_us: 1600, mark: Mark::Pass };
            stores.history.take(HistoryNews::Point(check.clone(), point));
            stores.history.take(HistoryNews::Verdict { service: "web".into(), verdict: "up", to_ms: now_ms, ms: 1 });
            stop.cancel();
            task.await.unwrap();
            assert_eq!(stores.history.points(&check, 0, i64::MAX).await.unwrap().len(), restart);
            let minute = stores.history.rollups(&check, 60_000, 0, i64::MAX).await.unwrap();
            assert_eq!(minute.values().map(|rollup| rollup.pass).sum::<u64>(), restart as u64);
            assert_eq!(stores.history.days("web")[&day_ms]["up"], restart as i64);
        }
    }
}
