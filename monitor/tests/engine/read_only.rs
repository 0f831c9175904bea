//! A container engine behind a real proxy that lets only reading through, as those put there who do not hand its socket out.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::{DockerEngine, SocketProxy, Target, eventually, free_port};

use crate::alerts::accepted;
use crate::containers::until_workload;
use crate::harness::{LIMIT, Running, TOKEN, write_config};
use crate::heals::{config, enders, freeze};
use crate::replicas::signal;

/// A service in a container of its name.
fn contained(name: &str, engine: &str, more: &str) -> String {
    format!(
        "  {name}: {{ workload: {{ container: {{ name: {name}, engine: \"{engine}\", ready_timeout: 3s }} }}{more} }}\n"
    )
}

/// Whatever has our labels is found, beside the services above.
fn discovery(engine: &str) -> String {
    format!("discover: {{ docker: {{ container: {{ engine: \"{engine}\" }} }} }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_ends_lines_and_health_are_seen_through_a_proxy_that_lets_only_reading_through() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let proxy = SocketProxy::start(&docker, &[]).await;
    let engine = proxy.address();
    docker.add_image("careful", &[r#"HEALTHCHECK --interval=1s CMD ["/program", "exit:0"]"#]);
    docker.run_image("careful", "web", &["--restart", "always"], &["print:ready", &format!("serve:{port}")]);
    let check = format!("monitor.check.port.tcp=:{port}");
    let labels = ["--label", "monitor.enable=true", "--label", "monitor.name=shop", "--label", &check];
    docker.run("found-by-label", &labels, &["wait:1000000"]);
    let services = contained("web", &engine, "") + &contained("looper", &engine, "");
    let running = Running::start(&config(&sink, &(services + &discovery(&engine)))).await;
    running.until("shop", "up").await;
    let healthy = |workload: &Value| workload["declared"] == "healthy";
    let web = until_workload(&running, "web", "to be healthy", healthy).await;
    signal(&docker, "web", Signal::SIGKILL);
    let another = |workload: &Value| workload["phase"] == "running" && workload["run"] != web["workload"]["run"];
    let again = until_workload(&running, "web", "to run again", another).await;
    assert_eq!(again["workload"]["last_end"], "exited with code 137: killed by SIGKILL", "{again}");
    assert_eq!(again["workload"]["last_lines"], json!(["ready"]), "{again}");
    docker.run("looper", &["--restart", "always"], &["print:no key", "wait:200", "exit:3"]);
    let looping = running.until("looper", "crash_looping").await;
    assert!(looping["why"].as_str().unwrap().starts_with("exited with code 3: no key; "), "{looping}");
    eventually("the page", LIMIT, async || {
        let is_it =
            |page: &Value| page["title"].as_str().is_some_and(|title| title.contains("exited with code 3: no key"));
        accepted(&sink).iter().any(is_it).then_some(())
    })
    .await;
    docker.docker(&["stop", "web"]);
    running.until("web", "stopped").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heal_that_the_proxy_refuses_is_told_and_counted_and_spends_nothing() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let proxy = SocketProxy::start(&docker, &[]).await;
    let engine = proxy.address();
    docker.run("web", &[], &[&format!("speak:{port}")]);
    let check = format!(", heal: true, checks: {{ web: {{ http: {{ url: \"http://127.0.0.1:{port}/\" }} }} }}");
    let running = Running::start(&config(&sink, &contained("web", &engine, &check))).await;
    running.until("web", "up").await;
    freeze(&docker, "web");
    let refused = eventually("the heal to be refused", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/web").await;
        (service["healing"]["hold"] == "refused").then_some(service)
    })
    .await;
    let said = format!(
        "the container engine at {engine} lets us only read: it answers with 403 Forbidden; to heal we need write access"
    );
    let heals = refused["healing"]["heals"].as_array().unwrap();
    assert_eq!(
        (heals.len(), &heals[0]["result"], &heals[0]["refusal"]),
        (1, &json!("refused"), &json!(said)),
        "{refused}"
    );
    let why = refused["healing"]["hold_why"].as_str().unwrap();
    assert!(why.starts_with(&format!("a restart was refused: {said}; asked again in ")), "{refused}");
    let (_, page) = running.get("/services/web").await;
    let page = page.as_str().unwrap();
    assert!(page.contains(&format!("left alone: a restart was refused: {said}")), "{page}");
    assert!(page.contains(&format!("(refused: {said})")), "{page}");
    let (_, metrics) = running.get("/metrics").await;
    let has = |sample: &str| metrics.as_str().unwrap().lines().any(|line| line == sample);
    for sample in ["monitor_heals_total{result=\"refused\"} 1", "monitor_heals_total{result=\"failed\"} 0"] {
        assert!(has(sample), "no {sample} in {metrics}");
    }
    // Nothing has begun or ended, and what ends now nobody has asked for.
    assert_eq!((enders(&refused).len(), &refused["workload"]["unplanned_exits"]), (0, &json!(0)), "{refused}");
    docker.docker(&["kill", "web"]);
    let ended = |workload: &Value| workload["runs"][0]["end"].is_object();
    let ended = until_workload(&running, "web", "to have ended", ended).await;
    assert_eq!(enders(&ended), ["anonymous"], "{ended}");
    running.stop().await;
}

/// Runs `monitor doctor self` on a configuration; returns what it finds about what runs workloads, and what is fine.
fn doctor(folder: &Path, services: &str) -> (Vec<Value>, String) {
    let file = write_config(folder, services);
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
    let output =
        command.args(["doctor", "self", "--format", "json", "--config"]).arg(file).env("TOKEN", TOKEN).output();
    let said: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let found = said["findings"].as_array().unwrap().iter().filter(|finding| finding["rule"] == "self-runtime");
    (found.cloned().collect(), said["fine"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_a_proxy_lets_through_and_what_it_does_not() {
    let (docker, folder) = (DockerEngine::start().await, tempfile::tempdir().unwrap());
    let reading = SocketProxy::start(&docker, &[]).await;
    let service = contained("web", &reading.address(), "");
    let (found, fine) = doctor(folder.path(), &format!("services:\n{service}"));
    assert_eq!(found, Vec::<Value>::new());
    assert!(fine.contains(&format!("what runs workloads answers: {}", reading.address())), "{fine}");
    // Of a proxy that answers and hides what matters nothing is fine.
    let hiding = SocketProxy::start(&docker, &["/containers", "/events"]).await;
    let service = contained("web", &hiding.address(), "");
    let (found, fine) = doctor(folder.path(), &format!("services:\n{service}"));
    let said = format!(
        "the container engine at {} cannot be asked: it answers with 403 Forbidden; a proxy in front of it must allow GET \
         of _ping, containers and events",
        hiding.address()
    );
    assert_eq!(found[0]["message"], said, "{fine}");
    assert!(found[0]["fix"].as_str().unwrap().contains("let its questions through a proxy"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_cuts_off_idle_streams_makes_nothing_unknown_and_hides_nothing() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let proxy = SocketProxy::start(&docker, &[]).await;
    docker.run("web", &["--restart", "always"], &["print:ready", &format!("serve:{port}")]);
    let check = format!(", checks: {{ port: {{ tcp: {{ address: \"127.0.0.1:{port}\" }} }} }}");
    let services = contained("web", &proxy.address(), &check) + &discovery(&proxy.address());
    let running = Running::start(&config(&sink, &services)).await;
    running.until("web", "up").await;
    for exits in 1..=2 {
        // A stream that is cut off as soon as it is there is another trouble.
        let up = kit::clock::Moment::now() + Duration::from_secs(2);
        eventually("it to last", LIMIT, async || (kit::clock::Moment::now() > up).then_some(())).await;
        let before = proxy.streams();
        proxy.cut_off_streams();
        signal(&docker, "web", Signal::SIGKILL);
        // One to follow what is known, one to find what is new.
        eventually("two other streams", LIMIT, async || (proxy.streams() >= before + 2).then_some(())).await;
        let known = |workload: &Value| workload["phase"] == "running" && workload["unplanned_exits"] == exits;
        let known = until_workload(&running, "web", "to run again", known).await;
        assert_eq!(known["workload"]["last_lines"], json!(["ready"]), "{known}");
    }
    docker.run("late", &["--label", "monitor.enable=true"], &["wait:1000000"]);
    until_workload(&running, "late", "to be found", |workload| workload["phase"] == "running").await;
    let (_, transitions) = running.get("/api/v1/transitions?service=web").await;
    let unknown = transitions.as_array().unwrap().iter().filter(|one| one["to"] == "unknown").count();
    assert_eq!(unknown, 0, "{transitions}");
    running.stop().await;
}
