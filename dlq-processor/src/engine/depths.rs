//! Says how much queues hold beside what is dead, where a source counts that.

use std::time::{Duration, Instant};

use kit::chain::Chain;

use super::Engine;

/// Between two counts: within that of Prometheus.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// After one that failed: whoever is slow keeps what is dead from being read.
const COUNT_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When queues are counted again, and whether that failed last.
#[derive(Default)]
pub(super) struct Count {
    due_at: Option<Instant>,
    has_failed: bool,
}

impl Engine {
    /// Counts, if it is time. When that fails nothing more is said of any queue, and what is dead is taken in all the same.
    pub(super) async fn count_depths(&self, count: &mut Count, queues: impl Iterator<Item = &String>) {
        if count.due_at.is_some_and(|due_at| Instant::now() < due_at) {
            return;
        }
        let queues: Vec<String> = queues.cloned().collect();
        let counted = self.source.depths(&queues).await;
        let had_failed = std::mem::replace(&mut count.has_failed, counted.is_err());
        count.due_at = Some(Instant::now() + if count.has_failed { COUNT_AGAIN_AFTER } else { COUNT_EVERY });
        match counted {
            Ok(depths) => depths.iter().for_each(|depth| self.figures.depths.note(&self.name, depth)),
            Err(error) => {
                if !had_failed {
                    tracing::warn!(source = self.name, error = %Chain(&error), "what queues hold cannot be counted");
                }
                self.forget_depths(&queues);
            }
        }
    }

    /// Says nothing more of queues: they are gone, or what was counted may not be so any more.
    pub(super) fn forget_depths<'a>(&self, queues: impl IntoIterator<Item = &'a String>) {
        for queue in queues {
            self.figures.depths.forget(&self.name, queue);
        }
    }
}
