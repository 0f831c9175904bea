//! A Redis with a stream that has a group, its consumers, and our source.

use std::collections::BTreeSet;
use std::time::Duration;

use dlq_processor::source::streams::{DeadAfter, RedisStreams, StreamsSettings};
use dlq_processor::source::{Cursor, Episode, Found, Lost, Order, Put, Sought, Source, State};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, cmd};
use secrecy::SecretString;
use testkit::Redis;

pub(crate) const STREAM: &str = "events";
pub(crate) const GROUP: &str = "mailers";
pub(crate) const QUEUE: &str = "events/mailers";

/// Names and values of an entry.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// All of it, for as long as one test runs.
pub(crate) struct Stage {
    pub(crate) redis: Redis,
    pub(crate) source: RedisStreams,
    connection: MultiplexedConnection,
}

/// Dead after three deliveries to two consumers, however soon.
pub(crate) fn settings() -> StreamsSettings {
    let dead_after = DeadAfter { deliveries: 3, idle: Duration::ZERO, consumers: 2, age: Duration::from_secs(86_400) };
    let streams = ["events", "audit:*"].map(str::to_owned).to_vec();
    StreamsSettings { streams, dead_after, other_groups_are_harmless: false }
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with(settings()).await
    }

    /// With one stream that has one group.
    pub(crate) async fn with(settings: StreamsSettings) -> Self {
        let redis = Redis::start().await;
        let source = RedisStreams::new(&SecretString::from(redis.url()), settings).unwrap();
        let client = redis::Client::open(redis.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        let stage = Self { redis, source, connection };
        stage.group(STREAM, GROUP.as_bytes()).await;
        stage
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, asked: &mut Cmd) -> T {
        asked.query_async(&mut self.connection.clone()).await.unwrap()
    }

    pub(crate) async fn group(&self, stream: &str, group: &[u8]) {
        self.ask::<()>(cmd("XGROUP").arg("CREATE").arg(stream).arg(group).arg("0").arg("MKSTREAM")).await;
    }

    pub(crate) async fn add(&self, fields: &[(&str, &str)]) -> String {
        self.ask(cmd("XADD").arg(STREAM).arg("*").arg(fields)).await
    }

    /// Gives a consumer all that nobody in its group was given yet.
    pub(crate) async fn deliver(&self, group: &str, consumer: &str) {
        self.read(group, consumer, ">").await;
    }

    /// As [`Self::deliver`]; with `0` it is given again what it was given and has not acknowledged.
    pub(crate) async fn read(&self, group: &str, consumer: &str, from: &str) {
        let mut asked = cmd("XREADGROUP");
        asked.arg("GROUP").arg(group).arg(consumer).arg("COUNT").arg(10_000).arg("STREAMS").arg(STREAM).arg(from);
        self.ask::<redis::Value>(&mut asked).await;
    }

    /// Has another consumer take an entry up, which counts as a delivery.
    pub(crate) async fn claim(&self, consumer: &str, id: &str) {
        self.ask::<redis::Value>(cmd("XCLAIM").arg(STREAM).arg(GROUP).arg(consumer).arg(0).arg(id)).await;
    }

    pub(crate) async fn ack(&self, group: &str, id: &str) -> u64 {
        self.ask(cmd("XACK").arg(STREAM).arg(group).arg(id)).await
    }

    /// Adds an entry that three deliveries to two consumers leave dead, and reads it.
    pub(crate) async fn dead(&self, fields: &[(&str, &str)]) -> Found {
        let id = self.add(fields).await;
        self.dies(&id).await
    }

    /// As [`Self::dead`], of an entry that is there and was delivered to nobody.
    pub(crate) async fn dies(&self, id: &str) -> Found {
        self.deliver(GROUP, "a").await;
        self.list().await;
        self.claim("b", id).await;
        self.claim("b", id).await;
        let ms = id.split('-').next().unwrap().parse::<i64>().unwrap();
        let mut listed = self.list().await;
        listed.retain(|episode| episode.failed_at_ms == ms);
        assert_eq!(listed.len(), 1, "{id}: {listed:?}");
        self.source.read(&listed).await.unwrap().remove(0).unwrap()
    }

    pub(crate) async fn list(&self) -> Vec<Episode> {
        self.source.list(QUEUE, Cursor::default()).await.unwrap().episodes
    }

    pub(crate) async fn put_back(&self, order: &Order) -> Put {
        self.source.put_back(std::slice::from_ref(order)).await.unwrap()[0]
    }

    pub(crate) async fn put_anew(&self, found: &Found, order: &str) -> Put {
        let lost = Lost { order: order_of(found, order), kept: found.kept.clone() };
        self.source.put_anew(&[lost]).await.unwrap()[0]
    }

    pub(crate) async fn forget(&self, found: &Found) -> u64 {
        self.source.forget(std::slice::from_ref(&found.episode)).await.unwrap()
    }

    pub(crate) async fn state(&self, job: &str) -> State {
        self.source.states(&[Sought::of(QUEUE, job)]).await.unwrap()[0]
    }

    /// Every entry, oldest first.
    pub(crate) async fn entries(&self) -> Vec<(String, Fields)> {
        type Entry = (String, Vec<Vec<u8>>);
        let entries: Vec<Entry> = self.ask(cmd("XRANGE").arg(STREAM).arg("-").arg("+")).await;
        let fields = |words: Vec<Vec<u8>>| words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        entries.into_iter().map(|(id, words)| (id, fields(words))).collect()
    }

    /// The entry that was put in last.
    pub(crate) async fn last(&self) -> (String, Fields) {
        self.entries().await.pop().unwrap()
    }

    /// Ids that are pending in a group.
    pub(crate) async fn pending(&self, group: &str) -> Vec<String> {
        let mut asked = cmd("XPENDING");
        asked.arg(STREAM).arg(group).arg("-").arg("+").arg(10_000);
        let pending: Vec<(String, String, u64, u64)> = self.ask(&mut asked).await;
        pending.into_iter().map(|(id, ..)| id).collect()
    }

    /// All that the server holds, with what is pending, since when, for whom, and how often it was delivered.
    pub(crate) async fn everything(&self) -> BTreeSet<(String, Vec<u8>)> {
        let keys: Vec<String> = self.ask(cmd("KEYS").arg("*")).await;
        let mut all = BTreeSet::new();
        for key in keys {
            let dump = self.ask(cmd("DUMP").arg(&key)).await;
            all.insert((key, dump));
        }
        all
    }
}

pub(crate) fn order_of(found: &Found, id: &str) -> Order {
    Order { episode: found.episode.clone(), id: id.to_owned(), has_all_tries: false }
}

pub(crate) fn text_of(fields: &Fields, name: &str) -> Option<String> {
    let (_, value) = fields.iter().find(|(known, _)| known == name.as_bytes())?;
    Some(String::from_utf8(value.clone()).unwrap())
}
