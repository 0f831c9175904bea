//! Queues that hold nothing but what is dead: what their jobs tell of is put back where it failed, once, and they go.

use dlq_processor::source::bullmq::BullMq;
use dlq_processor::source::{Cursor, Found, Lost, Order, Put, Source, State};
use redis::cmd;
use serde_json::{Value, json};
use testkit::eventually;

use super::bull::source_of;
use super::{Bull, LIMIT};

in_every_version! {
    what_a_queue_of_dead_letters_tells_of_is_put_back_where_it_failed_and_once:
    wherever_it_waits, byte_for_byte, under_its_own_id, under_another_id_where_somebody_has_its_own,
    in_place_where_it_is_still_dead, unless_it_is_under_way_or_done, without_an_id_of_its_own, or_nowhere_if_it_is_no_entry,
    unless_a_worker_has_it_or_it_was_put_in_again, and_all_of_a_page
}

/// One such queue.
struct Dead<'b> {
    bull: &'b Bull,
    queue: &'static str,
    source: BullMq,
}

impl<'b> Dead<'b> {
    fn of(bull: &'b Bull, queue: &'static str) -> Self {
        Self { bull, queue, source: source_of(&bull.redis.url(), "bull").with_taken(vec![queue.to_owned()]) }
    }

    async fn add(&self, data: Value) -> String {
        self.bull.add(self.queue, json!({"name": "failed-job", "data": data})).await
    }

    async fn found(&self) -> Vec<Found> {
        let page = self.source.list(self.queue, Cursor::default()).await.unwrap();
        assert_eq!(page.failed, page.episodes.len() as u64);
        self.source.read(&page.episodes).await.unwrap().into_iter().flatten().collect()
    }

