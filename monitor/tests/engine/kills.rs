//! The monitor is killed at random moments of an outage: what it knew is told all the same, in order.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use testkit::{Target, eventually, free_port};

use crate::alerts::{accepted, told};
use crate::harness::{Binary, LIMIT, write_config};

/// Messages in the order of their last arrival: what came before the receiver was back was not accepted.
fn accepted_last(sink: &Target) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    for request in sink.requests() {
        let Ok(message) = serde_json::from_slice::<Value>(&request.body) else { continue };
        messages.retain(|known| known["key"] != message["key"]);
        messages.push(message);
    }
    messages
}

/// Lives of a monitor that is killed again and again: in everyday tests, and where time does not matter. Half of them
/// have a receiver that is away, half one that accepts: then a kill falls between its accept and our knowing of it.
const LIVES: (usize, usize) = (2, 200);
/// Lives at the same time. One takes 6 s and less than 1 s of a core: it waits for probes and for its kills.
const AT_ONCE: usize = 8;
/// Services that go down and come back, one after the other, in one life; each costs two kills. One service that did all
/// of it would be flapping.
const SERVICES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_no_message_and_breaks_no_order() {
    let mut random = StdRng::seed_from_u64(testkit::seed());
    let count = testkit::at_scale(LIVES.0, LIVES.1);
    let lives = (0..count).map(|life| {
        let answer = if life % 2 == 0 { 503 } else { 200 };
        live_and_be_killed(StdRng::seed_from_u64(random.random()), answer)
    });
    let mut lives = futures_util::stream::iter(lives).buffer_unordered(AT_ONCE);
    let (began, mut over) = (Instant::now(), 0);
    while lives.next().await.is_some() {
        over += 1;
        if over % 20 == 0 {
            eprintln!("{over} of {count} lives, {} kills, {:?}", over * SERVICES * 2, began.elapsed());
        }
    }
}

async fn live_and_be_killed(mut random: StdRng, answer: u16) {
    let (folder, sink, port) = (tempfile::tempdir().unwrap(), Target::ok(""), free_port());
    let targets: Vec<Target> = (0..SERVICES).map(|_| Target::ok("")).collect();
    let services = targets.iter().enumerate().map(|(index, target)| {
        format!("  web{index}: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n", target.url("/"))
    });
    let yaml = format!(
        "listen: 127.0.0.1:{port}\ndefaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         services:\n{}channels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n",
        services.collect::<String>(),
        sink.url("/hook")
    );
    let file = write_config(folder.path(), &yaml);
    sink.set_status(answer);
    for (index, target) in targets.iter().enumerate() {
        for (status, verdict) in [(500, "down"), (200, "up")] {
            target.set_status(status);
            let monitor = Binary::start("run", &file, port);
            if (index, verdict) == (0, "down") {
                // So that there is something to lose: kills may come too soon for every other outage.
                eventually("the first message", LIMIT, async || sink.requests().first().map(drop)).await;
            } else if random.random_ratio(2, 3) {
                monitor.until(&format!("web{index}"), verdict).await;
            }
            // The random moment is what is tested; nothing waits for it to be long enough.
            tokio::time::sleep(Duration::from_millis(random.random_range(0..1000))).await;
            monitor.signal(Signal::SIGKILL);
            monitor.ended().await;
        }
    }
    sink.set_status(200);
    let monitor = Binary::start("run", &file, port);
    let incidents = all_told(&monitor).await;
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
    // A receiver that accepted hears repeats with the same key; one that was away accepted the last try.
    let messages = if answer == 200 { accepted(&sink) } else { accepted_last(&sink) };
    assert!(!messages.is_empty(), "the first outage was told before its kill: {incidents:?}");
    assert_told_in_order(&incidents, &messages);
}

/// Waits until nothing is wrong and nothing is left to tell; returns every incident that the monitor knows.
pub(crate) async fn all_told(monitor: &Binary) -> Vec<Value> {
    let all_told = eventually("everything to be told", LIMIT * 2, async || {
        let (_, open) = monitor.get("/api/v1/incidents?open=true").await;
        let (_, channels) = monitor.get("/api/v1/channels").await;
        (open.as_array()?.is_empty() && channels[0]["waiting"] == 0).then_some(())
    });
    all_told.await;
    let (_, incidents) = monitor.get("/api/v1/incidents?limit=1000").await;
    incidents.as_array().unwrap().clone()
}

/// Each incident was told when it opened and when it was over, in this order.
pub(crate) fn assert_told_in_order(incidents: &[Value], messages: &[Value]) {
    let told = told(messages);
    for incident in incidents {
        let line = told.get(incident["id"].as_str().unwrap()).map_or("", String::as_str);
        assert_eq!(line, "opened resolved", "{incident}");
    }
}
