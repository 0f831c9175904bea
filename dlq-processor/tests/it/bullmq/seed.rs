//! Failed jobs as BullMQ 5 leaves them, without BullMQ.

use dlq_processor::source::bullmq::BullMq;
use dlq_processor::source::{Episode, Order};
use testkit::Redis;

use super::bull::{connection, source_of};

/// A Redis that has had no worker.
pub(crate) struct Seeded {
    pub(crate) redis: Redis,
    pub(crate) source: BullMq,
}

impl Seeded {
    pub(crate) async fn start() -> Self {
        let redis = Redis::start().await;
        let source = source_of(&redis.url(), "bull");
        Self { redis, source }
    }

    /// Adds failed jobs to the queue `mails`: id, and when.
    pub(crate) async fn add(&self, jobs: impl IntoIterator<Item = (String, i64)>) {
        let mut asked = redis::pipe();
        for (job, failed_at_ms) in jobs {
            asked.cmd("HSET").arg(format!("bull:mails:{job}")).arg("name").arg("job").arg("data").arg("1");
            asked.arg("opts").arg("{}").arg("finishedOn").arg(failed_at_ms).arg("failedReason").arg("boom").ignore();
            asked.zadd("bull:mails:failed", job, failed_at_ms).ignore();
        }
        self.query::<()>(&asked).await;
    }

    pub(crate) async fn query<T: redis::FromRedisValue>(&self, asked: &redis::Pipeline) -> T {
        asked.query_async(&mut connection(&self.redis.url()).await).await.unwrap()
    }
}

pub(crate) fn episode(job: &str, failed_at_ms: i64) -> Episode {
    Episode { queue: "mails".to_owned(), job: job.to_owned(), failed_at_ms }
}

pub(crate) fn order(job: &str, failed_at_ms: i64) -> Order {
    Order { episode: episode(job, failed_at_ms), id: format!("order of {job}"), has_all_tries: false }
}
