//! Watching has a runtime of its own, with one worker. Pages and messages are made elsewhere, so that what they take is not
//! measured as some probe's latency; and a probe, its start and its end wake no other thread, which among several workers
//! costs more than the probe.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// The runtime; none only while it ends.
pub(super) struct WatchRuntime(Option<Runtime>);

impl WatchRuntime {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no room for another thread.
    pub(super) fn new() -> io::Result<Self> {
        // Not one that is a single thread: what takes long steps aside there (`probe/aside.rs`).
        let mut builder = Builder::new_multi_thread();
        Ok(Self(Some(builder.worker_threads(1).thread_name("watch").enable_all().build()?)))
    }

    /// Runs `work` there, and all that it spawns as long as that goes on. Should nobody wait for it any more, it ends; a
    /// panic goes on as if it had been called.
    pub(super) async fn run(self, work: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = &self.0 else { return };
        let mut running = JoinSet::new();
        running.spawn_on(work, runtime.handle());
        if let Some(Err(error)) = running.join_next().await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for WatchRuntime {
    fn drop(&mut self) {
        // What blocks a helper thread, such as a disk that hangs, must not hold up the end.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Work that blocks a helper thread until the test has ended.
    fn blocking() -> (std::sync::mpsc::Sender<()>, impl FnOnce() + Send) {
        let (held, freed) = channel::<()>();
        (held, move || {
            let _test_has_ended = freed.recv();
        })
    }

    #[tokio::test]
    async fn what_blocks_here_holds_up_nothing_there() {
        let (told, heard) = channel();
        let work = async move {
            tokio::spawn(tokio::time::sleep(Duration::from_millis(1))).await.unwrap();
            told.send(std::thread::current().name().map(str::to_owned)).unwrap();
            std::future::pending().await
        };
        let watching = WatchRuntime::new().unwrap().run(work);
        tokio::select! {
            biased;
            () = watching => {}
            // This runtime has one thread, and it waits without a turn for others.
            () = async { assert_eq!(heard.recv_timeout(LIMIT).unwrap().as_deref(), Some("watch")) } => {}
        }
    }

    #[tokio::test]
    async fn a_panic_goes_on_where_it_is_waited_for_whatever_still_blocks() {
        let (_held, block) = blocking();
        let work = async {
            let _blocked = tokio::task::spawn_blocking(block);
            panic!("broken")
        };
        let waiting = tokio::spawn(WatchRuntime::new().unwrap().run(work));
        let ended = tokio::time::timeout(LIMIT, waiting).await.unwrap();
        assert_eq!(ended.unwrap_err().into_panic().downcast_ref::<&str>(), Some(&"broken"));
    }

    #[tokio::test]
    async fn it_ends_when_nobody_waits_for_it_any_more() {
        let (held, gone) = oneshot::channel::<()>();
        let work = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let waiting = tokio::spawn(WatchRuntime::new().unwrap().run(work));
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(tokio::time::timeout(LIMIT, gone).await.unwrap().is_err(), "nobody sends anything");
    }
}