    async fn the_one(&self) -> Found {
        let mut found = self.found().await;
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    async fn forget(&self, found: &Found) -> u64 {
        self.source.forget(std::slice::from_ref(&found.episode)).await.unwrap()
    }

    async fn put(&self, found: &Found, id: &str) -> Put {
        let order = Order { episode: found.episode.clone(), id: id.to_owned(), has_all_tries: true };
        self.source.put_anew(&[Lost { order, kept: found.kept.clone() }]).await.unwrap()[0]
    }

    /// All keys of the queue but those that are there without any job, too.
    async fn keys(&self) -> Vec<String> {
        let all: Vec<String> = self.bull.query(cmd("KEYS").arg(format!("bull:{}:*", self.queue))).await;
        let stays =
            ["meta", "events", "id", "marker", "pc", "dlq-epoch", "limiter", "stalled-check", "completed", "wait"];
        let mut keys: Vec<String> =
            all.into_iter().filter(|key| !stays.iter().any(|name| key.ends_with(&format!(":{name}")))).collect();
        keys.sort();
        keys
    }
}

fn entry(queue: &str, id: &Value, data: &Value, failed_at_ms: i64) -> Value {
    json!({"originalQueue": queue, "originalJobId": id, "originalJobName": "job", "originalJobData": data,
        "failureReason": "connect ECONNREFUSED 10.0.0.1:25", "failedAt": failed_at_ms, "attempts": 3})
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn wherever_it_waits(bull: &Bull) {
    let dead = Dead::of(bull, "dead everywhere");
    let at = |number: i64| entry("everywhere", &json!(number), &json!({"number": number}), 1_000 + number);
    bull.does(dead.queue, json!({"throws": "odd"})).await;
    let failing = json!({"name": "job", "data": at(1)});
    bull.add(dead.queue, failing).await;
    bull.work(dead.queue).await;
    eventually("the entry to fail", LIMIT, async || {
        let counts = bull.ask(json!({"call": "counts", "queue": dead.queue})).await;
        (counts["failed"] == 1).then_some(())
    })
    .await;
    bull.ask(json!({"call": "rest", "queue": dead.queue})).await;
    dead.add(at(2)).await;
    bull.add(dead.queue, json!({"name": "x", "data": at(3), "opts": {"delay": 3_600_000}})).await;
    bull.add(dead.queue, json!({"name": "x", "data": at(4), "opts": {"priority": 5}})).await;
    bull.ask(json!({"call": "pause", "queue": dead.queue})).await;
    dead.add(at(5)).await;
    let found = dead.found().await;
    let told: Vec<(&str, &str, i64)> =
        found.iter().map(|it| (it.episode.queue.as_str(), it.episode.job.as_str(), it.episode.failed_at_ms)).collect();
    let expected: Vec<String> = (1..=5).map(|number| number.to_string()).collect();
    let expected: Vec<_> = (1..=5).zip(&expected).map(|(at, job)| ("everywhere", job.as_str(), 1_000 + at)).collect();
    assert_eq!(told, expected);
    let Found { name, reason, attempts, found_in, stack, .. } = &found[0];
    assert_eq!((name.as_str(), *attempts, found_in.as_deref(), stack), ("job", 3, Some(dead.queue), &None));
    assert_eq!(reason.as_deref(), Some("connect ECONNREFUSED 10.0.0.1:25"));
    let before = dead.keys().await;
    assert_eq!(dead.found().await, found, "to look changes nothing");
    assert_eq!(dead.keys().await, before);
    for found in &found {
        assert_eq!([dead.forget(found).await, dead.forget(found).await], [1, 0], "{found:?}");
    }
    assert_eq!((dead.found().await, dead.keys().await), (Vec::new(), Vec::new()));
}

async fn byte_for_byte(bull: &Bull) {
    let dead = Dead::of(bull, "dead bytes");
    let data = json!({"text": "\u{0}\u{1f600}é\u{2028}\\u0000", "large": "x".repeat(1 << 20), "number": 1.5});
    dead.add(entry("bytes", &json!("b-1"), &data, now_ms())).await;
    let found = dead.the_one().await;
    assert_eq!(serde_json::from_slice::<Value>(&found.data).unwrap(), data);
    let whole = bull.field(dead.queue, "1", "data").await.unwrap();
    assert!(whole.windows(found.data.len()).any(|part| part == found.data), "it is a part of the entry");
    assert_eq!(dead.forget(&found).await, 1);
    bull.work("bytes").await;
    assert_eq!(dead.put(&found, "order").await, Put::Moved);
    bull.is("bytes", "b-1", State::Completed).await;
    assert_eq!(bull.field("bytes", "b-1", "data").await.unwrap(), found.data);
    assert_eq!(bull.runs("bytes", "b-1").await, [json!({"name": "job", "data": data})]);
}

async fn under_its_own_id(bull: &Bull) {
    let dead = Dead::of(bull, "dead own");
    dead.add(entry("own", &json!(41), &json!(1), now_ms())).await;
    let found = dead.the_one().await;
    assert_eq!(dead.forget(&found).await, 1);
    assert_eq!([dead.put(&found, "one").await, dead.put(&found, "one").await], [Put::Moved, Put::Already]);
    bull.work("own").await;
    bull.is("own", "41", State::Completed).await;
    // Also when nothing is left of it.
    bull.query::<()>(cmd("DEL").arg("bull:own:41")).await;
    bull.query::<()>(cmd("ZREM").arg("bull:own:completed").arg("41")).await;
    assert_eq!(dead.put(&found, "one").await, Put::Already);
    bull.is_idle("own").await;
    assert_eq!(bull.runs("own", "41").await.len(), 1);
    assert_eq!(bull.add("own", json!({"name": "job", "data": 2})).await, "42", "nobody gets its id");
}

async fn under_another_id_where_somebody_has_its_own(bull: &Bull) {
    let dead = Dead::of(bull, "dead other");
    dead.add(entry("other", &json!("1"), &json!("dead"), now_ms() - 100_000)).await;
    let found = dead.the_one().await;
    let other = bull.add("other", json!({"name": "job", "data": "another"})).await;
    assert_eq!(other, "1");
    assert_eq!([dead.put(&found, "one").await, dead.put(&found, "one").await], [Put::Anew, Put::Anew]);
    bull.work("other").await;
    bull.is("other", "dlq~one", State::Completed).await;
    bull.is("other", "1", State::Completed).await;
    bull.query::<()>(cmd("DEL").arg("bull:other:dlq~one")).await;
    bull.query::<()>(cmd("ZREM").arg("bull:other:completed").arg("dlq~one")).await;
    bull.is("other", "dlq~one", State::Gone).await;
    assert_eq!(dead.put(&found, "one").await, Put::Anew, "it was carried out");
    bull.is_idle("other").await;
    assert_eq!(bull.runs("other", "1").await, [json!({"name": "job", "data": "another"})]);
    assert_eq!(bull.runs("other", "dlq~one").await, [json!({"name": "job", "data": "dead"})]);
    // A Redis that lost its last second has lost the order, too.
    bull.query::<()>(cmd("DEL").arg("bull:other:dlq-order:one")).await;
    bull.is("other", "dlq~one", State::Lost).await;
}

async fn in_place_where_it_is_still_dead(bull: &Bull) {
    let dead = Dead::of(bull, "dead place");
    let options = json!({"priority": 3, "attempts": 2, "backoff": {"type": "fixed", "delay": 5}});
    let job = bull.failed("place", json!({"a": 1}), options).await;
    let told_at_ms = job.found.episode.failed_at_ms;
    dead.add(entry("place", &json!(job.id), &json!({"a": 1}), told_at_ms - 2)).await;
    let found = dead.the_one().await;
    assert_eq!(found.put_in_at_ms, job.found.put_in_at_ms);
    job.is_mended().await;
    assert_eq!(dead.put(&found, "one").await, Put::Moved);
    job.is_done_after(3).await;
    assert_eq!(dead.put(&found, "one").await, Put::Already);
    assert_eq!(job.put_back("own", true).await, Put::NotFailed);
    assert_eq!(dead.put(&found, "two").await, Put::NotFailed, "it was done");
    job.is_done_after(3).await;
    // Its options are known, also when it is gone.
    bull.query::<()>(cmd("DEL").arg(format!("bull:place:{}", job.id))).await;
    bull.query::<()>(cmd("ZREM").arg("bull:place:completed").arg(&job.id)).await;
    assert_eq!(dead.put(&found, "three").await, Put::Moved);
    job.is_done_after(4).await;
    let options = bull.field("place", &job.id, "opts").await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&options).unwrap()["priority"], 3);
}

