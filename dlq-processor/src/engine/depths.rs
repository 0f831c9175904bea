//! Says how much queues hold beside what is dead, where a source counts that.

use super::{Engine, Trouble};
use crate::source::Depth;

impl Engine {
    pub(super) async fn count_depths(&self, queues: &[String]) -> Result<(), Trouble> {
        for Depth { queue, waiting, completed } in self.source.depths(queues).await? {
            for (gauge, jobs) in [(&self.figures.waiting, waiting), (&self.figures.completed, completed)] {
                gauge.with_label_values(&[&self.name, &queue]).set(i64::try_from(jobs).unwrap_or(i64::MAX));
            }
        }
        Ok(())
    }

    /// Says nothing more of a queue that is gone.
    pub(super) fn forget_depth(&self, queue: &str) {
        for gauge in [&self.figures.waiting, &self.figures.completed] {
            let _was_counted = gauge.remove_label_values(&[&self.name, queue]);
        }
    }
}
