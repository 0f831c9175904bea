//! Both stores of a monitor, opened and closed together.

use std::path::Path;
use std::sync::Arc;

use kit::db::OpenError;

use super::history::SqliteHistory;
use super::history_writer::History;
use super::state::SqliteState;
use super::state_writer::{Join, State};

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
            state: Arc::new(State::new(Arc::new(state), kinds, join).with_folder(folder)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use futures_util::future::BoxFuture;
    use jiff::Timestamp;
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::super::history_writer::HistoryNews;
    use super::super::points::{Mark, Point};
    use super::super::store::{AuditRow, DeliveryQuery, IncidentQuery, StateBatch, StateStore, StoreError};
    use super::*;
    use crate::probe::CheckId;

    const DAY_MS: i64 = 86_400_000;

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
                self.saved.lock().unwrap().push(batch.clone());
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

        fn incidents<'a>(&'a self, _: &'a IncidentQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn incident(&self, _: Uuid) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
            Box::pin(async { Ok(None) })
        }

        fn events(&self, _: Uuid) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn deliveries<'a>(&'a self, _: &'a DeliveryQuery) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn audit(&self, _: u32) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    fn document(value: &str) -> StateBatch {
        StateBatch {
            documents: [(("check", "a/b".to_owned()), Some(value.to_owned()))].into(),
            ..StateBatch::default()
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
            let days = stores.history.days("web");
            let days: Vec<_> = days.iter().map(|day| (day.day_ms, &*day.verdict, day.ms)).collect();
            assert_eq!(days, [(day_ms, "up", restart as i64)]);
        }
    }
}
