//! The monitor dies, or its disk fails, at each step between noticing an outage and knowing that its end was accepted:
//! each frame and sync of the state store, each fold of its log into the file, each send.
//!
//! The steps are system calls and are counted, not listed: a life is lived for the first, the second, … of each kind until
//! one survives. In everyday tests a few of each kind are taken from what a life without a fault does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{Target, eventually, free_port};

use crate::harness::{Binary, LIMIT, write_config};
use crate::kills::{all_told, assert_told_in_order};
use crate::traced::{Call, Fault, Trace, Traced, What};

const FRAME: Call = Call { name: "pwrite64", file: Some("state.db-wal") };
const SYNC: Call = Call { name: "fsync", file: Some("state.db-wal") };
const FOLD: Call = Call { name: "pwrite64", file: Some("state.db") };
const FOLD_SYNC: Call = Call { name: "fsync", file: Some("state.db") };
/// A message to the receiver: head and body in one call, as nothing else is sent here.
const SEND: Call = Call { name: "writev", file: None };
/// How the file is made, before it has a log.
const MAKE: [Call; 3] = [
    Call { name: "pwrite64", file: Some("state.db-journal") },
    Call { name: "fsync", file: Some("state.db-journal") },
    Call { name: "unlink", file: Some("state.db-journal") },
];
/// How it is closed, after the log was folded into it.
const CLOSE: [Call; 2] =
    [Call { name: "ftruncate", file: Some("state.db") }, Call { name: "unlink", file: Some("state.db-wal") }];
/// Lives at the same time: they mostly wait for probes.
const AT_ONCE: usize = 12;
/// Where time does not matter, the disk becomes full at every so many-th frame.
const FULL_EVERY: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn death_before_any_step_and_a_disk_that_fails_at_it_lose_no_message_and_break_no_order() {
    let used = used_data().await;
    let calm = live(Some(used.path()), None).await;
    assert!(calm.survived, "nothing happens without a fault");
    if testkit::at_scale(true, false) {
        let lives = survive(used.path(), a_few(&calm.trace)).await;
        return assert!(lives.last().is_some_and(|full| !full.was_durable), "a full disk is said");
    }
    for call in [FRAME, SYNC, SEND, FOLD, FOLD_SYNC].into_iter().chain(CLOSE) {
        die_at_each(call, Some(used.path())).await;
    }
    for call in [FRAME, SYNC, FOLD, FOLD_SYNC].into_iter().chain(MAKE) {
        die_at_each(call, None).await;
    }
    survive(used.path(), each_failure(&calm.trace)).await;
}

/// Returns data that an earlier monitor left: what makes the files comes before the steps of an alert otherwise.
async fn used_data() -> tempfile::TempDir {
    let scene = Scene::new(None);
    let monitor = Binary::start("run", &scene.config, scene.port);
    monitor.until("web", "up").await;
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
    scene.folder
}

/// Lives one life for the first call of its kind, one for the second, and so on until one survives.
async fn die_at_each(call: Call, used: Option<&Path>) {
    let die = |nth| async move { live(used, Some(&Fault { call, nth, what: What::Dies })).await.survived };
    let lives = stream::iter(1..).map(die).buffered(AT_ONCE);
    let deaths = lives.take_while(|survived| std::future::ready(!survived)).count().await;
    eprintln!("{call:?} on {} data: {deaths} deaths", if used.is_some() { "used" } else { "no" });
    assert!(deaths > 0, "{call:?} never happens");
}

/// Lives a life for each fault; returns them in the same order.
async fn survive(used: &Path, faults: Vec<Fault>) -> Vec<Life> {
    let lives = faults.iter().map(|fault| live(Some(used), Some(fault)));
    let lives: Vec<Life> = stream::iter(lives).buffered(AT_ONCE).collect().await;
    for (fault, life) in faults.iter().zip(&lives) {
        eprintln!("{fault:?}: {}", if life.survived { "survived" } else { "died" });
        let died = || faults.iter().zip(&lives).any(|(other, life)| other.call == fault.call && !life.survived);
        match fault.what {
            // Commits that only time causes shift the numbers by one or two.
            What::Dies => assert!(died(), "{fault:?}: nobody died there"),
            What::FailsOnce(_) | What::FailsFromThenOn(_) => {
                assert!(life.survived, "{fault:?}: the monitor died of it")
            }
        }
    }
    lives
}

/// Of every kind the steps that matter most, found in a life without a fault.
fn a_few(calm: &Trace) -> Vec<Fault> {
    // The first message leaves when its incident was written; the last commit marks that the last one was accepted.
    let (frames, syncs) = (calm.count_before(FRAME, SEND, 1), calm.count_before(SYNC, SEND, 1));
    // The commit that has the incident is the last one before that; the frames between its sync and the one before are its.
    let of_incident = usize::midpoint(calm.count_before(FRAME, SYNC, syncs - 1), frames);
    let dies = |call, nth| Fault { call, nth, what: What::Dies };
    vec![
        dies(FRAME, frames - 8),
        dies(FRAME, frames),
        dies(SYNC, syncs),
        dies(SEND, 1),
        dies(SEND, calm.count(SEND)),
        dies(FRAME, calm.count(FRAME) - 4),
        dies(SYNC, calm.count_before(SYNC, FOLD, 1) - 2),
        dies(FOLD, calm.count(FOLD) / 2),
        dies(FOLD_SYNC, calm.count(FOLD_SYNC)),
        Fault { call: SYNC, nth: syncs, what: What::FailsOnce("EIO") },
        // Then the ballast makes room; from the first frame on nothing does.
        Fault { call: FRAME, nth: of_incident, what: What::FailsFromThenOn("ENOSPC") },
        Fault { call: FRAME, nth: 1, what: What::FailsFromThenOn("ENOSPC") },
    ]
}

