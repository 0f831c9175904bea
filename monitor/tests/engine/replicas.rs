//! Services that run more than once, with a real Docker engine and with processes of our own.

use http::Method;
use serde_json::{Value, json};
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::alerts::accepted;
use crate::harness::{LIMIT, Running, TOKEN, ask_with};

fn config(sink: &Target, services: &str) -> String {
    format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         channels: {{ hook: {{ webhook: {{ url: \"{}\" }}, evidence: full }} }}\nservices:\n{services}",
        sink.url("/hook")
    )
}

/// Finds the first digits of ports that are free with each of these digits behind them.
fn free_ports(last: std::ops::RangeInclusive<u16>) -> u16 {
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    std::iter::repeat_with(|| free_port() / 10)
        .find(|digits| last.clone().all(|digit| is_free(digits * 10 + digit)))
        .unwrap()
}

/// Three containers of one Compose service, each with a port of its own, of which two must work.
fn shop(docker: &DockerEngine, digits: u16, more: &str) -> String {
    let engine = docker.address();
    for number in 1..=3 {
        let labels = [
            "com.docker.compose.project=shop".to_owned(),
            "com.docker.compose.service=web".to_owned(),
            format!("com.docker.compose.container-number={number}"),
        ];
        let options: Vec<&str> = labels.iter().flat_map(|label| ["--label", label.as_str()]).collect();
        docker.run(&format!("web-{number}"), &options, &[&format!("speak:{}", digits * 10 + number)]);
    }
    format!(
        "  web:\n    replicas: {{ count: 3, quorum: 2 }}\n    workload: {{ container: {{ compose: \"shop/web/{{replica}}\", \
         engine: \"{engine}\", ready_timeout: 3s }} }}\n    checks: {{ page: {{ http: {{ url: \
         \"http://127.0.0.1:{digits}{{replica}}/\" }} }} }}\n{more}"
    )
}

fn pid_of(docker: &DockerEngine, name: &str) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(docker.docker(&["inspect", "--format", "{{.State.Pid}}", name]).parse().unwrap())
}

pub(crate) fn signal(docker: &DockerEngine, name: &str, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(pid_of(docker, name), signal).unwrap();
}

/// Waits until every replica of a service is as `is` wants it, and returns the service.
async fn until_replicas(running: &Running, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("every replica of {name} {what}"), LIMIT, async || {
        let (_, service) = running.get(&format!("/api/v1/services/{name}")).await;
        service["replicas"].as_array()?.iter().all(&is).then_some(service)
    })
    .await
}

/// Waits until a service says this of itself.
async fn until_why(running: &Running, name: &str, verdict: &str, why: &str) -> Value {
    eventually(&format!("{name} to be {verdict}: {why}"), LIMIT, async || {
        let (_, service) = running.get(&format!("/api/v1/services/{name}")).await;
        (service["verdict"] == verdict && service["why"].as_str()?.starts_with(why)).then_some(service)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_replica_of_three_is_degraded_two_are_paged_and_a_stopped_one_does_not_count() {
    let (docker, sink, digits) = (DockerEngine::start().await, Target::ok(""), free_ports(1..=3));
    let running = Running::start(&config(&sink, &shop(&docker, digits, ""))).await;
    let up = running.until("web", "up").await;
    let names: Vec<&Value> = up["replicas"].as_array().unwrap().iter().map(|replica| &replica["name"]).collect();
    assert_eq!(names, ["web.1", "web.2", "web.3"], "{up}");
    let (_, status) = running.get("/api/v1/status").await;
    assert_eq!(status["services"].as_array().unwrap().len(), 1, "replicas are listed with their service: {status}");

    signal(&docker, "web-2", nix::sys::signal::Signal::SIGKILL);
    let killed = "web.2 is down: exited with code 137: killed by SIGKILL";
    let degraded = until_why(&running, "web", "degraded", &format!("1 of 3 replicas is not well; {killed}")).await;
    assert_eq!(degraded["replicas"][1]["workload"]["unplanned_exits"], 1, "{degraded}");
    assert_eq!(degraded["replicas"][0]["verdict"], "up", "{degraded}");
    let (_, page) = running.get("/services/web").await;
    assert!(page.as_str().unwrap().contains("2 of 3 must work"), "{page}");
    let (_, metrics) = running.get("/metrics").await;
    for (count, value) in [("all", 3), ("quorum", 2), ("working", 2)] {
        let line = format!("monitor_service_replicas{{count=\"{count}\",service=\"web\"}} {value}");
        assert!(metrics.as_str().unwrap().contains(&line), "{line}");
    }
    assert_eq!(accepted(&sink), Vec::<Value>::new(), "it serves");

    // A person takes one out, and knows that; of what is left both must work.
    docker.docker(&["stop", "web-3"]);
    let words = format!("1 of 3 replicas works, 2 must; {killed}");
    until_why(&running, "web", "down", &words).await;
    let page = eventually("the page", LIMIT, async || accepted(&sink).into_iter().next()).await;
    let title = format!("web is down: {words}");
    assert!(page["title"].as_str().unwrap().starts_with(&title), "{page}");
    assert_eq!(page["alerts"][0]["labels"]["service"], "web");
    docker.docker(&["start", "web-2"]);
    running.until("web", "up").await;
    eventually("the end to be told", LIMIT, async || {
        accepted(&sink).iter().any(|told| told["status"] == "resolved").then_some(())
    })
    .await;
    assert_eq!(accepted(&sink).len(), 2, "one page and its end, however many replicas there are");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_hang_are_restarted_one_at_a_time_and_paused_together() {
    let (docker, sink, digits) = (DockerEngine::start().await, Target::ok(""), free_ports(1..=3));
    let running = Running::start(&config(&sink, &shop(&docker, digits, "    heal: true\n"))).await;
    running.until("web", "up").await;
    let pause = |path, body: &'static str| ask_with(&running.url, Method::POST, path, Some(TOKEN), body);
    assert_eq!(pause("/api/v1/healing/pause", r#"{"service": "web", "why": "a look"}"#).await.0, 204);
    for name in ["web-1", "web-2"] {
        signal(&docker, name, nix::sys::signal::Signal::SIGSTOP);
    }
    until_why(&running, "web", "down", "1 of 3 replicas works, 2 must").await;
    for name in ["web.1", "web.2"] {
        eventually("both to be left alone", LIMIT, async || {
            let (_, replica) = running.get(&format!("/api/v1/services/{name}")).await;
            (replica["healing"]["hold"] == "paused").then_some(())
        })
        .await;
    }
    assert_eq!(pause("/api/v1/healing/resume", r#"{"service": "web"}"#).await.0, 204);
    let healed = until_replicas(&running, "web", "to be up", |replica| replica["verdict"] == "up").await;
    let heals: Vec<&Value> =
        healed["replicas"].as_array().unwrap().iter().map(|one| &one["healing"]["heals"]).collect();
    let counts: Vec<usize> = heals.iter().map(|heals| heals.as_array().unwrap().len()).collect();
    assert_eq!(counts, [1, 1, 0], "{healed}");
    // Which one came first is chance; the other began only when that one ran again.
    let times: Vec<[jiff::Timestamp; 2]> = healed["replicas"].as_array().unwrap()[..2]
        .iter()
        .map(|replica| {
            [&replica["healing"]["heals"][0]["at"], &replica["workload"]["started"]]
                .map(|at| at.as_str().unwrap().parse().unwrap())
        })
        .collect();
    let (first, second) = if times[0] < times[1] { (times[0], times[1]) } else { (times[1], times[0]) };
    assert!(second[0] > first[1], "{first:?} {second:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_found_has_as_many_replicas_as_it_is_scaled_to() {
    let (docker, sink, digits) = (DockerEngine::start().await, Target::ok(""), free_ports(1..=3));
    let add = |number: u16| {
        let port = digits * 10 + number;
        let labels = [
            "com.docker.compose.project=shop".to_owned(),
            "com.docker.compose.service=web".to_owned(),
            format!("com.docker.compose.container-number={number}"),
            format!("monitor.check.page.http=:{port}/"),
        ];
        let options: Vec<&str> = labels.iter().flat_map(|label| ["--label", label.as_str()]).collect();
        docker.run(&format!("web-{number}"), &options, &[&format!("speak:{port}")]);
    };
    let until_count = async |running: &Running, count: usize| {
        eventually(&format!("{count} replicas that are up"), LIMIT, async || {
            let (_, web) = running.get("/api/v1/services/web").await;
            let replicas = web["replicas"].as_array().cloned().unwrap_or_default();
            let is_up = web["verdict"] == "up" && replicas.iter().all(|replica| replica["verdict"] == "up");
            (replicas.len() == count && is_up).then_some(web)
        })
        .await
    };
    add(1);
    let discover = format!(
        "discover: {{ shop: {{ container: {{ engine: \"{}\", project: shop }}, forget_after: 1s }} }}\n",
        docker.address()
    );
    let running = Running::start(&format!("{discover}{}", config(&sink, "  {}\n"))).await;
    let alone = until_count(&running, 0).await;
    assert_eq!(alone["workload"]["phase"], "running", "{alone}");
    signal(&docker, "web-1", nix::sys::signal::Signal::SIGKILL);
    running.until("web", "down").await;
    docker.docker(&["start", "web-1"]);
    let alone = until_count(&running, 0).await;
    assert_eq!(alone["workload"]["unplanned_exits"], 1, "{alone}");
    add(2);
    add(3);
    let three = until_count(&running, 3).await;
    assert_eq!(three["replicas"][2]["checks"][0]["health"], "up", "{three}");
    assert_eq!(three["replicas"][0]["workload"]["unplanned_exits"], 1, "its past goes with it: {three}");
    let (_, found) = running.get("/api/v1/status").await;
    assert_eq!(found["discoveries"][0]["services"], 1, "{found}");
    for name in ["web-3", "web-2"] {
        docker.docker(&["rm", "--force", name]);
    }
    let alone = until_count(&running, 0).await;
    assert_eq!(alone["workload"]["unplanned_exits"], 1, "and comes back: {alone}");
    let (_, cursor) = running.post("/api/v1/gate", &[]).await;
    let gate = format!("/api/v1/gate/{}?services=web&stable=1&wait=20s", cursor["cursor"].as_str().unwrap());
    let (status, answer) = running.get(&gate).await;
    assert_eq!(status, 200, "what ended before the cursor shuts no gate: {answer}");
    let told: Vec<Value> = accepted(&sink).iter().map(|told| told["status"].clone()).collect();
    assert_eq!(told, ["firing", "resolved"], "to scale is no outage");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_our_own_are_started_and_a_gate_wants_every_one_of_them_anew() {
    let (sink, asked) = (Target::ok(""), Target::ok("all is well"));
    let services = format!(
        "  worker:\n    replicas: 2\n    workload: {{ process: {{ command: [sh, -c, 'echo number {{replica}}; exec sleep 600'] }} }}\n\
         \x20   checks: {{ front: {{ http: {{ url: \"{}\" }} }} }}\n",
        asked.url("/")
    );
    let running = Running::start(&config(&sink, &services)).await;
    let up = until_replicas(&running, "worker", "to run", |replica| replica["workload"]["phase"] == "running").await;
    let pids: Vec<i64> =
        up["replicas"].as_array().unwrap().iter().map(|one| one["workload"]["pid"].as_i64().unwrap()).collect();
    assert_eq!(pids.len(), 2, "{up}");
    running.until("worker", "up").await;
    let (_, of_one) = running.post("/api/v1/gate", &[]).await;
    let of_one = format!("/api/v1/gate/{}?services=worker.1&stable=1", of_one["cursor"].as_str().unwrap());
    let (status, shut) = running.get(&of_one).await;
    assert_eq!(status, 503, "nothing asks it by itself: {shut}");
    let (_, cursor) = running.post("/api/v1/gate", &[]).await;
    let gate = |expect: &str| {
        let cursor = cursor["cursor"].as_str().unwrap();
        format!("/api/v1/gate/{cursor}?services=worker&stable=1&wait=1s{expect}")
    };
    let (status, answer) = running.get(&gate("")).await;
    assert_eq!(status, 200, "{answer}");
    let expected = "&expect=new-incarnation";
    let (_, answer) = running.get(&gate(expected)).await;
    let missing = ["worker.1", "worker.2"].map(|name| format!("{name}: it was not started anew since the cursor"));
    assert_eq!(answer["services"]["worker"]["reasons"], json!(missing));
    let (status, unknown) = running.get("/api/v1/services/worker.3").await;
    assert_eq!(status, 404, "{unknown}");
    running.stop().await;
}
