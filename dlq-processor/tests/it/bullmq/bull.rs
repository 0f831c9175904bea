//! A Redis, one version of BullMQ on it, and our source.

use std::time::Duration;

use dlq_processor::source::bullmq::BullMq;
use dlq_processor::source::{Cursor, Episode, Found, Order, Put, Sought, Source, State};
use http::Request;
use redis::aio::MultiplexedConnection;
use secrecy::SecretString;
use serde_json::{Value, json};
use testkit::{Redis, Server, eventually, free_port, serve_by_node};

use super::LIMIT;
use crate::asking;

/// All of it, for as long as one test runs.
pub(crate) struct Bull {
    pub(crate) version: &'static str,
    pub(crate) redis: Redis,
    pub(crate) source: BullMq,
    node: Server,
}

/// A job that failed, in a queue of its own that has a worker.
pub(crate) struct Job<'b> {
    pub(crate) bull: &'b Bull,
    pub(crate) queue: &'static str,
    pub(crate) id: String,
    pub(crate) found: Found,
}

impl Bull {
    pub(crate) async fn start(version: &'static str) -> Self {
        Self::start_on(version, Redis::start().await).await
    }

    pub(crate) async fn start_on(version: &'static str, redis: Redis) -> Self {
        let source = source_of(&redis.url(), "bull");
        let node = node(version, &redis).await;
        Self { version, redis, source, node }
    }

    /// Another process that knows the same version.
    pub(crate) async fn another(&self) -> Server {
        node(self.version, &self.redis).await
    }

    pub(crate) async fn ask(&self, asked: Value) -> Value {
        ask(&self.node, &asked).await.unwrap()
    }

    pub(crate) async fn add(&self, queue: &str, job: Value) -> String {
        let added = self.ask(json!({"call": "add", "queue": queue, "jobs": [job]})).await;
        added[0].as_str().unwrap().to_owned()
    }

    pub(crate) async fn work(&self, queue: &str) {
        self.ask(json!({"call": "work", "queue": queue})).await;
    }

    /// Says what the job named `job` does from now on.
    pub(crate) async fn does(&self, queue: &str, what: Value) {
        self.set(&format!("does:{queue}:job"), &what.to_string()).await;
    }

    /// Has one job, named `job`, fail for good.
    pub(crate) async fn failed(&self, queue: &'static str, data: Value, opts: Value) -> Job<'_> {
        self.failed_by(queue, json!({"throws": "boom"}), data, opts).await
    }

    /// As [`Self::failed`], in its own way.
    pub(crate) async fn failed_by(&self, queue: &'static str, what: Value, data: Value, opts: Value) -> Job<'_> {
        self.does(queue, what).await;
        let id = self.add(queue, json!({"name": "job", "data": data, "opts": opts})).await;
        self.work(queue).await;
        Job { bull: self, queue, id, found: self.the_failure(queue).await }
    }

    /// Waits for the one failure of a queue, and reads it.
    pub(crate) async fn the_failure(&self, queue: &str) -> Found {
        eventually(&format!("a failure in {queue}"), LIMIT, async || {
            let page = self.source.list(queue, Cursor::default()).await.unwrap();
            let found = self.source.read(&page.episodes).await.unwrap();
            assert!(found.len() < 2, "{queue}: {:?}", page.episodes);
            found.into_iter().next().flatten()
        })
        .await
    }

    /// Every run of a job, as the worker saw it.
    pub(crate) async fn runs(&self, queue: &str, id: &str) -> Vec<Value> {
        let mut asked = redis::cmd("LRANGE");
        asked.arg(format!("runs:{queue}:{id}")).arg(0).arg(-1);
        let runs: Vec<String> = self.query(&asked).await;
        runs.iter().map(|run| serde_json::from_str(run).unwrap()).collect()
    }

    pub(crate) async fn is(&self, queue: &str, id: &str, wanted: State) {
        eventually(&format!("{queue} {id} to be {wanted:?}"), LIMIT, async || {
            let order = id.strip_prefix("dlq~").map(str::to_owned);
            let jobs = [Sought { order, ..Sought::of(queue, id) }];
            (self.source.states(&jobs).await.unwrap() == [wanted]).then_some(())
        })
        .await;
    }

    /// Waits until no job waits anywhere or runs.
    pub(crate) async fn is_idle(&self, queue: &str) {
        eventually(&format!("{queue} to be idle"), LIMIT, async || {
            let counts = self.ask(json!({"call": "counts", "queue": queue})).await;
            let places = ["wait", "waiting", "active", "paused", "prioritized", "delayed"];
            places.iter().all(|place| counts[place].as_u64().unwrap_or(0) == 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn field(&self, queue: &str, id: &str, field: &str) -> Option<Vec<u8>> {
        self.query(redis::cmd("HGET").arg(format!("bull:{queue}:{id}")).arg(field)).await
    }

    pub(crate) async fn set(&self, key: &str, value: &str) {
        self.query::<()>(redis::cmd("SET").arg(key).arg(value)).await;
    }

    pub(crate) async fn query<T: redis::FromRedisValue>(&self, asked: &redis::Cmd) -> T {
        asked.query_async(&mut connection(&self.redis.url()).await).await.unwrap()
    }
}

impl Job<'_> {
    pub(crate) fn episode(&self) -> &Episode {
        &self.found.episode
    }

    /// An order of its own for each `id`.
    pub(crate) fn order(&self, id: &str, has_all_tries: bool) -> Order {
        Order { episode: self.episode().clone(), id: id.to_owned(), has_all_tries }
    }

    pub(crate) async fn put_back(&self, id: &str, has_all_tries: bool) -> Put {
        self.bull.source.put_back(&[self.order(id, has_all_tries)]).await.unwrap()[0]
    }

    /// What it does from now on is nothing wrong.
    pub(crate) async fn is_mended(&self) {
        self.bull.does(self.queue, json!({})).await;
    }

    pub(crate) async fn runs(&self) -> Vec<Value> {
        self.bull.runs(self.queue, &self.id).await
    }

    /// Waits until it is done, and asserts how often it ran in all and that nothing is left to run.
    pub(crate) async fn is_done_after(&self, runs: usize) {
        self.bull.is(self.queue, &self.id, State::Completed).await;
        self.bull.is_idle(self.queue).await;
        assert_eq!(self.runs().await.len(), runs, "{}", self.queue);
    }

    /// Waits until it has failed once more, and reads that failure.
    pub(crate) async fn fails_again(&self) -> Found {
        eventually(&format!("{} to fail again", self.queue), LIMIT, async || {
            let found = self.bull.the_failure(self.queue).await;
            (found.episode != *self.episode()).then_some(found)
        })
        .await
    }
}

pub(crate) fn source_of(url: &str, prefix: &str) -> BullMq {
    BullMq::new(&SecretString::from(url), prefix).unwrap()
}

pub(crate) async fn connection(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

pub(crate) async fn node(version: &str, redis: &Redis) -> Server {
    let url = redis.url();
    let redis_port = url.rsplit([':', '/']).nth(1).unwrap();
    serve_by_node(include_str!("driver.mjs"), free_port(), &[redis_port, version]).await
}

/// Asks such a process; none if it is not there, or dies of it.
pub(crate) async fn ask(node: &Server, asked: &Value) -> Option<Value> {
    let (status, body) = asking::ask(Request::post(format!("http://{}/", node.addr())), asked).await?;
    assert_eq!(status, 200, "{asked}: {body}");
    Some(serde_json::from_str(&body).unwrap())
}

/// So long that nothing which waits for it is seen in a test.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);
