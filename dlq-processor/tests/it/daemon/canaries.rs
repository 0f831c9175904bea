//! One letter that goes before those that are alike, while nobody asks for any of them.

use dlq_processor::ledger::Listed;
use serde_json::{Value, json};
use testkit::eventually;

use super::machine::{LIMIT, Machine, QUEUE};

const REFUSED: &str = "Request failed with status code 401";
/// Letters that are alike.
const ALIKE: usize = 6;

impl Machine {
    /// Has jobs of another name, which are refused for as long as the worker is there.
    async fn fail_others(&self, jobs: usize) -> Vec<String> {
        self.bull.set(&format!("does:{QUEUE}:other"), &json!({ "throws": REFUSED }).to_string()).await;
        let jobs: Vec<Value> = (0..jobs).map(|_| json!({ "name": "other", "data": {}, "opts": {} })).collect();
        let ids = self.bull.ask(json!({ "call": "add", "queue": QUEUE, "jobs": jobs })).await;
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    async fn runs_of(&self, jobs: &[String]) -> Vec<usize> {
        let mut runs = Vec::new();
        for id in jobs {
            runs.push(self.runs(id).await);
        }
        runs
    }
}

fn of<'l>(letters: &'l [Listed], jobs: &[String], state: &str) -> Vec<&'l Listed> {
    letters.iter().filter(|letter| jobs.contains(&letter.job) && letter.state == state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_access_is_refused_one_is_tried_now_and_then_and_those_that_are_alike_follow_once_it_is_granted() {
    let config = "queues: [{ queue: '*', mode: act, budget: off }]\noperator_token_file: token\n\
        canaries: { auth: { first: 1s, cap: 4s } }\nretries: { transient: { base: 1s, cap: 1s } }\n";
    let machine = Machine::start(config).await;
    let refused = machine.fail(ALIKE, REFUSED).await;
    let others = machine.fail_others(2).await;
    let daemon = machine.daemon().await;
    let tried = async |jobs: &[String], times: usize| {
        eventually("canaries to fail", LIMIT, async || {
            (of(&machine.letters().await, jobs, "recurred").len() >= times).then_some(())
        })
        .await;
    };
    tried(&refused, 2).await;
    daemon.kill();
    // Whoever acts next knows how far that has come.
    let _daemon = machine.daemon().await;
    tried(&refused, 3).await;
    let (_, page) = machine.page("/").await;
    assert!(page.contains("one of them is tried ") && page.contains(" before</span>"), "{page}");
    let runs = machine.runs_of(&refused).await;
    assert!(runs.iter().all(|runs| (1..=2).contains(runs)), "each canary is another job: {runs:?}");
    assert!(runs.contains(&1), "the others stay parked: {runs:?}");
    eventually("it to be counted", LIMIT, async || {
        machine.metric("dlq_canaries_total", "result=\"failed\"").await.filter(|failed| *failed >= 1.0)
    })
    .await;
    assert_eq!(machine.metric("dlq_canaries_total", "result=\"passed\"").await, Some(0.0));

    machine.does(json!({})).await;
    let letters = eventually("all of them to be done", LIMIT, async || {
        let letters = machine.letters().await;
        (of(&letters, &refused, "resolved").len() == ALIKE).then_some(letters)
    })
    .await;
    for (job, runs) in refused.iter().zip(machine.runs_of(&refused).await) {
        let failures = letters.iter().filter(|letter| letter.job == *job).count();
        assert_eq!(runs, failures + 1, "job {job} fails as often as there are letters of it, and is done once");
    }
    assert_eq!(machine.metric("dlq_canaries_total", "result=\"passed\"").await, Some(1.0));
    let before = of(&letters, &others, "recurred").len();
    tried(&others, before + 1).await;
    assert_eq!(of(&machine.letters().await, &others, "resolved"), Vec::<&Listed>::new());
    assert!(!of(&machine.letters().await, &others, "parked").is_empty(), "one of them stays parked");
    let why = async |letter: &Listed| {
        let (_, shown) =
            machine.ask_as_operator("GET", &format!("/api/v1/letters/{}", letter.id), "", &Value::Null).await;
        let lines = shown["audit"].as_array().unwrap().clone();
        assert!(lines.len() == 1 && lines[0]["who"] == "dlq-processor" && lines[0]["what"] == "redrive", "{shown}");
        lines[0]["why"].as_str().unwrap().to_owned()
    };
    let mut followed = 0;
    for letter in of(&letters, &refused, "resolved") {
        let why = why(letter).await;
        assert!(why == "canary" || why.starts_with("canary ") && why.ends_with(" was done"), "{why}");
        followed += usize::from(why != "canary");
    }
    assert_eq!(followed, ALIKE - 1);
}