async fn unless_it_is_under_way_or_done(bull: &Bull) {
    let dead = Dead::of(bull, "dead under way");
    let id = bull.add("under way", json!({"name": "job", "data": 1})).await;
    dead.add(entry("under way", &json!(id), &json!(1), now_ms())).await;
    let found = dead.the_one().await;
    assert_eq!(dead.put(&found, "one").await, Put::NotFailed);
    bull.work("under way").await;
    bull.is("under way", &id, State::Completed).await;
    assert_eq!(dead.put(&found, "two").await, Put::NotFailed);
    bull.is_idle("under way").await;
    assert_eq!(bull.runs("under way", &id).await.len(), 1);
}

async fn without_an_id_of_its_own(bull: &Bull) {
    let dead = Dead::of(bull, "dead nameless");
    let id = dead.add(json!({"originalQueue": "nameless", "originalJobData": {"a": 1}})).await;
    let found = dead.the_one().await;
    assert_eq!((found.episode.job.as_str(), found.name.as_str()), (&*format!("dead nameless:{id}"), "failed-job"));
    assert_eq!([dead.put(&found, "one").await, dead.put(&found, "one").await], [Put::Anew, Put::Anew]);
    bull.work("nameless").await;
    bull.is("nameless", "dlq~one", State::Completed).await;
}

