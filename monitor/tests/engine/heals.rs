//! Healing of real processes and containers: restarted where that helps, by us and on record, and left alone otherwise.

use http::Method;
use monitor::supervise::bucket::Policy;
use serde_json::{Value, json};
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running, TOKEN, ask_with};

pub(crate) fn config(sink: &Target, services: &str) -> String {
    format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         channels: {{ hook: {{ webhook: {{ url: \"{}\" }}, evidence: full }} }}\nservices:\n{services}",
        sink.url("/hook")
    )
}

/// A service in a container of its name that is to be healed and is asked over HTTP.
pub(crate) fn contained(docker: &DockerEngine, name: &str, port: u16, heal: &str) -> String {
    let engine = docker.address();
    format!(
        "  {name}: {{ heal: {heal}, workload: {{ container: {{ name: {name}, engine: \"{engine}\", ready_timeout: 3s }} }}, \
         checks: {{ web: {{ http: {{ url: \"http://127.0.0.1:{port}/\" }} }} }} }}\n"
    )
}

/// Holds a container's program where it stands: the kernel goes on taking connections, and nobody answers.
pub(crate) fn freeze(docker: &DockerEngine, name: &str) {
    let pid = docker.docker(&["inspect", "--format", "{{.State.Pid}}", name]);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), nix::sys::signal::Signal::SIGSTOP)
        .unwrap();
}

pub(crate) async fn until_healed(running: &Running, name: &str, heals: usize) -> Value {
    eventually(&format!("{name} to be healed {heals} times"), LIMIT, async || {
        let (_, service) = running.get(&format!("/api/v1/services/{name}")).await;
        let known = service["healing"]["heals"].as_array()?;
        (known.len() >= heals && known[0]["result"] == "worked" && service["verdict"] == "up").then_some(service)
    })
    .await
}

/// Who ended each run that ended, oldest first.
pub(crate) fn enders(service: &Value) -> Vec<&str> {
    let runs = service["workload"]["runs"].as_array().unwrap();
    runs.iter().rev().filter_map(|run| run["end"]["by"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_restarted_a_container_and_why_is_on_record_though_docker_forgets_it() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let yaml = config(&sink, &contained(&docker, "web", port, "true"));
    docker.run("web", &["--restart", "on-failure"], &[&format!("speak:{port}")]);
    let running = Running::start(&yaml).await;
    running.until("web", "up").await;
    freeze(&docker, "web");
    let healed = until_healed(&running, "web", 1).await;
    assert_eq!(healed["healing"]["heals"][0]["trouble"], "hang", "{healed}");
    // One by hand.
    docker.docker(&["restart", "web"]);
    eventually("the restart by hand", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/web").await;
        (enders(&service) == ["us", "anonymous"]).then_some(())
    })
    .await;
    running.until("web", "up").await;
    // Another monitor knows it all, and goes on.
    let folder = running.stop().await;
    let running = Running::start_in(folder, &yaml, monitor::Kinds::standard()).await;
    let known = running.until("web", "up").await;
    assert_eq!(enders(&known), ["us", "anonymous"], "{known}");
    assert_eq!(known["healing"]["heals"].as_array().map(Vec::len), Some(1));
    assert_eq!(docker.docker(&["inspect", "--format", "{{.RestartCount}}", "web"]), "0");
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("monitor_heals_total{result=\"failed\"} 0"), "{metrics}");
    // What a pipeline announces is planned, whoever does it.
    let path = "/api/v1/services/web/announcement";
    let announce = |body: &'static str| ask_with(&running.url, Method::POST, path, Some(TOKEN), body);
    let (status, answer) = announce(r#"{"for": "48h"}"#).await;
    assert_eq!(
        (status, &answer["message"]),
        (400, &json!("it would hold for more than 24 h; make a maintenance window instead"))
    );
    assert_eq!(announce(r#"{"for": "5m", "why": "version 1.2"}"#).await.0, 200);
    docker.docker(&["restart", "web"]);
    let planned = eventually("the announced restart", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/web").await;
        (enders(&service) == ["us", "anonymous", "announced"]).then_some(service)
    })
    .await;
    assert_eq!(planned["announced"]["why"], "version 1.2", "{planned}");
    assert_eq!(ask_with(&running.url, Method::DELETE, path, Some(TOKEN), "").await.0, 204);
    let (_, ended) = running.get("/api/v1/services/web").await;
    assert_eq!(ended["announced"], Value::Null);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_by_hand_or_paused_is_left_alone_until_somebody_resumes_it() {
    let (docker, sink) = (DockerEngine::start().await, Target::ok(""));
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let named = ["still", "paused", "starter", "migration"];
    let mut services =
        named.iter().zip(ports).map(|(name, port)| contained(&docker, name, port, "true")).collect::<String>();
    // Who takes his time to start, and says so.
    services = services.replacen("ready_timeout: 3s", "ready_timeout: 60s", 3);
    for (name, port) in [("still", ports[0]), ("paused", ports[1])] {
        docker.run(name, &[], &[&format!("speak:{port}")]);
    }
    docker.run("starter", &[], &["wait:6000", &format!("speak:{}", ports[2])]);
    docker.run("migration", &[], &["wait:500", "exit:0"]);
    let running = Running::start(&config(&sink, &services)).await;
    for name in ["still", "paused"] {
        running.until(name, "up").await;
    }
    let pause = |body: &'static str| ask_with(&running.url, Method::POST, "/api/v1/healing/pause", Some(TOKEN), body);
    assert_eq!(pause(r#"{"service": "paused", "for": "1h", "why": "we look at it"}"#).await.0, 204);
    let (status, answer) = pause(r#"{"service": "pausd"}"#).await;
    assert_eq!(
        (status, &answer["message"]),
        (400, &json!("\"pausd\" is not a service that asks to be healed; did you mean \"paused\"?")),
        "{answer}"
    );
    docker.docker(&["stop", "still"]);
    freeze(&docker, "paused");
    running.until("still", "stopped").await;
    let held = eventually("the pause to hold it", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/paused").await;
        (service["healing"]["hold"] == "paused").then_some(service)
    })
    .await;
    assert_eq!(held["healing"]["paused"]["why"], "we look at it", "{held}");
    assert_eq!(held["healing"]["heals"], json!([]));
    let resumed =
        ask_with(&running.url, Method::POST, "/api/v1/healing/resume", Some(TOKEN), r#"{"service": "paused"}"#);
    assert_eq!(resumed.await.0, 204);
    until_healed(&running, "paused", 1).await;
    for (name, verdict) in [("still", "stopped"), ("starter", "up"), ("migration", "completed")] {
        let service = running.until(name, verdict).await;
        let untouched =
            (service["healing"]["heals"] == json!([]), service["workload"]["runs"].as_array().map(Vec::len));
        assert_eq!(untouched, (true, Some(1)), "{service}");
    }
    let (_, incidents) = running.get("/api/v1/incidents").await;
    let about: Vec<&Value> = incidents.as_array().unwrap().iter().map(|incident| &incident["service"]).collect();
    assert!(about.iter().all(|service| **service == "paused"), "of the others nobody hears: {incidents}");
    let (_, audit) = ask_with(&running.url, Method::GET, "/api/v1/audit", Some(TOKEN), "").await;
    let actions: Vec<&str> = audit.as_array().unwrap().iter().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions, ["healing.resume", "healing.pause"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_stopped_and_held_if_that_is_wanted_until_somebody_lets_it_go() {
    let (docker, sink, port, need) = (DockerEngine::start().await, Target::ok(""), free_port(), free_port());
    let yaml = config(&sink, &contained(&docker, "web", port, "{ quarantine: true }"));
    // A loop is given up at the eighth level; here at the third.
    let restarts = Policy { give_up_level: 3.0, ..Policy::default() };
    let running = Running::start_scaled(&yaml, restarts).await;
    docker.run("web", &["--restart", "always"], &["wait:200", &format!("ask:{need}"), &format!("speak:{port}")]);
    let held = eventually("web to be held", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/web").await;
        (service["verdict"] == "gave_up" && service["healing"]["heals"][0]["result"] == "worked").then_some(service)
    })
    .await;
    assert_eq!(held["healing"]["heals"][0]["action"], "quarantine", "{held}");
    assert_eq!(held["healing"]["hold"], "quarantined", "{held}");
    assert!(held["why"].as_str().unwrap().ends_with("; stopped and held in quarantine"), "{held}");
    let state = || docker.docker(&["inspect", "--format", "{{.State.Status}}", "web"]);
    assert_eq!(state(), "exited", "though its policy is to start it always");
    // Somebody mends it, and lets it go.
    let _needed = std::net::TcpListener::bind(("127.0.0.1", need)).unwrap();
    let resume = ask_with(&running.url, Method::POST, "/api/v1/healing/resume", Some(TOKEN), r#"{"service": "web"}"#);
    assert_eq!(resume.await.0, 204);
    eventually("web to serve again", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/web").await;
        (service["checks"][0]["health"] == "up").then_some(())
    })
    .await;
    assert_eq!(state(), "running");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_hangs_is_restarted_and_one_whose_need_is_down_is_not() {
    let (sink, store, ports) = (Target::ok(""), Target::ok(""), [free_port(), free_port()]);
    let web = |name: &str, port: u16, needs: &str| {
        let folder = tempfile::tempdir().unwrap().keep();
        format!(
            "  {name}: {{ heal: true, {needs} workload: {{ process: {{ command: [/usr/bin/python3, -m, http.server, \"{port}\", --bind, 127.0.0.1, --directory, {}], stop_grace: 1s }} }}, \
             checks: {{ web: {{ http: {{ url: \"http://127.0.0.1:{port}/\" }} }} }} }}\n",
            folder.display()
        )
    };
    let services = [
        web("web", ports[0], ""),
        web("shop", ports[1], "needs: [store],"),
        format!("  store: {{ checks: {{ web: {{ http: {{ url: \"{}\" }} }} }} }}\n", store.url("/")),
    ];
    let running = Running::start(&config(&sink, &services.concat())).await;
    let pids: Vec<i32> = {
        let mut pids = Vec::new();
        for name in ["web", "shop"] {
            let up = running.until(name, "up").await;
            pids.push(i32::try_from(up["workload"]["pid"].as_i64().unwrap()).unwrap());
        }
        pids
    };
    drop(store);
    running.until("store", "down").await;
    for pid in pids {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP).unwrap();
    }
    let healed = until_healed(&running, "web", 1).await;
    assert_eq!(healed["workload"]["runs"][0]["started_by"], "us", "{healed}");
    assert_eq!(enders(&healed), ["us"], "{healed}");
    let held = running.until("shop", "down").await;
    assert_eq!(held["healing"]["hold"], "need_down", "{held}");
    assert_eq!(held["healing"]["heals"], json!([]));
    assert!(accepted(&sink).iter().all(|page| page["title"].as_str().is_some_and(|title| !title.contains("gave up"))));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_calls_unhealthy_and_serves_is_explained_and_never_restarted() {
    let (docker, sink) = (DockerEngine::start().await, Target::ok(""));
    let ports = [free_port(), free_port()];
    let services = [contained(&docker, "serving", ports[0], "true"), contained(&docker, "failing", ports[1], "true")];
    // A check that needs a shell, in an image that has none; and one that passes whatever happens.
    let shell = format!("curl -f http://localhost:{}/", ports[0]);
    let options = ["--health-cmd", &shell, "--health-interval", "1s", "--health-retries", "1"];
    docker.run("serving", &options, &[&format!("speak:{}", ports[0])]);
    docker.add_image("careless", &[r#"HEALTHCHECK --interval=1s CMD ["/program", "exit:0"]"#]);
    docker.run_image("careless", "failing", &[], &["wait:600000"]);
    let running = Running::start(&config(&sink, &services.concat())).await;
    let disagrees = async |name: &str, kind: &str| {
        eventually(&format!("{name} to be {kind}"), LIMIT, async || {
            let (_, service) = running.get(&format!("/api/v1/services/{name}")).await;
            (service["discrepancy"]["kind"] == kind).then_some(service)
        })
        .await
    };
    let serving = disagrees("serving", "unhealthy_but_serving").await;
    assert_eq!(serving["verdict"], "up", "{serving}");
    assert_eq!(
        serving["discrepancy"]["why"],
        "the program of its own check, /bin/sh, is not in the image; the service answers"
    );
    let fix = serving["discrepancy"]["fix"].as_str().unwrap();
    assert!(fix.contains(&format!("\"monitor\", \"healthcheck\", \"http://127.0.0.1:{}/\"", ports[0])), "{fix}");
    assert_eq!((&serving["healing"]["heals"], &serving["workload"]["declared"]), (&json!([]), &json!("unhealthy")));
    let failing = disagrees("failing", "healthy_but_failing").await;
    assert_eq!(failing["verdict"], "down", "{failing}");
    let why = "its own check (/program exit:0) asks nothing over the network";
    assert_eq!(failing["discrepancy"]["why"], why);
    let found = running.get("/api/v1/findings").await.1["findings"].clone();
    let found = found.as_array().unwrap().iter().filter(|finding| finding["file"].is_null());
    let found: Vec<String> = found.map(|finding| format!("{} {}", finding["rule"], finding["service"])).collect();
    assert_eq!(found, ["\"healthy_but_failing\" \"failing\"", "\"unhealthy_but_serving\" \"serving\""]);
    running.stop().await;
}
