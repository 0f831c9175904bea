//! How a writer does: commits, failures, losses, and the last error, for metrics and the health page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kit::backoff::Backoff;
use kit::clock::Moment;

use super::store::StoreError;

/// Deadline of one store call.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// How long a writer waits before it tries a failing store again.
pub(super) const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// How a writer does, for metrics and health.
#[derive(Debug, Default)]
pub struct WriterFigures {
    commits: AtomicU64,
    commit_ns: AtomicU64,
    failures: AtomicU64,
    dropped: AtomicU64,
    last_error: Mutex<Option<(Moment, String)>>,
}

impl WriterFigures {
    /// Returns commits, their total time, failed commits, and news that was dropped.
    pub fn read(&self) -> (u64, Duration, u64, u64) {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        (load(&self.commits), Duration::from_nanos(load(&self.commit_ns)), load(&self.failures), load(&self.dropped))
    }

    /// Returns why the last commit failed, or `None` if it did not.
    pub fn error(&self) -> Option<String> {
        self.failing().map(|(_, error)| error)
    }

    /// Returns since when commits fail, and why the last of them did, or `None` if the last one did not.
    pub fn failing(&self) -> Option<(Moment, String)> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) async fn timed<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
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
                if last.is_none() {
                    tracing::error!(error = error.0, "{what} cannot be written; going on in memory");
                }
                let since = last.take().map_or_else(Moment::now, |(since, _)| since);
                *last = Some((since, error.0.clone()));
            }
        }
        result
    }
}