async fn or_nowhere_if_it_is_no_entry(bull: &Bull) {
    let dead = Dead::of(bull, "dead odd");
    for data in [json!({"a": 1}), json!("text"), json!([1]), json!({"originalQueue": "dead odd"}), json!(null)] {
        let id = dead.add(data.clone()).await;
        let found = dead.the_one().await;
        assert_eq!((found.episode.queue.as_str(), &found.episode.job), ("dead odd", &id));
        assert_eq!(serde_json::from_slice::<Value>(&found.data).unwrap(), data, "it is taken in whole");
        assert!(found.reason.as_deref().unwrap().starts_with("this entry of dead odd "), "{:?}", found.reason);
        assert_eq!((found.found_in.as_deref(), dead.put(&found, "one").await), (None, Put::Refused));
        assert_eq!([dead.forget(&found).await, dead.forget(&found).await], [1, 0]);
    }
    let id = dead.add(json!(1)).await;
    bull.query::<()>(cmd("HSET").arg(format!("bull:dead odd:{id}")).arg("data").arg(b"\xff\0")).await;
    assert_eq!(dead.the_one().await.data, b"\xff\0");
}

async fn unless_a_worker_has_it_or_it_was_put_in_again(bull: &Bull) {
    let dead = Dead::of(bull, "dead foreign");
    bull.does(dead.queue, json!({"waits": true})).await;
    let of = |number: i64| entry("foreign", &json!(number), &json!(1), number);
    let id = bull.add(dead.queue, json!({"name": "job", "data": of(1)})).await;
    let found = dead.the_one().await;
    bull.work(dead.queue).await;
    eventually("a worker to have it", LIMIT, async || (bull.runs(dead.queue, &id).await.len() == 1).then_some(()))
        .await;
    assert_eq!(dead.forget(&found).await, 0, "whoever has it is not disturbed");
    assert_eq!(dead.found().await, Vec::new());
    bull.query::<()>(cmd("RPUSH").arg(format!("go:{}:job", dead.queue)).arg(1)).await;
    bull.is(dead.queue, &id, State::Completed).await;
    bull.ask(json!({"call": "rest", "queue": dead.queue})).await;
    let again = json!({"name": "job", "data": of(2), "opts": {"jobId": "one"}});
    let id = bull.add(dead.queue, again).await;
    let found = dead.the_one().await;
    bull.query::<()>(cmd("HSET").arg(format!("bull:{}:{id}", dead.queue)).arg("timestamp").arg(7)).await;
    assert_eq!(dead.forget(&found).await, 0, "it is another one");
}

async fn and_all_of_a_page(bull: &Bull) {
    let dead = Dead::of(bull, "dead many");
    let jobs: Vec<Value> = (0..1_200_i64)
        .map(|number| json!({"name": "x", "data": entry("many", &json!(number), &json!(number), 5_000 + number / 7)}))
        .collect();
    bull.ask(json!({"call": "add", "queue": dead.queue, "jobs": jobs})).await;
    let (mut cursor, mut listed) = (Cursor::default(), Vec::new());
    // What is new comes in parts.
    dead.source.list(dead.queue, cursor).await.unwrap();
    loop {
        let page = dead.source.list(dead.queue, cursor).await.unwrap();
        assert_eq!(page.failed, 1_200);
        let is_last = page.episodes.len() < dlq_processor::source::PAGE;
        (cursor, listed) = (page.next, [listed, page.episodes].concat());
        if is_last {
            break;
        }
    }
    assert!(listed.is_sorted_by_key(|episode| episode.failed_at_ms));
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), 1_200);
    assert_eq!(dead.source.forget(&listed).await.unwrap(), 1_200);
    assert_eq!((dead.found().await, dead.keys().await), (Vec::new(), Vec::new()));
}
