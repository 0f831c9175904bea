//! The daemon beside two streams: in one it may act, in the other it may not.

use std::time::Duration;

use http::Request;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, cmd};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Redis, eventually, free_port};

use super::machine::{Daemon, LIMIT, TOKEN};
use crate::asking;

/// How long a consumer waits before it takes up what another has: longer than an entry must be idle.
const CLAIM_AFTER: Duration = Duration::from_millis(2500);

/// All of it.
struct Scene {
    folder: TempDir,
    redis: Redis,
    connection: MultiplexedConnection,
    port: u16,
}

impl Scene {
    async fn start() -> Self {
        let (folder, redis, port) = (tempfile::tempdir().unwrap(), Redis::start().await, free_port());
        let client = redis::Client::open(redis.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self { folder, redis, connection, port }
    }

    fn configure(&self) {
        let (port, url) = (self.port, self.redis.url());
        let config = format!(
            "listen: 127.0.0.1:{port}\ndata_dir: data\noperator_token_file: token\n\
            sources: {{ streams: {{ redis_streams: {{ url: '{url}', streams: [acted, observed],\n  \
            dead_after: {{ deliveries: 2, idle: 1s, consumers: 2 }} }} }} }}\n\
            queues: [{{ queue: 'acted/*', mode: act }}]\n"
        );
        std::fs::write(self.folder.path().join("dlq-processor.yml"), config).unwrap();
        std::fs::write(self.folder.path().join("token"), TOKEN).unwrap();
    }

    async fn ask<T: FromRedisValue>(&self, asked: &mut Cmd) -> T {
        asked.query_async(&mut self.connection.clone()).await.unwrap()
    }

    /// Adds an entry, and has a consumer be given it that is not heard of again.
    async fn add(&self, stream: &str) -> String {
        self.ask::<()>(cmd("XGROUP").arg("CREATE").arg(stream).arg("mailers").arg("0").arg("MKSTREAM")).await;
        let id = self.ask(cmd("XADD").arg(stream).arg("*").arg("type").arg("signed_up").arg("to").arg(b"\xff")).await;
        self.deliver(stream, "first").await;
        id
    }

    /// Gives a consumer what nobody was given yet, and returns ids, names and values.
    async fn deliver(&self, stream: &str, consumer: &str) -> Vec<(String, Vec<Vec<u8>>)> {
        type Read = Option<Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>>;
        let mut asked = cmd("XREADGROUP");
        asked.arg("GROUP").arg("mailers").arg(consumer).arg("STREAMS").arg(stream).arg(">");
        let read: Read = self.ask(&mut asked).await;
        read.into_iter().flatten().flat_map(|(_, entries)| entries).collect()
    }

    /// Has another consumer take up what was left lying.
    async fn claim(&self, stream: &str) {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(stream).arg("mailers").arg("second").arg(CLAIM_AFTER.as_millis().to_string()).arg("0");
        self.ask::<redis::Value>(&mut claim).await;
    }

    async fn pending(&self, stream: &str) -> u64 {
        let (count, ..): (u64, redis::Value, redis::Value, redis::Value) =
            self.ask(cmd("XPENDING").arg(stream).arg("mailers")).await;
        count
    }

    async fn dump(&self, stream: &str) -> Vec<u8> {
        self.ask(cmd("DUMP").arg(stream)).await
    }

    async fn letters(&self, queue: &str) -> Option<Vec<Value>> {
        let url = format!("http://127.0.0.1:{}/api/v1/letters?queue={queue}", self.port);
        let (_, body) = asking::ask(Request::get(url), &Value::Null).await?;
        serde_json::from_str::<Value>(&body).ok()?["letters"].as_array().cloned()
    }

    async fn metrics(&self) -> Option<String> {
        let asked = asking::ask(Request::get(format!("http://127.0.0.1:{}/metrics", self.port)), &Value::Null);
        asked.await.map(|(_, metrics)| metrics)
    }

    async fn release(&self, letter: &str) -> u16 {
        self.try_release(letter).await.unwrap()
    }

    /// None if nobody answers.
    async fn try_release(&self, letter: &str) -> Option<u16> {
        let url = format!("http://127.0.0.1:{}/api/v1/letters/{letter}/release", self.port);
        let request = Request::post(url).header("authorization", format!("Bearer {TOKEN}"));
        let request = request.header("idempotency-key", "1");
        asking::ask(request, &json!({ "reason": "the consumer was mended" })).await.map(|(status, _)| status)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_entry_is_taken_out_and_redriven_where_that_is_allowed_and_else_left_as_it_is() {
    let scene = Scene::start().await;
    scene.configure();
    let [acted, observed] = [scene.add("acted").await, scene.add("observed").await];
    let _daemon = Daemon::spawn(scene.folder.path());
    let taken_in = eventually("both to be taken in", LIMIT, async || {
        scene.claim("acted").await;
        scene.claim("observed").await;
        let letters = [scene.letters("acted/mailers").await?, scene.letters("observed/mailers").await?];
        letters.iter().all(|letters| letters.len() == 1).then_some(letters)
    });
    let [letters, others] = taken_in.await;
    for (letter, job) in [(&letters[0], &acted), (&others[0], &observed)] {
        assert_eq!([&letter["job"], &letter["name"]], [&json!(job), &json!("signed_up")]);
        assert_eq!([&letter["state"], &letter["class"]], [&json!("quarantined"), &json!("poison")], "{letter}");
    }
    eventually("it to be taken out", LIMIT, async || (scene.pending("acted").await == 0).then_some(())).await;
    let before = scene.dump("observed").await;

    assert_eq!(scene.release(letters[0]["id"].as_str().unwrap()).await, 200);
    let copy = eventually("the copy", LIMIT, async || {
        Some(scene.deliver("acted", "third").await).filter(|entries| !entries.is_empty())
    });
    let copy = copy.await;
    let (id, fields) = &copy[0];
    let expected = [&b"type"[..], b"signed_up", b"to", b"\xff", b"x-redrive-of", acted.as_bytes(), b"x-redrive"];
    assert!(copy.len() == 1 && fields.iter().take(7).eq(expected), "{copy:?}");
    assert_eq!(scene.ask::<u64>(cmd("XACK").arg("acted").arg("mailers").arg(id)).await, 1);
    eventually("the letter to be resolved", LIMIT, async || {
        let letters = scene.letters("acted/mailers").await?;
        assert_eq!(letters.len(), 1);
        (letters[0]["state"] == "resolved").then_some(())
    })
    .await;
    assert_eq!((scene.dump("observed").await, scene.pending("observed").await), (before, 1));
    let metrics = scene.metrics().await.unwrap();
    assert!(metrics.contains("dlq_source_unwatched_total{source=\"streams\"} 0"), "{metrics}");
    assert_eq!(scene.ask::<u64>(cmd("XLEN").arg("acted")).await, 2, "nothing is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_power_is_cut_a_dead_entry_is_taken_out_and_copied_once() {
    let scene = Scene::start().await;
    scene.configure();
    scene.add("acted").await;
    let cut_at = |place: &str| Daemon::spawn_with(scene.folder.path(), &[("DLQ_FAILPOINT", place)]);
    let mut daemon = cut_at("after_capture_commit");
    eventually("it to be taken in", LIMIT, async || {
        scene.claim("acted").await;
        (!daemon.runs()).then_some(())
    })
    .await;
    assert_eq!(scene.pending("acted").await, 1, "nothing is taken out before the ledger has it");
    let daemon = Daemon::spawn(scene.folder.path());
    eventually("it to be taken out", LIMIT, async || (scene.pending("acted").await == 0).then_some(())).await;
    let letters = eventually("the letter", LIMIT, async || scene.letters("acted/mailers").await).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    daemon.kill();

    let mut daemon = cut_at("after_intent");
    eventually("it to be released", LIMIT, async || {
        // Who asks again asks the same, and is perhaps too late to be answered.
        let _status = scene.try_release(letters[0]["id"].as_str()?).await;
        (!daemon.runs()).then_some(())
    })
    .await;
    assert_eq!(scene.ask::<u64>(cmd("XLEN").arg("acted")).await, 1, "it is written before it is done");
    for place in ["after_lua", "after_redriven", "before_outcome"] {
        cut_at(place).ended().await;
        assert_eq!(scene.ask::<u64>(cmd("XLEN").arg("acted")).await, 2, "{place}");
    }
    let copy = scene.deliver("acted", "third").await;
    assert_eq!(scene.ask::<u64>(cmd("XACK").arg("acted").arg("mailers").arg(&copy[0].0)).await, 1);
    let _daemon = Daemon::spawn(scene.folder.path());
    eventually("the letter to be resolved", LIMIT, async || {
        let letters = scene.letters("acted/mailers").await?;
        (letters.len() == 1 && letters[0]["state"] == "resolved").then_some(())
    })
    .await;
    assert_eq!(scene.ask::<u64>(cmd("XLEN").arg("acted")).await, 2);
}
