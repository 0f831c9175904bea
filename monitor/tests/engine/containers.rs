//! Containers that a real Docker engine runs, watched.

use std::time::Duration;

use monitor::Kinds;
use monitor::supervise::bucket::Policy;
use serde_json::Value;
use testkit::{Authority, DockerEngine, Target, eventually, free_port};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running};

/// Restarts by a script that nobody knows of, in everyday tests and where time does not matter; and how many of them an
/// answer lists, at most.
const RESTARTS_BY_A_SCRIPT: (usize, usize) = (25, 100);
const RUNS_LISTED: usize = 50;

/// A service whose container has its name; `port` is what its check asks.
fn service(docker: &DockerEngine, name: &str, port: Option<u16>) -> String {
    found_by(docker, &format!("name: {name}"), name, port)
}

fn found_by(docker: &DockerEngine, sought: &str, name: &str, port: Option<u16>) -> String {
    let checks = port.map_or_else(String::new, |port| {
        format!(", checks: {{ port: {{ tcp: {{ address: \"127.0.0.1:{port}\" }} }} }}")
    });
    let engine = docker.address();
    format!("  {name}: {{ workload: {{ container: {{ {sought}, engine: \"{engine}\" }} }}{checks} }}\n")
}

pub(crate) fn config(services: &[String], sink: &Target) -> String {
    format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         channels: {{ hook: {{ webhook: {{ url: \"{}\" }}, evidence: full }} }}\nservices:\n{}",
        sink.url("/hook"),
        services.concat()
    )
}

/// Waits until a service's workload is as `is` wants it, and returns the service.
pub(crate) async fn until_workload(running: &Running, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{name} {what}"), LIMIT, async || {
        let (_, service) = running.get(&format!("/api/v1/services/{name}")).await;
        is(&service["workload"]).then_some(service)
    })
    .await
}

pub(crate) async fn incidents(running: &Running) -> Value {
    running.get("/api/v1/incidents").await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_dies_again_and_again_is_paged_once_with_its_cause_and_last_lines() {
    let (docker, sink) = (DockerEngine::start().await, Target::ok(""));
    // Whatever runs it and however long it lives: no polling is faster than the fastest of them.
    let lives = [("quick", "0.2"), ("slow", "1.1"), ("slower", "3"), ("late", "11")];
    let mut services: Vec<String> = lives.iter().map(|(name, _)| service(&docker, name, None)).collect();
    services.push(
        "  child: { workload: { process: { command: [sh, -c, 'echo child is out of luck; sleep 0.5; exit 3'] } } }\n"
            .to_owned(),
    );
    let running = Running::start(&config(&services, &sink)).await;
    for (name, secs) in lives {
        let millis = format!("wait:{}", secs.parse::<f64>().unwrap() * 1000.0);
        docker.run(name, &["--restart", "always"], &[&format!("print:{name} is out of luck"), &millis, "exit:3"]);
    }
    for name in lives.iter().map(|(name, _)| *name).chain(["child"]) {
        let looping = running.until(name, "crash_looping").await;
        assert!(
            looping["why"].as_str().unwrap().starts_with(&format!("exited with code 3: {name} is out of luck; ")),
            "{looping}"
        );
        let lines = serde_json::json!([format!("{name} is out of luck")]);
        assert_eq!(looping["workload"]["last_lines"], lines, "of its last run, and of no other");
        let page = eventually("the page", LIMIT, async || {
            let cause = format!("exited with code 3: {name} is out of luck");
            let title = format!("{name} is crash looping: {cause}; ");
            // Where the engine took seconds to start it again, it was down before it looped: that is the one page then.
            let slow = format!("{name} is down: {cause}");
            // At its third exit, and not later; those that die every second may be ahead of a busy machine.
            let exits = if ["slower", "late"].contains(&name) { "3 exits in 10 min" } else { "" };
            accepted(&sink).into_iter().find(|page| {
                let is_it = |text: &str| text.starts_with(&title) && text.contains(exits) || text.starts_with(&slow);
                page["title"].as_str().is_some_and(is_it)
            })
        });
        assert_eq!(page.await["alerts"][0]["evidence"]["last_lines"], lines);
        // Promised is 5 s after the third exit, whatever the interval of checks; a busy machine gets ten times that.
        let known = until_workload(&running, name, "three ends", |workload| third_end(workload).is_some()).await;
        let incidents = incidents(&running).await;
        let incident = incidents.as_array().unwrap().iter().find(|one| one["service"] == name).unwrap();
        let opened: jiff::Timestamp = incident["opened"].as_str().unwrap().parse().unwrap();
        assert!(
            opened <= third_end(&known["workload"]).unwrap() + jiff::SignedDuration::from_secs(50),
            "{incident} {known}"
        );
    }
    let image = docker.docker(&["inspect", "--format", "{{.Image}}", "slow"]);
    let known = until_workload(&running, "slow", "to run", |workload| workload["digest"].is_string()).await;
    assert_eq!(format!("sha256:{}", known["workload"]["digest"].as_str().unwrap()), image);
    assert_eq!(accepted(&sink).len(), 5, "one page each");
    running.stop().await;
}

/// Returns when the third run ended that is on record.
fn third_end(workload: &Value) -> Option<jiff::Timestamp> {
    let ends = workload["runs"].as_array()?.iter().rev().filter_map(|run| run["end"]["at"].as_str());
    ends.map(|at| at.parse().unwrap()).nth(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_paged_once_and_once_it_is_stable_again_that_is_told_once_however_seldom_it_is_asked() {
    let (docker, sink, need, port) = (DockerEngine::start().await, Target::ok(""), free_port(), free_port());
    let yaml = config(&[service(&docker, "web", Some(port))], &sink).replace("every: 1s", "every: 60s");
    // Ten minutes are ten seconds.
    let restarts = Policy {
        stable: Duration::from_secs(2),
        loop_window: Duration::from_secs(60),
        stable_for: Duration::from_secs(10),
        ..Policy::default()
    };
    let running = Running::start_scaled(&yaml, restarts).await;
    docker.run("web", &["--restart", "always"], &["wait:300", &format!("ask:{need}"), &format!("serve:{port}")]);
    let looping = running.until("web", "crash_looping").await;
    let why = "exited with code 1: something it needs cannot be reached: connect: Connection refused; ";
    assert!(looping["why"].as_str().unwrap().starts_with(why), "{looping}");
    let needed = std::net::TcpListener::bind(("127.0.0.1", need)).unwrap();
    let up = running.until("web", "up").await;
    eventually("the end to be told", LIMIT, async || {
        accepted(&sink).iter().any(|told| told["status"] == "resolved").then_some(())
    })
    .await;
    let told: Vec<Value> = accepted(&sink).iter().map(|told| told["status"].clone()).collect();
    assert_eq!(told, ["firing", "resolved"], "nothing goes up and down in between");
    // It was called up only when it had run as long as makes it stable.
    let [since, started] = [&up["since"], &up["workload"]["started"]].map(|at| at.as_str().unwrap().parse().unwrap());
    let stable = jiff::Timestamp::duration_since(since, started);
    assert!(stable >= jiff::SignedDuration::from_secs(9), "{stable}: {up}");
    drop(needed);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_stops_is_stopped_what_is_done_completed_and_nobody_is_paged() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let web = found_by(&docker, "compose: shop/web", "web", Some(port));
    let services = [web, found_by(&docker, "label: job=migration", "migration", None)];
    let labels = ["com.docker.compose.project=shop", "com.docker.compose.service=web"];
    let options = ["--restart", "always", "--label", labels[0], "--label", labels[1]];
    docker.run("web", &options, &[&format!("serve:{port}")]);
    docker.run("some-job", &["--label", "job=migration"], &["wait:100", "exit:0"]);
    let running = Running::start(&config(&services, &sink)).await;
    running.until("web", "up").await;
    let done = running.until("migration", "completed").await;
    assert_eq!(done["workload"]["unplanned_exits"], 0, "{done}");
    docker.docker(&["stop", "web"]);
    let stopped = running.until("web", "stopped").await;
    assert_eq!(stopped["workload"]["phase"], "stopped");
    // A job of a person's has the labels of the service, and its end is nobody's outage.
    let job = [&options[2..], &["--label", "com.docker.compose.oneoff=True"]].concat();
    docker.run("web-run-1", &job, &["wait:100", "exit:3"]);
    assert_eq!(docker.docker(&["wait", "web-run-1"]), "3");
    // What a person starts again is up again.
    docker.docker(&["start", "web"]);
    let up = running.until("web", "up").await;
    assert_eq!(up["workload"]["runs"].as_array().unwrap().len(), 2, "{up}");
    assert_eq!(incidents(&running).await, serde_json::json!([]));
    assert_eq!(accepted(&sink), Vec::<Value>::new());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_memory_ran_out_for_says_so_and_one_that_is_not_there_is_gone() {
    let (docker, sink) = (DockerEngine::start().await, Target::ok(""));
    let services = ["eater", "nowhere"].map(|name| service(&docker, name, None));
    docker.run("eater", &["--memory", "8m", "--memory-swap", "8m"], &["wait:100", "eat"]);
    let running = Running::start(&config(&services, &sink)).await;
    let down = running.until("eater", "down").await;
    assert!(down["why"].as_str().unwrap().starts_with("exited with code 137: out of memory"), "{down}");
    let gone = running.until("nowhere", "gone").await;
    assert_eq!(gone["workload"]["phase"], "gone");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_that_nobody_announced_are_counted_and_are_no_crash_loop() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    docker.run("web", &["--restart", "always"], &[&format!("serve:{port}")]);
    let count = testkit::at_scale(RESTARTS_BY_A_SCRIPT.0, RESTARTS_BY_A_SCRIPT.1);
    // It may be healed, and is not: nothing of this is a trouble of its own.
    let healed = service(&docker, "web", Some(port)).replace("web: { ", "web: { heal: true, ");
    // A restart takes less than it takes to call a service down, as it does at the standard pace.
    let yaml = config(&[healed], &sink).replace("every_when_failing: 100ms", "every_when_failing: 1s");
    let running = Running::start(&yaml).await;
    running.until("web", "up").await;
    let mut counted = Value::Null;
    for restarts in 1..=count {
        docker.docker(&["restart", "--time", "0", "web"]);
        let is_known = |workload: &Value| workload["anonymous_restarts_1h"] == restarts;
        counted = until_workload(&running, "web", &format!("to have been restarted {restarts} times"), is_known).await;
    }
    assert_eq!(counted["workload"]["something_keeps_restarting_this"], true);
    assert_eq!(counted["workload"]["unplanned_exits"], 0, "they spend no budget: {counted}");
    assert_eq!(counted["healing"]["heals"], serde_json::json!([]), "{counted}");
    assert_eq!(docker.docker(&["inspect", "--format", "{{.RestartCount}}", "web"]), "0", "which is why we count");
    let runs = counted["workload"]["runs"].as_array().unwrap();
    let by_others = runs.iter().filter(|run| run["started_by"] == "anonymous" && run["end"]["by"] != "us").count();
    assert!(by_others >= count.min(RUNS_LISTED - 1), "{counted}");
    let (_, page) = running.get("/services/web").await;
    assert!(page.as_str().unwrap().contains(&format!("{count} times in the last hour, and nobody announced it")));
    let (_, found) = running.get("/api/v1/findings?service=web&rule=something_keeps_restarting_this").await;
    let said = format!("restarted {count} times in the last hour");
    assert_eq!(
        (found["findings"].as_array().map(Vec::len), &found["findings"][0]["message"]),
        (Some(1), &said.into()),
        "{found}"
    );
    let (_, metrics) = running.get("/metrics").await;
    let sample = format!("monitor_workload_anonymous_restarts{{service=\"web\"}} {count}");
    assert!(metrics.as_str().unwrap().lines().any(|line| line == sample), "{metrics}");
    running.until("web", "up").await;
    let incidents = incidents(&running).await;
    let told: Vec<_> = incidents.as_array().unwrap().iter().map(|one| (&one["name"], &one["severity"])).collect();
    assert_eq!(
        told,
        [(&"SomethingKeepsRestartingThis".into(), &"ticket".into())],
        "one ticket, and no page: {incidents}"
    );
    let messages: Vec<Value> = accepted(&sink).iter().map(|told| told["severity"].clone()).collect();
    assert_eq!(messages, ["ticket"], "told once, however often it happens");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_engine_is_away_nothing_is_down_and_afterwards_the_totals_are_right() {
    let (mut docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let services = [service(&docker, "web", Some(port)), service(&docker, "worker", None)];
    docker.run("web", &["--restart", "always"], &[&format!("serve:{port}")]);
    docker.run("worker", &["--restart", "always"], &["wait:1000000"]);
    let running = Running::start(&config(&services, &sink)).await;
    running.until("web", "up").await;
    let before = until_workload(&running, "worker", "to run", |workload| workload["phase"] == "running").await;
    let worker = docker.docker(&["inspect", "--format", "{{.State.Pid}}", "worker"]);
    docker.kill();
    let unseen = running.until("web", "unknown").await;
    let why = unseen["why"].as_str().unwrap();
    assert!(why.starts_with(&format!("the container engine at {} cannot be asked: ", docker.address())), "{why}");
    assert_eq!((&unseen["workload"]["phase"], &unseen["checks"][0]["health"]), (&"unknown".into(), &"up".into()));
    let worker = nix::unistd::Pid::from_raw(worker.parse().unwrap());
    nix::sys::signal::kill(worker, nix::sys::signal::Signal::SIGKILL).unwrap();
    docker.start_again().await;
    running.until("web", "up").await;
    let is_another = |workload: &Value| workload["phase"] == "running" && workload["run"] != before["workload"]["run"];
    let after = until_workload(&running, "worker", "to run again", is_another).await;
    assert_eq!(after["workload"]["unplanned_exits"], 1, "{after}");
    let (_, web) = running.get("/api/v1/services/web").await;
    assert_eq!(web["workload"]["unplanned_exits"], 0, "{web}");
    assert_eq!(incidents(&running).await, serde_json::json!([]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_takes_its_containers_along_is_one_event_and_no_services_crash() {
    let (mut docker, sink) = (DockerEngine::start_that_takes_its_containers_along().await, Target::ok(""));
    let names = ["one", "two", "three", "four"];
    let ports = names.map(|_| free_port());
    let services: Vec<String> =
        names.iter().zip(ports).map(|(name, port)| service(&docker, name, Some(port))).collect();
    for (name, port) in names.iter().zip(ports) {
        docker.run(name, &["--restart", "always"], &[&format!("serve:{port}")]);
    }
    let running = Running::start(&config(&services, &sink)).await;
    for name in names {
        running.until(name, "up").await;
    }
    // What ends as soon as it has begun has a trouble of its own.
    let (_, last) = running.get("/api/v1/services/four").await;
    let began: jiff::Timestamp = last["workload"]["started"].as_str().unwrap().parse().unwrap();
    let is_old = || (jiff::Timestamp::now().duration_since(began).as_secs() >= 11).then_some(());
    eventually("them to be older than a host's event lasts", LIMIT, async || is_old()).await;
    docker.stop();
    docker.start_again().await;
    for name in names {
        let again =
            |workload: &Value| workload["phase"] == "running" && workload["runs"].as_array().unwrap().len() == 2;
        until_workload(&running, name, "to run again", again).await;
        let after = running.until(name, "up").await;
        assert_eq!(after["workload"]["restart_level"], 0.0, "{after}");
        assert_eq!(after["workload"]["something_keeps_restarting_this"], false, "{after}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_found_out_and_what_happened_to_its_containers_is_known_afterwards() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    docker.run("web", &["--restart", "always"], &[&format!("serve:{port}")]);
    let running = Running::start(&config(&[service(&docker, "web", Some(port))], &sink)).await;
    running.until("web", "up").await;
    let pid = docker.docker(&["inspect", "--format", "{{.State.Pid}}", "web"]);
    docker.hang();
    let unseen = running.until("web", "unknown").await;
    assert!(unseen["why"].as_str().unwrap().ends_with("cannot be asked: no answer within 5 s"), "{unseen}");
    // Its checks go on deciding: nobody starts it again now.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    let down = running.until("web", "down").await;
    assert!(down["why"].as_str().unwrap().starts_with("port: "), "{down}");
    docker.go_on();
    let up = running.until("web", "up").await;
    assert_eq!(up["workload"]["last_end"], "exited with code 137: killed by SIGKILL");
    assert_eq!(up["workload"]["unplanned_exits"], 1, "{up}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_monitor_knows_the_runs_and_learns_how_one_ended_while_there_was_none() {
    let (docker, sink) = (DockerEngine::start().await, Target::ok(""));
    let yaml = config(&["steady", "worker"].map(|name| service(&docker, name, None)), &sink);
    docker.run("steady", &[], &["wait:1000000"]);
    docker.run("worker", &["--restart", "always"], &["print:one more", "wait:1000000"]);
    let running = Running::start(&yaml).await;
    let mut before = Vec::new();
    for name in ["steady", "worker"] {
        before.push(until_workload(&running, name, "to run", |workload| workload["phase"] == "running").await);
    }
    let folder = running.stop().await;
    let worker = docker.docker(&["inspect", "--format", "{{.State.Pid}}", "worker"]);
    let worker = nix::unistd::Pid::from_raw(worker.parse().unwrap());
    nix::sys::signal::kill(worker, nix::sys::signal::Signal::SIGKILL).unwrap();
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    let ended = |workload: &Value| workload["phase"] == "running" && workload["unplanned_exits"] == 1;
    let worker = until_workload(&running, "worker", "to run again", ended).await;
    assert_eq!(worker["workload"]["last_end"], "exited with code 137: killed by SIGKILL");
    assert_eq!(worker["workload"]["last_lines"], serde_json::json!(["one more"]));
    let steady = until_workload(&running, "steady", "to run", |workload| workload["phase"] == "running").await;
    assert_eq!(steady["workload"]["run"], before[0]["workload"]["run"]);
    assert_eq!(steady["workload"]["unplanned_exits"], 0, "{steady}");
    // A third one still knows what the run before wrote, and shows it where it shows the run.
    let running = Running::start_in(running.stop().await, &yaml, Kinds::standard()).await;
    let worker = until_workload(&running, "worker", "to run on", |workload| workload["phase"] == "running").await;
    let runs = worker["workload"]["runs"].as_array().unwrap();
    let lines: Vec<&Value> = runs.iter().map(|run| &run["last_lines"]).collect();
    assert_eq!(lines, [&Value::Null, &serde_json::json!(["one more"])], "{worker}");
    let (_, page) = running.get("/services/worker").await;
    assert!(page.as_str().unwrap().contains("<summary>The last lines it wrote (1)</summary>"), "{page}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_over_tcp_wants_a_certificate_and_is_watched_as_one_behind_a_socket() {
    let (authority, sink, port) = (Authority::new(), Target::ok(""), free_port());
    let docker = DockerEngine::start_with_tls(&authority, port).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (client, stranger) = (authority.client("monitor"), Authority::new().client("monitor"));
    let known = (file("cert.pem", client.pem()), file("key.pem", client.key_pem()));
    let unknown = (file("other.pem", stranger.pem()), file("other-key.pem", stranger.key_pem()));
    let ca = file("ca.pem", &authority.pem());
    let service = |name: &str, host: &str, (cert, key): &(String, String)| {
        format!(
            "  {name}: {{ workload: {{ container: {{ name: web, engine: \"tcp://{host}:{port}\", \
             tls: {{ ca_file: {ca}, cert_file: {cert}, key_file: {key} }} }} }} }}\n"
        )
    };
    docker.run("web", &[], &["wait:100000", "exit:0"]);
    let services = [service("web", "127.0.0.1", &known), service("stranger", "localhost", &unknown)];
    let running = Running::start(&config(&services, &sink)).await;
    until_workload(&running, "web", "to run", |workload| workload["phase"] == "running").await;
    let blind = until_workload(&running, "stranger", "to be refused", |workload| workload["phase"] == "unknown").await;
    let why = blind["why"].as_str().unwrap();
    assert!(why.starts_with(&format!("the container engine at tcp://localhost:{port} cannot be asked")), "{why}");
    running.stop().await;
}
