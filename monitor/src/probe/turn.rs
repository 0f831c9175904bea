//! Looks at this machine that may block: one at a time, so that those at a hanging disk do not pile up.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::observation::{Outcome, Phase, ReasonCode};
use super::run::Run;

/// Whose turn it is. A look cannot be cancelled: the next one waits for it.
#[derive(Debug, Clone)]
pub(super) struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turn {
    /// Looks on a thread that may block; `shown` is what is looked at. A file system that does not answer is a fail.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        run: &mut Run,
        shown: &str,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Outcome> {
        run.enter(Phase::Exec);
        let Ok(looked) = tokio::time::timeout_at(run.last_word(), self.take(look)).await else {
            let text = format!("{shown} does not answer; a file system may hang");
            return Err(Outcome::fail(ReasonCode::Timeout, text));
        };
        run.leave();
        looked
    }

    async fn take<T: Send + 'static>(&self, look: impl FnOnce() -> T + Send + 'static) -> Result<T, Outcome> {
        let turn = self.0.clone().acquire_owned().await.map_err(|error| Outcome::local(error.to_string()))?;
        let looked = tokio::task::spawn_blocking(move || {
            let seen = look();
            drop(turn);
            seen
        });
        looked.await.map_err(|error| Outcome::local(format!("the look itself broke: {error}")))
    }
}
