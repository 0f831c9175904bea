//! Channels that hang hold up only themselves: not the other channels, not one probe, not the monitor's end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{MailServer, Smtp, Target, eventually, free_port};

use crate::alerts::{accepted, told};
use crate::harness::{Binary, LIMIT, write_config};

const SERVICES: usize = 50;
/// Services that go down together, and how often others do. One service that did all of it would be flapping.
const TOGETHER: usize = 4;
const ROUNDS: usize = 4;
/// So often every check is asked while two channels hang.
const ASKED: usize = 10;
/// The monitor waits 5 s for messages that are on their way; a try may take [`LONG`], which is more than this.
const END_LIMIT: Duration = Duration::from_secs(50);

/// Deadlines of a try: the shortest and the longest that a channel may have.
const SHORT: &str = "1s";
const LONG: &str = "60s";

/// Everybody is told everything.
struct Receivers {
    hook: Target,
    stalled: Target,
    mail: MailServer,
}

impl Receivers {
    fn hanging() -> Self {
        Self { hook: Target::ok(""), stalled: Target::stall(), mail: Smtp::default().stall_at("greeting").start() }
    }

    fn write(&self, folder: &Path, services: &str, port: u16, timeout: &str) -> std::path::PathBuf {
        let yaml = format!(
            "listen: 127.0.0.1:{port}\ndefaults: {{ every: 1s, timeout: 1s, every_when_failing: 100ms }}\nservices:\n{services}\
             channels:\n  hook: {{ webhook: {{ url: \"{}\" }} }}\n  stalled: {{ timeout: {timeout}, webhook: {{ url: \"{}\" }} }}\n\
             \x20 mail:\n    timeout: {timeout}\n    email: {{ to: [ops@example.com], from: monitor@example.org, smtp: {{ host: 127.0.0.1, port: {}, tls: none, step_timeout: 60s }} }}\n\
             routes: [{{ to: [hook, stalled, mail] }}]\n",
            self.hook.url("/"),
            self.stalled.url("/"),
            self.mail.target().addr().port(),
        );
        write_config(folder, &yaml)
    }

    /// Waits until both hang with a connection more than they had.
    async fn hang(&self, before: (usize, usize)) {
        eventually("both channels to be tried", LIMIT, async || {
            let now = self.tries();
            (now.0 > before.0 && now.1 > before.1).then_some(())
        })
        .await;
    }

    fn tries(&self) -> (usize, usize) {
        (self.stalled.connections(), self.mail.target().connections())
    }
}

/// Waits until so many incidents have been told like this, such as `opened resolved`.
async fn until_told(hook: &Target, line: &str, count: usize) -> BTreeMap<String, String> {
    let what = format!("{count} incidents to be told as {line}");
    eventually(&what, LIMIT, async || {
        let told = told(&accepted(hook));
        (told.values().filter(|told| *told == line).count() >= count).then_some(told)
    })
    .await
}

async fn names(monitor: &Binary, incidents: impl Iterator<Item = &String>) -> Vec<String> {
    let mut names = Vec::new();
    for id in incidents {
        let (_, incident) = monitor.get(&format!("/api/v1/incidents/{id}")).await;
        names.push(format!("{} {}", incident["name"].as_str().unwrap(), incident["service"].as_str().unwrap()));
    }
    names.sort();
    names
}

/// Waits until every opening that the channel owes was tried, and returns its deliveries by incident, oldest first.
async fn owed(monitor: &Binary, channel: &str) -> BTreeMap<String, Vec<Value>> {
    let what = format!("every opening to be tried on {channel}");
    eventually(&what, LIMIT, async || {
        let (_, rows) = monitor.get("/api/v1/deliveries?state=due&limit=1000").await;
        let mut owed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for row in rows.as_array()?.iter().filter(|row| row["channel"] == channel) {
            owed.entry(row["incident"].as_str()?.to_owned()).or_default().push(row.clone());
        }
        owed.values_mut().for_each(|rows| rows.sort_by_key(|row| row["event"].as_u64()));
        owed.values().all(|rows| rows[0]["tries"].as_u64() >= Some(1)).then_some(owed)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_hang_hold_up_no_other_channel_no_probe_and_not_the_end() {
    let (folder, port, receivers) = (tempfile::tempdir().unwrap(), free_port(), Receivers::hanging());
    let targets: Vec<Target> = (0..SERVICES).map(|_| Target::ok("")).collect();
    let services = targets.iter().enumerate().map(|(index, target)| {
        format!("  web{index}: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n", target.url("/"))
    });
    let services: String = services.collect();
    let file = receivers.write(folder.path(), &services, port, SHORT);
    let monitor = Binary::start("run", &file, port);
    for index in 0..SERVICES {
        monitor.until(&format!("web{index}"), "up").await;
    }

    let mut asked_before = Vec::new();
    for (round, some) in targets.chunks(TOGETHER).take(ROUNDS).enumerate() {
        some.iter().for_each(|target| target.set_status(503));
        until_told(&receivers.hook, "opened", TOGETHER).await;
        if round == 0 {
            receivers.hang((0, 0)).await;
            asked_before = targets.iter().map(Target::connections).collect();
        }
        some.iter().for_each(|target| target.set_status(200));
        until_told(&receivers.hook, "opened resolved", TOGETHER * (round + 1)).await;
    }
    let told = told(&accepted(&receivers.hook));
    assert!(told.values().all(|line| line == "opened resolved"), "{told:?}");
    let mut expected: Vec<String> = (0..TOGETHER * ROUNDS).map(|index| format!("ServiceDown web{index}")).collect();
    expected.sort();
    assert_eq!(names(&monitor, told.keys()).await, expected);

    eventually("every check to be asked again and again", LIMIT, async || {
        let asked = targets.iter().map(Target::connections).zip(&asked_before);
        asked.into_iter().all(|(now, before)| now >= before + ASKED).then_some(())
    })
    .await;
    let (_, metrics) = monitor.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("\nmonitor_scheduler_overruns_total 0\n"), "{metrics}");

    for channel in ["stalled", "mail"] {
        let owed = owed(&monitor, channel).await;
        assert!(owed.keys().eq(told.keys()), "{owed:?}");
        for rows in owed.values() {
            let happened: Vec<&str> = rows.iter().map(|row| row["happening"].as_str().unwrap()).collect();
            assert_eq!(happened, ["opened", "resolved"], "{rows:?}");
            assert!(rows[0]["said"].as_str().unwrap().contains("no answer within 1s"), "{rows:?}");
        }
    }

    // The next tries take a minute; the end does not wait for them.
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
    let file = receivers.write(folder.path(), &services, port, LONG);
    let before = receivers.tries();
    let mut monitor = Binary::start("run", &file, port);
    receivers.hang(before).await;
    monitor.signal(Signal::SIGTERM);
    let ended = eventually("the monitor to end", END_LIMIT, async || monitor.child.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));

    // Nothing was lost: receivers that work again hear all of it, in order.
    let late = Receivers { hook: receivers.hook, stalled: Target::ok(""), mail: Smtp::default().start() };
    let file = late.write(folder.path(), &services, port, SHORT);
    let monitor = Binary::start("run", &file, port);
    assert_eq!(until_told(&late.stalled, "opened resolved", told.len()).await, told);
    eventually("nothing to be owed", LIMIT, async || {
        let (_, rows) = monitor.get("/api/v1/deliveries?state=due").await;
        rows.as_array()?.is_empty().then_some(())
    })
    .await;
    assert!(!late.mail.mails().is_empty());
    assert_eq!(crate::alerts::told(&accepted(&late.hook)), told, "what was accepted is not said again");
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
}
