//! What a doctor finds on real servers.

use serde_json::Value;
use testkit::free_port;

use super::NO_ADDRESS;
use crate::daemon::machine::{Machine, QUEUE};

const ACTS: &str = "queues: [{ queue: '*', mode: act }]\n";

impl Machine {
    /// The exit code, and what is wrong: source, queue, finding, what to do.
    async fn wrong(&self, arguments: &[&str]) -> (i32, Vec<[String; 4]>) {
        let said = self.says(&[&["doctor", "--json"], arguments].concat()).await;
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let findings = said.json()["findings"].as_array().unwrap().clone();
        let wrong = findings.iter().filter(|finding| finding["mark"] == "wrong");
        let wrong = wrong.map(|finding| ["of", "queue", "finding", "what_to_do"].map(|key| text(finding, key)));
        (said.code, wrong.collect())
    }

    async fn set_eviction(&self, policy: &str) {
        self.bull.query::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg(policy)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_finds_what_would_lose_letters_and_else_that_all_is_well() {
    let mut machine = Machine::start(ACTS).await;
    let said = machine.says(&["doctor"]).await;
    assert_eq!(said.code, 0, "{}", said.output);
    assert!(said.output.contains("data/ledger.db is made at the first start"), "{}", said.output);
    assert!(said.output.contains("Redis writes no append-only file"), "{}", said.output);
    assert!(said.output.contains("has no queues yet") && said.output.contains("all is well"), "{}", said.output);
    assert!(!machine.folder.path().join("data").exists(), "it changes nothing");
    machine.fail(1, NO_ADDRESS).await;
    assert_eq!(machine.wrong(&[]).await, (0, Vec::new()));

    machine.set_eviction("allkeys-lru").await;
    let finding = "Redis throws jobs away when it is full (maxmemory-policy allkeys-lru)";
    let expected = ["jobs", "", finding, "set it to noeviction"].map(str::to_owned);
    assert_eq!(machine.wrong(&[]).await, (1, vec![expected]));
    machine.set_eviction("noeviction").await;

    machine.throw_away(50);
    machine.fail(1, NO_ADDRESS).await;
    let (code, wrong) = machine.wrong(&[]).await;
    let [source, queue, finding, what_to_do] = &wrong[0];
    assert_eq!((code, source.as_str(), queue.as_str()), (1, "jobs", QUEUE));
    assert!(finding.contains("removeOnFail: 50") && what_to_do == "give it { age: 604800 } or false", "{wrong:?}");
    machine.configure("queues: [{ queue: '*', mode: act, accept: [retention] }]\n");
    assert_eq!(machine.wrong(&[]).await, (0, Vec::new()), "somebody has accepted it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_says_which_source_is_away_and_looks_at_the_others() {
    let machine = Machine::start("").await;
    let (here, away) = (machine.bull.redis.url(), free_port());
    let config = format!(
        "sources: {{ here: {{ bullmq: {{ url: '{here}' }} }}, gone: {{ bullmq: {{ url: 'redis://127.0.0.1:{away}' }} }} }}\n"
    );
    std::fs::write(machine.folder.path().join("two.yml"), config).unwrap();
    let (code, wrong) = machine.wrong(&["--config", "two.yml"]).await;
    assert_eq!((code, wrong.len()), (1, 1), "{wrong:?}");
    let [source, _, finding, what_to_do] = &wrong[0];
    assert!(source == "gone" && finding.starts_with("does not answer: Redis: Connection refused"), "{wrong:?}");
    assert_eq!(what_to_do, "see that it runs, and that sources.gone says where");
    let shown = machine.says(&["doctor", "--config", "two.yml"]).await.output;
    assert!(shown.contains("✕ wrong") && shown.contains("no queue has mode: act"), "{shown}");

    std::fs::write(machine.folder.path().join("bad.yml"), "sorces: {}\n").unwrap();
    let bad = machine.says(&["doctor", "--config", "bad.yml"]).await;
    assert!(bad.code == 78 && bad.errors.contains("did you mean \"sources\"?"), "{} {}", bad.code, bad.errors);
}
