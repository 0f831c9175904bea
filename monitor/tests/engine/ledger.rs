//! Who restarted what, and why, as it stays on record: though monitors are killed and Docker counts nothing of it.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::harness::{Binary, LIMIT, LastSeen, write_config};
use crate::heals::{config, contained, enders, freeze};
use crate::replicas::signal;

/// A monitor that is killed where it stands, again and again; the next one works in the same folder.
struct Monitor<'a> {
    file: &'a Path,
    port: u16,
    binary: Binary,
}

impl<'a> Monitor<'a> {
    fn start(file: &'a Path, port: u16) -> Self {
        Self { file, port, binary: Binary::start("run", file, port) }
    }

    async fn kill_and_do(self, meanwhile: impl FnOnce()) -> Self {
        self.binary.signal(Signal::SIGKILL);
        let (file, port) = (self.file, self.port);
        assert_eq!(self.binary.ended().await, None, "killed");
        meanwhile();
        Self::start(file, port)
    }

    /// Waits until `web` was healed so many times and works.
    async fn until_healed(&self, heals: usize) {
        self.until(&format!("web to be healed {heals} times"), |web| {
            let done = web["healing"]["heals"].as_array();
            let all_worked = done.is_some_and(|done| done.len() == heals && done[0]["result"] == "worked");
            all_worked && web["verdict"] == "up"
        })
        .await;
    }

    /// Lets what `web` needs fail, and `web` end with it; waits until that is on record.
    async fn end_with(self, docker: &DockerEngine, store: &Target) -> Self {
        store.set_status(500);
        self.binary.until("store", "down").await;
        signal(docker, "web", Signal::SIGKILL);
        self.until("web to have ended", |web| web["workload"]["runs"][0]["end"].is_object()).await;
        self
    }

    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let last = LastSeen::default();
        eventually(what, LIMIT, async || {
            let (_, web) = self.binary.get("/api/v1/services/web").await;
            let is_it = is(&web);
            last.0.replace(web);
            is_it.then(|| last.0.take())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_heals_and_one_restart_by_hand_are_told_apart_by_monitors_of_which_each_was_killed() {
    let (docker, sink, store) = (DockerEngine::start().await, Target::ok(""), Target::ok(""));
    let (folder, port, web) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let services = [
        contained(&docker, "web", web, "true, needs: [store]"),
        format!("  store: {{ checks: {{ web: {{ http: {{ url: \"{}\" }} }} }} }}\n", store.url("/")),
    ];
    let yaml = format!("listen: 127.0.0.1:{port}\n{}", config(&sink, &services.concat()));
    let file = write_config(folder.path(), &yaml);
    docker.run("web", &[], &[&format!("speak:{web}")]);
    let monitor = Monitor::start(&file, port);
    monitor.binary.until("web", "up").await;
    freeze(&docker, "web");
    monitor.until_healed(1).await;
    // The second hang begins while nobody looks.
    let monitor = monitor.kill_and_do(|| freeze(&docker, "web")).await;
    monitor.until_healed(2).await;
    // A third exit within ten minutes would be a loop; that of what it needs is not its own.
    let monitor = monitor.end_with(&docker, &store).await;
    let monitor = monitor.kill_and_do(|| store.set_status(200)).await;
    monitor.until_healed(3).await;
    let monitor = monitor.end_with(&docker, &store).await;
    store.set_status(200);
    // Killed as soon as the fourth is decided: whether it was ordered only the ledger can tell.
    monitor.until("the fourth heal", |web| web["healing"]["heals"].as_array().is_some_and(|all| all.len() == 4)).await;
    let monitor = monitor.kill_and_do(|| ()).await;
    monitor.until_healed(4).await;
    docker.docker(&["restart", "--time", "0", "web"]);
    monitor.until("the restart by hand", |web| enders(web).last() == Some(&"anonymous")).await;
    monitor.binary.until("web", "up").await;
    let started = docker.docker(&["inspect", "--format", "{{.State.StartedAt}}", "web"]);
    let monitor = monitor.kill_and_do(|| ()).await;
    let known = monitor.binary.until("web", "up").await;
    assert_eq!(docker.docker(&["inspect", "--format", "{{.State.StartedAt}}", "web"]), started, "nobody touched it");
    assert_eq!(docker.docker(&["inspect", "--format", "{{.RestartCount}}", "web"]), "0", "which is why we count");
    let words = |text: String| text.replace('"', "");
    let runs = known["workload"]["runs"].as_array().unwrap().iter().rev();
    let runs = runs
        .map(|run| words(format!("by {}, ended by {}: {}", run["started_by"], run["end"]["by"], run["end"]["how"])));
    let expected = [
        "by runtime, ended by us: exited with code 137: killed by SIGKILL",
        "by us, ended by us: exited with code 137: killed by SIGKILL",
        "by us, ended by runtime: exited with code 137: killed by SIGKILL",
        "by us, ended by runtime: exited with code 137: killed by SIGKILL",
        "by us, ended by anonymous: exited with code 137: killed by SIGKILL",
        "by anonymous, ended by null: null",
    ];
    assert_eq!(runs.collect::<Vec<_>>(), expected, "{known}");
    let heals = known["healing"]["heals"].as_array().unwrap().iter().rev();
    let heals = heals.map(|heal| words(format!("{} against {}: {}", heal["action"], heal["trouble"], heal["why"])));
    let hang = "restart against hang: web: no answer within 500ms (while waiting for the first byte)";
    let end = "start against killed: exited with code 137: killed by SIGKILL";
    assert_eq!(heals.collect::<Vec<_>>(), [hang, hang, end, end], "{known}");
    monitor.binary.signal(Signal::SIGTERM);
    assert_eq!(monitor.binary.ended().await, Some(0));
}
