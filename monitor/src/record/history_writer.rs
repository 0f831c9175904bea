//! The task that writes history, and the handle others use: taking news never waits, a failing store is retried with
//! back-off while memory keeps the newest.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::days::{Days, VerdictDay};
use super::figures::{RETRY, WriterFigures};
use super::file::READ_DEADLINE;
use super::points::Point;
use super::rollup::{Rollup, Row, roll};
use super::store::{HistoryStore, Horizon, ServiceDay, StoreError, Tail};
use crate::probe::CheckId;

/// Fresh points reach the disk this often. A kill -9 loses at most this much history, never state.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Points kept in memory while the store fails; older ones are dropped and counted. About 3 MB.
const MAX_PENDING: usize = 100_000;
/// Points after which the tail is sealed before its hour is over. About 5 MB.
const MAX_TAIL: usize = 200_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

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
    pub(super) store: Arc<dyn HistoryStore>,
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
    /// Of the last 90 days.
    days: Days,
    /// What of them is not yet stored, by service, start of day and verdict, in milliseconds.
    unwritten: HashMap<(Arc<str>, i64, &'static str), i64>,
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
                let day_ms = from_ms - from_ms.rem_euclid(DAY_MS);
                memory.days.add(&service, verdict, day_ms, ms);
                *memory.unwritten.entry((service, day_ms, verdict)).or_default() += ms;
            }
        }
    }

    /// Returns how long the service had which verdict in each of at most the last 90 days, oldest first.
    pub fn days(&self, service: &str) -> Arc<Vec<VerdictDay>> {
        self.memory().days.of(service)
    }

    /// Returns points of a check with `from_ms <= at < to_ms`, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn points(&self, check: &CheckId, from_ms: i64, to_ms: i64) -> Result<Vec<Point>, StoreError> {
        let (series, mut newest) = self.newest(check);
        let mut points = match series {
            Some(series) => in_time(self.asking(self.store.points(series, from_ms, to_ms))).await?,
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
            Some(series) => in_time(self.asking(self.store.rollups(series, span_ms, from_ms, to_ms))).await?,
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
            let mut written = self.flush().await;
            let hour = Timestamp::now().as_millisecond() / HOUR_MS;
            let is_full = self.memory().tail_points > MAX_TAIL;
            if written.is_ok() && !stopping && (hour != sealed_hour || is_full) {
                written = self.seal(keep).await;
                sealed_hour = if written.is_ok() { hour } else { sealed_hour };
            }
            failures = if written.is_ok() { 0 } else { failures + 1 };
            if stopping {
                return;
            }
        }
    }

    /// Asks the store. What turns out to be damaged is noted, so that the next start sets it aside.
    async fn asking<T>(&self, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        question.await.map_err(|error| {
            if !error.is_damage() {
                return error;
            }
            self.store.distrust();
            StoreError(format!("{}; the history is set aside and begun anew when the monitor starts again", error.0))
        })
    }

    /// Asks the store to write, or what writing needs.
    async fn writing<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.figures.timed("history", self.asking(call)).await
    }

    /// Gives a service's past to another name, on disk and in memory.
    pub async fn rename_service(&self, old: &str, new: &str) -> Result<(), StoreError> {
        self.writing(self.store.rename_service(old, new)).await?;
        let series = self.writing(self.store.known_series()).await?;
        let mut memory = self.memory();
        memory.series = series;
        memory.days.rename(old, new);
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
            Ok((self.store.tail().await?, self.store.service_days(from_ms).await?, self.store.known_series().await?))
        };
        let (tail, days, series) = self.writing(read).await?;
        let mut memory = self.memory();
        memory.series = series;
        memory.tail_points = tail.points.values().map(Vec::len).sum();
        memory.tail = tail;
        for day in days {
            memory.days.add(&day.service, &day.verdict, day.day_ms, day.ms);
        }
        self.loaded.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Writes what is pending.
    async fn flush(&self) -> Result<(), StoreError> {
        if !self.loaded.load(Ordering::SeqCst) {
            self.load().await?;
        }
        let (pending, unwritten, unknown) = {
            let memory = self.memory();
            let names = memory.pending.iter().map(|(check, _)| check.to_string());
            let mut unknown: Vec<String> = names.filter(|name| !memory.series.contains_key(name)).collect();
            unknown.sort();
            unknown.dedup();
            (memory.pending.iter().cloned().collect::<Vec<_>>(), memory.unwritten.clone(), unknown)
        };
        if !unknown.is_empty() {
            let ids = self.writing(self.store.series(&unknown)).await?;
            self.memory().series.extend(ids);
        }
        if !pending.is_empty() {
            self.append(&pending).await?;
        }
        if !unwritten.is_empty() {
            let rows: Vec<ServiceDay> = unwritten
                .iter()
                .map(|((service, day_ms, verdict), ms)| ServiceDay {
                    service: service.to_string(),
                    day_ms: *day_ms,
                    verdict: (*verdict).to_owned(),
                    ms: *ms,
                })
                .collect();
            self.writing(self.store.add_service_days(&rows)).await?;
            let mut memory = self.memory();
            for (key, written) in unwritten {
                if let Some(ms) = memory.unwritten.get_mut(&key) {
                    *ms -= written;
                }
            }
            memory.unwritten.retain(|_, ms| *ms > 0);
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
        self.writing(self.store.append(seq, &rows)).await?;
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
        self.writing(self.store.seal(&tail, keep)).await?;
        let mut memory = self.memory();
        memory.tail.points.clear();
        memory.tail_points = 0;
        let oldest_day = now_ms - 91 * DAY_MS;
        memory.days.forget_before(oldest_day);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write as _};
    use std::path::Path;

    use super::super::history::SqliteHistory;
    use super::super::points::Mark;
    use super::*;

    /// Everything but the first page, which holds the schema.
    fn damage(path: &Path) {
        let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let bytes = file.metadata().unwrap().len();
        file.seek(SeekFrom::Start(4096)).unwrap();
        file.write_all(&vec![7; usize::try_from(bytes).unwrap() - 4096]).unwrap();
    }

    /// Whether a note is there that the file is damaged, and whether one was set aside.
    fn noted_and_set_aside(folder: &Path) -> [bool; 2] {
        ["history.db.suspect", "history.db.damaged-"].map(|beginning| {
            let mut names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            names.any(|name| name.to_string_lossy().starts_with(beginning))
        })
    }

    #[tokio::test]
    async fn what_turns_out_to_be_damaged_in_use_is_said_and_set_aside_by_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let check = CheckId::new("web", "http");
        let history = History::new(Arc::new(SqliteHistory::open(&path).await.unwrap()));
        history.take(HistoryNews::Point(check.clone(), Point { at_ms: 1000, took_us: 1600, mark: Mark::Pass }));
        history.flush().await.unwrap();
        history.store.close().await;

        let history = History::new(Arc::new(SqliteHistory::open(&path).await.unwrap()));
        history.load().await.unwrap();
        damage(&path);
        let error = history.points(&check, 0, 9000).await.unwrap_err();
        assert!(error.0.ends_with("begun anew when the monitor starts again"), "{error}");
        assert_eq!(noted_and_set_aside(folder.path()), [true, false]);
        history.store.close().await;

        let history = History::new(Arc::new(SqliteHistory::open(&path).await.unwrap()));
        assert_eq!(noted_and_set_aside(folder.path()), [false, true]);
        history.flush().await.unwrap();
        assert_eq!(history.figures.error(), None);
    }
}
