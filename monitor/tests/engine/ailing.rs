//! Random faults of real containers, with healing on and a monitor that is killed in the middle: whom a restart helps is
//! restarted, nobody else ever is.

use std::time::Instant;

use futures_util::StreamExt;
use http::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::harness::{Binary, LIMIT, LastSeen, TOKEN, ask_with, write_config};

/// Lives of a host: in everyday tests, and where time does not matter.
const LIVES: (usize, usize) = (1, 50);
/// Lives at the same time; each waits for probes and stops most of the time.
const AT_ONCE: usize = 3;
/// Services of a host. Each has a fault in each round; a third death within ten minutes would be a crash loop.
const SERVICES: usize = 5;
const ROUNDS: usize = 2;
/// The monitor is killed after so many more probes at most, which takes it about 4 s.
const PROBES_UNTIL_KILLED: f64 = 40.0;

/// What befalls a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Its program hangs: the kernel goes on taking connections, and nobody answers.
    Hang,
    /// Something kills its program, and no policy starts it again.
    Killed,
    /// A person stops it.
    Stopped,
    /// A person holds it where it stands.
    Paused,
    /// What it needs fails, and with that its own answer.
    Need,
}

impl Fault {
    const ALL: [Self; SERVICES] = [Self::Hang, Self::Killed, Self::Stopped, Self::Paused, Self::Need];

    /// Whether a restart helps, and hurts nobody.
    fn is_curable(self) -> bool {
        matches!(self, Self::Hang | Self::Killed)
    }
}

struct Ward {
    docker: DockerEngine,
    need: Target,
    names: Vec<String>,
    file: std::path::PathBuf,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Ward {
    async fn open() -> Self {
        let (docker, need, port) = (DockerEngine::start().await, Target::ok(""), free_port());
        let folder = tempfile::tempdir().unwrap();
        let mut yaml = format!(
            "listen: 127.0.0.1:{port}\nheal: {{ per_minute: 60 }}\n\
             defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\nservices:\n  \
             store: {{ checks: {{ web: {{ http: {{ url: \"{}\" }} }} }} }}\n",
            need.url("/")
        );
        let names: Vec<String> = (0..SERVICES).map(|index| format!("web{index}")).collect();
        for name in &names {
            let own = free_port();
            docker.run(name, &[], &[&format!("speak:{own}")]);
            yaml += &format!(
                "  {name}: {{ heal: true, needs: {{ hard: [store] }}, workload: {{ container: {{ name: {name}, \
                 engine: \"{}\", ready_timeout: 3s }} }}, \
                 checks: {{ web: {{ http: {{ url: \"http://127.0.0.1:{own}/\" }} }} }} }}\n",
                docker.address()
            );
        }
        let file = write_config(folder.path(), &yaml);
        Self { docker, need, names, file, port, _folder: folder }
    }

    fn strike(&self, name: &str, fault: Fault) {
        let signal = |signal| {
            let pid = self.docker.docker(&["inspect", "--format", "{{.State.Pid}}", name]);
            kill(Pid::from_raw(pid.parse().unwrap()), signal).unwrap();
        };
        match fault {
            Fault::Hang => signal(Signal::SIGSTOP),
            Fault::Killed => signal(Signal::SIGKILL),
            Fault::Stopped => drop(self.docker.docker(&["stop", name])),
            Fault::Paused => drop(self.docker.docker(&["pause", name])),
            Fault::Need => {
                self.need.set_status(503);
                signal(Signal::SIGSTOP);
            }
        }
    }

    fn relieve(&self, name: &str, fault: Fault) {
        match fault {
            Fault::Hang | Fault::Killed => {}
            Fault::Stopped => drop(self.docker.docker(&["start", name])),
            Fault::Paused => drop(self.docker.docker(&["unpause", name])),
            Fault::Need => {
                let pid = self.docker.docker(&["inspect", "--format", "{{.State.Pid}}", name]);
                kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGCONT).unwrap();
            }
        }
    }
}

