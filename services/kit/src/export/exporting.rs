//! The task that sends, from its start until the program ends.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An export of this process, to be finished before it ends.
#[derive(Debug)]
#[must_use = "what waits is lost unless it is finished"]
pub struct Exporting(Option<(JoinHandle<()>, CancellationToken)>);

impl Exporting {
    /// Nothing is exported.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// Runs what sends, until the token that it is given is cancelled.
    pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(CancellationToken) -> F) -> Self {
        let stop = CancellationToken::new();
        Self(Some((tokio::spawn(run(stop.clone())), stop)))
    }

    /// Hands over what waits, for at most 3 s.
    pub async fn finish(self) {
        let Some((task, stop)) = self.0 else { return };
        stop.cancel();
        let _panicked = task.await;
    }
}
