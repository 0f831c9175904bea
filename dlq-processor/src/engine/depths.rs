//! Says how much queues hold beside what is dead, where a source counts that.

use super::{Engine, Trouble};

impl Engine {
    pub(super) async fn count_depths(&self, queues: &[String]) -> Result<(), Trouble> {
        for depth in self.source.depths(queues).await? {
            self.figures.depths.note(&self.name, &depth);
        }
        Ok(())
    }

    /// Says nothing more of queues: they are gone, or what was counted may not be so any more.
    pub(super) fn forget_depths<'a>(&self, queues: impl IntoIterator<Item = &'a String>) {
        for queue in queues {
            self.figures.depths.forget(&self.name, queue);
        }
    }
}