/// How many probes a monitor has made.
async fn probes(monitor: &Binary) -> Option<f64> {
    let (_, metrics) = monitor.get("/metrics").await;
    let results = metrics.as_str()?.lines().filter(|line| line.starts_with("monitor_probe_results_total{"));
    Some(results.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
}

/// The latest heal; none also while the monitor does not answer yet.
fn latest(service: &Value) -> &Value {
    &service["healing"]["heals"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_random_faults_those_are_healed_that_a_restart_cures_and_kill_9_in_the_middle_changes_nothing() {
    let mut random = StdRng::seed_from_u64(testkit::seed());
    let count = testkit::at_scale(LIVES.0, LIVES.1);
    let lives = (0..count).map(|life| live(life, StdRng::seed_from_u64(random.random())));
    let mut lives = futures_util::stream::iter(lives).buffer_unordered(AT_ONCE);
    let (began, mut over, mut healed) = (Instant::now(), 0, 0);
    while let Some(curable) = lives.next().await {
        (over, healed) = (over + ROUNDS * SERVICES, healed + curable);
        let left = over - healed;
        eprintln!(
            "{over} of {} faults, {healed} healed, {left} rightly left, {:?}",
            count * ROUNDS * SERVICES,
            began.elapsed()
        );
    }
}

/// Returns how many of its faults a restart cures: each of them was healed, and no other.
async fn live(life: usize, mut random: StdRng) -> usize {
    let ward = Ward::open().await;
    let mut monitor = Binary::start("run", &ward.file, ward.port);
    let (mut known, mut curable) = (vec![0; SERVICES], 0);
    for round in 0..ROUNDS {
        for name in &ward.names {
            monitor.until(name, "up").await;
        }
        let faults: Vec<Fault> = match (life % 5, round) {
            // The first round of all has one of each.
            (0, 0) => Fault::ALL[..4].iter().copied().chain([Fault::Hang]).collect(),
            // A need that fails holds up everybody.
            (1, _) => vec![Fault::Need; SERVICES],
            _ => (0..SERVICES).map(|_| *Fault::ALL[..4].choose(&mut random).unwrap()).collect(),
        };
        for (name, fault) in ward.names.iter().zip(&faults) {
            ward.strike(name, *fault);
        }
        curable += faults.iter().filter(|fault| fault.is_curable()).count();
        // It is killed anywhere in what follows from the faults.
        let until = probes(&monitor).await.unwrap_or(0.0) + random.random_range(0.0..PROBES_UNTIL_KILLED);
        eventually("more probes", LIMIT, async || probes(&monitor).await.filter(|probes| *probes >= until)).await;
        monitor.signal(Signal::SIGKILL);
        monitor.ended().await;
        monitor = Binary::start("run", &ward.file, ward.port);
        for ((name, fault), known) in ward.names.iter().zip(&faults).zip(&mut known) {
            *known = outcome(&monitor, name, *fault, *known).await;
        }
        for (name, fault) in ward.names.iter().zip(&faults) {
            ward.relieve(name, *fault);
        }
        ward.need.set_status(200);
        for (name, known) in ward.names.iter().zip(&known) {
            let service = monitor.until(name, "up").await;
            assert_eq!(last_heal(&service), *known, "whom nobody had to heal: {service}");
            // What comes next is another trouble: two heals that did not last would be given up.
            let body = format!("{{\"service\": \"{name}\"}}");
            let resumed = ask_with(&monitor.url, Method::POST, "/api/v1/healing/resume", Some(TOKEN), &body).await;
            assert_eq!(resumed.0, 204, "{resumed:?}");
        }
    }
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ended().await, Some(0));
    curable
}

/// Waits until a fault has had its consequences, and returns when the service was last healed: now, or as before.
async fn outcome(monitor: &Binary, name: &str, fault: Fault, known: i64) -> i64 {
    let verdict = match fault {
        Fault::Hang | Fault::Killed => "up",
        Fault::Stopped => "stopped",
        Fault::Paused | Fault::Need => "down",
    };
    let last = LastSeen::default();
    let service = eventually(&format!("{name} to be {verdict} after {fault:?}"), LIMIT, async || {
        let (_, service) = monitor.get(&format!("/api/v1/services/{name}")).await;
        last.0.replace(service.clone());
        let is_settled = !fault.is_curable() || latest(&service)["result"] == "worked" && last_heal(&service) != known;
        (service["verdict"] == verdict && is_settled).then_some(service)
    })
    .await;
    let heal = last_heal(&service);
    assert_eq!(heal != known, fault.is_curable(), "{fault:?}: {service}");
    heal
}

/// When the latest heal was decided, in milliseconds; 0 if there is none.
fn last_heal(service: &Value) -> i64 {
    latest(service)["at"].as_str().map_or(0, |at| at.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}
