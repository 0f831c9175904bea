//! Which probes ask their target to record a trace.

use kit::trace::Context;
use testkit::{Target, eventually};

use crate::harness::{LIMIT, Running};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_probe_is_sampled_and_those_after_a_change_or_while_it_fails() {
    let target = Target::ok("");
    let running = Running::start(&format!(
        "defaults: {{ every: 1s, timeout: 500ms, fail_after: 2, recover_after: 1, every_when_failing: 100ms }}\n\
         services:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n",
        target.url("/")
    ))
    .await;
    let sampled = |from: usize, count: usize| {
        let target = &target;
        async move {
            let flags = async || {
                let requests = target.requests();
                let requests = requests.get(from..from + count)?;
                let parents = requests.iter().map(|request| Context::parse(request.header("traceparent").unwrap()));
                Some(parents.map(|parent| u8::from(parent.unwrap().is_sampled()).to_string()).collect::<String>())
            };
            eventually("probes", LIMIT, flags).await
        }
    };
    assert_eq!(sampled(0, 4).await, "1100", "the first, and the first of which is known that it is up");
    target.set_status(503);
    running.until("web", "down").await;
    let down = target.requests().len();
    assert_eq!(sampled(down, 3).await, "111");
    target.set_status(200);
    running.until("web", "up").await;
    let all = sampled(0, target.requests().len() + 3).await;
    let (_, after) = all.rsplit_once('1').unwrap();
    assert!(after.len() >= 2, "it is quiet again: {all}");
}
