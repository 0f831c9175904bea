//! Looks whether what is put back into a source could be lost: then nothing is. That is looked at before something is put back, and
//! again and again where something may be: what is mended is to be known though nothing is due.

use std::sync::PoisonError;
use std::time::Duration;

use super::{Engine, Trouble};

/// Between two looks while nothing is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) async fn watch_hazards_for_ever(&self) {
        let mut failures = 0;
        loop {
            let looked = if self.may_have_hazards() { self.look_for_hazards().await.map(drop) } else { Ok(()) };
            let wait = self.went("looking for what loses jobs", &looked, &mut failures);
            tokio::time::sleep(wait.unwrap_or(LOOK_EVERY)).await;
        }
    }

    /// Whether it matters: where nothing is put back, nothing can be lost of it.
    fn may_have_hazards(&self) -> bool {
        let acts = || self.found.borrow().iter().any(|queue| self.settings.of_queue(queue).acts);
        self.hazards.lock().unwrap_or_else(PoisonError::into_inner).is_some() || acts()
    }

    /// Looks whether what is put back could be lost: then nothing is.
    pub(super) async fn look_for_hazards(&self) -> Result<bool, Trouble> {
        let found = self.source.hazards().await?;
        let mut known = self.hazards.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref().unwrap_or_default() != found {
            match found.first() {
                Some(hazard) => tracing::warn!(source = self.name, hazard, "nothing is redriven"),
                None => tracing::info!(source = self.name, "letters are redriven again"),
            }
        }
        let is_armed = found.is_empty();
        self.figures.armed.with_label_values(&[&self.name]).set(is_armed.into());
        *known = Some(found);
        Ok(is_armed)
    }

    /// Why nothing is redriven, if that is so.
    pub(crate) fn hazard(&self) -> Option<String> {
        self.hazards.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().next().cloned()
    }
}