/// A failure of every sync, and a disk that becomes full at some frame.
fn each_failure(calm: &Trace) -> Vec<Fault> {
    let syncs = (1..=calm.count(SYNC)).map(|nth| Fault { call: SYNC, nth, what: What::FailsOnce("EIO") });
    let full = (1..=calm.count(FRAME)).step_by(FULL_EVERY);
    syncs.chain(full.map(|nth| Fault { call: FRAME, nth, what: What::FailsFromThenOn("ENOSPC") })).collect()
}

/// How a life went.
struct Life {
    survived: bool,
    trace: Trace,
    /// Whether the first message says that it is on the disk.
    was_durable: bool,
}

/// A service goes down and comes back while the receiver is away, then the receiver returns. If the monitor dies on the
/// way, all that is over before the next one starts.
async fn live(used: Option<&Path>, fault: Option<&Fault>) -> Life {
    let mut scene = Scene::new(used);
    let mut monitor = Traced::start(&scene.config, fault);
    let survived = scene.play(&mut monitor).await && monitor.ends().await;
    let trace = monitor.trace();
    scene.end_well().await;
    let was_durable = scene.messages()[0]["durable"] == true;
    Life { survived, trace, was_durable }
}

struct Scene {
    folder: tempfile::TempDir,
    config: PathBuf,
    port: u16,
    web: Target,
    /// Breaks when everything else is over: a monitor that was restarted is as good as any.
    api: Target,
    sink: Target,
    /// How many messages were refused because the receiver was away.
    refused: Option<usize>,
}

impl Scene {
    /// Begins with the databases in `used`, if any.
    fn new(used: Option<&Path>) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let (web, api, sink) = (Target::ok(""), Target::ok(""), Target::ok(""));
        sink.set_status(503);
        let check =
            |target: &Target| format!("{{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}", target.url("/"));
        let yaml = format!(
            "listen: 127.0.0.1:{port}\ndefaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms, fail_after: 2, recover_after: 1 }}\n\
             services:\n  web: {}\n  api: {}\nchannels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n",
            check(&web),
            check(&api),
            sink.url("/hook")
        );
        let config = write_config(folder.path(), &yaml);
        for file in used.iter().flat_map(|_| ["state.db", "history.db"]) {
            std::fs::create_dir_all(folder.path().join("data")).unwrap();
            std::fs::copy(used.unwrap().join("data").join(file), folder.path().join("data").join(file)).unwrap();
        }
        Self { folder, config, port, web, api, sink, refused: None }
    }

    /// Returns false as soon as the monitor dies.
    async fn play(&mut self, monitor: &mut Traced) -> bool {
        if !monitor.lives_until("the first probe", || self.web.connections() >= 1).await {
            return false;
        }
        self.web.set_status(500);
        if !monitor.lives_until("the page to be tried", || !self.sink.requests().is_empty()).await {
            return false;
        }
        self.web.set_status(200);
        let seen = self.web.connections();
        if !monitor.lives_until("a pass", || self.web.connections() > seen).await {
            return false;
        }
        self.return_receiver();
        monitor.lives_until("the end to be told", || self.is_told("web", "resolved")).await
    }

    /// Starts the monitor again without a fault, and says what was lost or told wrongly.
    async fn end_well(&mut self) {
        self.web.set_status(200);
        self.return_receiver();
        let monitor = Binary::start("run", &self.config, self.port);
        self.api.set_status(500);
        eventually("a later outage to be told", LIMIT, async || self.is_told("api", "firing").then_some(())).await;
        self.api.set_status(200);
        eventually("its end to be told", LIMIT, async || self.is_told("api", "resolved").then_some(())).await;
        let mut incidents = all_told(&monitor).await;
        monitor.signal(Signal::SIGTERM);
        assert_eq!(monitor.ended().await, Some(0));
        // Of what a full disk did not take, only the receiver knows.
        incidents.extend(
            self.messages().iter().map(|message| serde_json::json!({ "id": message["alerts"][0]["incident"] })),
        );
        assert_told_in_order(&incidents, &self.accepted());
        self.assert_repeats_are_the_same();
    }

    fn return_receiver(&mut self) {
        if self.refused.is_none() {
            self.refused = Some(self.sink.requests().len());
            self.sink.set_status(200);
        }
    }

    /// Every message that was tried, in order.
    fn messages(&self) -> Vec<Value> {
        let bodies = self.sink.requests().into_iter();
        bodies.map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }

    /// What the receiver accepted, in order, each key once.
    fn accepted(&self) -> Vec<Value> {
        let mut keys = BTreeSet::new();
        let all = self.messages().into_iter().skip(self.refused.unwrap_or(usize::MAX));
        all.filter(|message| keys.insert(message["key"].to_string())).collect()
    }

    fn is_told(&self, service: &str, status: &str) -> bool {
        self.accepted().iter().any(|message| message["alerts"][0]["service"] == service && message["status"] == status)
    }

    /// A key stands for one thing, however often it is tried.
    fn assert_repeats_are_the_same(&self) {
        let messages = self.messages();
        let what = |message: &Value| {
            let part = &message["alerts"][0];
            (part["incident"].clone(), part["event"].clone(), part["happening"].clone())
        };
        for message in &messages {
            let first = messages.iter().find(|first| first["key"] == message["key"]).unwrap();
            assert_eq!(what(message), what(first), "one key, two contents: {messages:?}");
        }
    }
}
