//! Containers that are found by themselves, with a real Docker engine.

use monitor::Kinds;
use serde_json::Value;
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::alerts::{accepted, told};
use crate::harness::{LIMIT, Running, TOKEN, write_config};

/// What is written beside a discovery named `docker`, with `more` settings of it.
fn config(docker: &DockerEngine, more: &str, sink: &Target, services: &str) -> String {
    format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\n\
         channels: {{ hook: {{ webhook: {{ url: \"{}\" }} }} }}\n\
         discover: {{ docker: {{ container: {{ engine: \"{}\" }}{more} }} }}\nservices: {{ {services} }}\n",
        sink.url("/hook"),
        docker.address()
    )
}

/// Starts a container with labels of ours, `key=value` each, in the host's network.
fn run(docker: &DockerEngine, name: &str, labels: &[&str], steps: &[&str]) {
    docker.run(name, &options(labels), steps);
}

fn options<'a>(labels: &[&'a str]) -> Vec<&'a str> {
    ["--label", "monitor.enable=true"].into_iter().chain(labels.iter().flat_map(|label| ["--label", label])).collect()
}

async fn status(running: &Running) -> Value {
    running.get("/api/v1/status").await.1
}

/// Waits until a service is in the list, or is not.
async fn until_listed(running: &Running, service: &str, listed: bool) {
    let what = format!("{service} {}", if listed { "to be listed" } else { "to be gone from the list" });
    let is_listed = async || {
        let (code, _) = running.get(&format!("/api/v1/services/{service}")).await;
        ((code == 200) == listed).then_some(())
    };
    eventually(&what, LIMIT, is_listed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_labelled_container_is_found_paged_when_it_breaks_and_withdrawn_when_it_is_removed() {
    let (docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let running = Running::start(&config(&docker, ", forget_after: 1s", &sink, "")).await;
    let check = format!("monitor.check.health.http=:{port}/health");
    let labels = ["monitor.name=shop", "monitor.about=the web shop", &check];
    run(&docker, "web", &labels, &[&format!("speak:{port}")]);
    let up = running.until("shop", "up").await;
    assert_eq!(up["found"], serde_json::json!({ "by": "docker", "what": "container \"web\"", "mistakes": [] }), "{up}");
    assert_eq!(up["checks"][0]["target"], format!("http://127.0.0.1:{port}/health"));
    assert_eq!((&up["about"], &up["workload"]["phase"]), (&"the web shop".into(), &"running".into()));
    let (_, page) = running.get("/services/shop").await;
    assert!(page.as_str().unwrap().contains("found by docker as container"), "{page}");

    let pid = docker.docker(&["inspect", "--format", "{{.State.Pid}}", "web"]);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    running.until("shop", "down").await;
    let page = eventually("the page", LIMIT, async || accepted(&sink).into_iter().next()).await;
    let title = page["title"].as_str().unwrap();
    assert!(title.starts_with("shop is down: exited with code 137: killed by SIGKILL"), "{title}");

    docker.docker(&["rm", "web"]);
    until_listed(&running, "shop", false).await;
    let ended = async || {
        let messages = accepted(&sink);
        (told(&messages).into_values().collect::<Vec<_>>() == ["opened resolved"]).then_some(messages)
    };
    let messages = eventually("the end of the incident to be told", LIMIT, ended).await;
    assert!(messages[1].to_string().contains("is not watched any more"), "{}", messages[1]);
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("monitor_discovery_services{discovery=\"docker\"} 0"), "{metrics}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_lead_nowhere_else_and_what_is_wrong_with_one_container_concerns_no_other() {
    let (docker, sink, secret) = (DockerEngine::start().await, Target::ok(""), Target::ok("secret"));
    let (turned, good) = (free_port(), free_port());
    let written = format!("taken: {{ checks: {{ port: {{ tcp: {{ address: \"{}\" }} }} }} }}", sink.addr());
    let elsewhere = secret.url("/");
    // Made in the same second they are found by their names.
    let labels = [format!("monitor.check.a.http={elsewhere}"), "monitor.check.b.exec=id".to_owned()];
    run(&docker, "a-pointing", &labels.each_ref().map(String::as_str), &["wait:1000000"]);
    let label = format!("monitor.check.a.http=:{turned}");
    run(&docker, "b-turning", &[&label], &[&format!("point:{turned}={elsewhere}")]);
    run(&docker, "c-fine", &[&format!("monitor.check.a.tcp=:{good}")], &[&format!("serve:{good}")]);
    run(&docker, "d-same", &["monitor.name=taken"], &["wait:1000000"]);
    run(&docker, "e-more", &[], &["wait:1000000"]);
    let running = Running::start(&config(&docker, ", limit: 4", &sink, &written)).await;

    running.until("c-fine", "up").await;
    let turned = async || {
        let (_, turning) = running.get("/api/v1/services/b-turning").await;
        (turning["checks"][0]["reason"] == "status 302, expected 2xx").then_some(())
    };
    eventually("a redirect to be judged itself", LIMIT, turned).await;
    let (_, pointing) = running.get("/api/v1/services/a-pointing").await;
    let place = "container \"a-pointing\", label monitor.check";
    assert_eq!(
        pointing["found"]["mistakes"],
        serde_json::json!([
            format!("{place}.a.http: {elsewhere:?} is no path of this container; write /health or :8080/health"),
            format!(
                "{place}.b.exec: no such label; labels define checks of kind http and tcp of their own container, \
                 everything else is for the configuration"
            ),
        ])
    );
    assert_eq!(pointing["checks"], serde_json::json!([]));
    assert_eq!(secret.connections(), 0, "nobody was led there");

    let status = status(&running).await;
    let found = &status["discoveries"][0];
    assert_eq!((&found["services"], &found["left_out"]), (&3.into(), &1.into()), "{found}");
    assert_eq!(
        found["problems"],
        serde_json::json!([
            "1 more are there than the limit of 4 and are not watched; raise discover.docker.limit",
            "container \"d-same\": the configuration has a service \"taken\", so this one is not watched; write another one as \
             label monitor.name"
        ])
    );
    let (_, taken) = running.get("/api/v1/services/taken").await;
    assert_eq!((&taken["found"], &taken["workload"]), (&Value::Null, &Value::Null), "what is written wins");
    let (_, page) = running.get("/services/a-pointing").await;
    assert!(page.as_str().unwrap().contains("Not watched as its labels want"), "{page}");
    let (_, page) = running.get("/").await;
    assert!(page.as_str().unwrap().contains("raise discover.docker.limit"), "{page}");

    // What was found is not counted where what is written goes away: its name is taken over, its check is gone.
    write_config(running.folder.path(), &config(&docker, ", limit: 4", &sink, ""));
    let operator = [("authorization", &*format!("Bearer {TOKEN}"))];
    let (code, refused) = running.post("/api/v1/reload", &operator).await;
    assert_eq!(code, 409, "{refused}");
    assert!(refused.to_string().contains("it would drop 1 of 1 checks"), "{refused}");
    assert_eq!(running.post("/api/v1/reload?force=true", &operator).await.0, 200);
    until_listed(&running, "taken", true).await;
    running.until("c-fine", "up").await;
    let freed = async || running.get("/api/v1/services/taken").await.1["found"].is_object().then_some(());
    eventually("the name to be that of the container", LIMIT, freed).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_monitor_goes_on_with_what_was_found_while_the_engine_is_away() {
    let (mut docker, sink, port) = (DockerEngine::start().await, Target::ok(""), free_port());
    let yaml = config(&docker, "", &sink, "");
    run(&docker, "web", &[&format!("monitor.check.port.tcp=:{port}")], &[&format!("serve:{port}")]);
    let running = Running::start(&yaml).await;
    let before = running.until("web", "up").await;
    let folder = running.stop().await;
    docker.kill();
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    let blind = async || {
        let found = status(&running).await["discoveries"][0].clone();
        found["blind"].is_string().then_some(found)
    };
    let blind = eventually("the monitor to say that it cannot look", LIMIT, blind).await;
    assert_eq!(blind["services"], 1, "{blind}");
    assert!(blind["blind"].as_str().unwrap().contains("cannot be asked"), "{blind}");
    let (_, kept) = running.get("/api/v1/services/web").await;
    assert_eq!(kept["found"], before["found"], "{kept}");
    assert_ne!(kept["verdict"], "gone", "{kept}");
    docker.start_again().await;
    let up = async || {
        let (_, web) = running.get("/api/v1/services/web").await;
        (web["verdict"] == "up" && web["workload"]["phase"] == "running").then_some(web)
    };
    let up = eventually("web to be seen again", LIMIT, up).await;
    assert_eq!(up["workload"]["run"], before["workload"]["run"]);
    // What comes afterwards is found, so it is looked again; a file that is not taken is no reason not to.
    write_config(running.folder.path(), "services: [");
    running.reload.send(()).await.unwrap();
    let refused = async || {
        let (_, metrics) = running.get("/metrics").await;
        metrics.as_str()?.contains("monitor_config_last_reload_successful 0").then_some(())
    };
    eventually("the bad file to be refused", LIMIT, refused).await;
    run(&docker, "late", &[], &["wait:1000000"]);
    until_listed(&running, "late", true).await;
    assert_eq!(running.get("/api/v1/incidents").await.1, serde_json::json!([]));
    assert_eq!(accepted(&sink), Vec::<Value>::new());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_found_at_its_own_addresses_and_another_container_is_the_same_service() {
    let (docker, sink) = (DockerEngine::start().await, Target::ok(""));
    // Engines that run side by side must not choose the same addresses.
    let network = format!("10.{}.{}", 100 + rand::random::<u8>() % 100, rand::random::<u8>());
    docker.docker(&["network", "create", "--subnet", &format!("{network}.0/24"), "shop_default"]);
    let start = |name: &str, ip: u8, project: &str| {
        let (ip, project) = (format!("{network}.{ip}"), format!("com.docker.compose.project={project}"));
        let head = ["run", "--detach", "--name", name, "--network", "shop_default", "--ip", &ip];
        let labels = [
            &project,
            "com.docker.compose.service=Web",
            "monitor.check.health.http=/ready",
            "monitor.check.health.port=8080",
        ];
        let labels: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        docker.docker(&[&head[..], &labels, &["program", "open:8080"]].concat());
        format!("http://{ip}:8080/ready")
    };
    let target = start("shop-web-1", 7, "shop");
    start("blog-web-1", 9, "blog");
    let yaml =
        config(&docker, "", &sink, "").replace("container: {", "container: { project: shop, network: shop_default,");
    let running = Running::start(&yaml).await;
    let up = running.until("web", "up").await;
    assert_eq!(up["checks"][0]["target"], target);
    docker.docker(&["rm", "--force", "shop-web-1"]);
    let target = start("shop-web-2", 8, "shop");
    let moved = async || {
        let (_, web) = running.get("/api/v1/services/web").await;
        (web["verdict"] == "up" && web["checks"][0]["target"] == target).then_some(web)
    };
    let moved = eventually("web to be asked at its new address", LIMIT, moved).await;
    assert_eq!(moved["found"]["what"], "container \"shop-web-2\"");
    // Its past is that of one service.
    assert_eq!(moved["workload"]["runs"].as_array().unwrap().len(), 2, "{moved}");
    assert_eq!(moved["workload"]["unplanned_exits_10m"], 0, "{moved}");
    assert_eq!(status(&running).await["services"].as_array().unwrap().len(), 1, "another project's is not found");
    assert_eq!(running.get("/api/v1/incidents").await.1, serde_json::json!([]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_engine_drops_what_only_the_first_one_has_and_the_same_by_another_way_drops_nothing() {
    let (docker, other) = tokio::join!(DockerEngine::start(), DockerEngine::start());
    let (sink, port) = (Target::ok(""), free_port());
    run(&docker, "web", &[&format!("monitor.check.port.tcp=:{port}")], &[&format!("serve:{port}")]);
    let yaml = config(&docker, "", &sink, "");
    let running = Running::start(&yaml).await;
    let before = running.until("web", "up").await;
    let operator = [("authorization", &*format!("Bearer {TOKEN}"))];
    let link = running.folder.path().join("docker.sock");
    std::os::unix::fs::symlink(docker.address().trim_start_matches("unix://"), &link).unwrap();
    let linked = yaml.replace(&docker.address(), &format!("unix://{}", link.display()));
    write_config(running.folder.path(), &linked);
    assert_eq!(running.post("/api/v1/reload", &operator).await.0, 200);
    let moved = async || {
        let found = status(&running).await["discoveries"][0].clone();
        (found["address"] == format!("unix://{}", link.display()) && found["blind"].is_null()).then_some(())
    };
    eventually("the discovery to look the other way", LIMIT, moved).await;
    let same = async || {
        let (_, web) = running.get("/api/v1/services/web").await;
        (web["verdict"] == "up" && web["workload"]["run"] == before["workload"]["run"]).then_some(())
    };
    eventually("the same run to be seen again", LIMIT, same).await;

    write_config(running.folder.path(), &config(&other, "", &sink, ""));
    let (code, refused) = running.post("/api/v1/reload", &operator).await;
    assert_eq!(code, 409, "{refused}");
    assert!(refused.to_string().contains("it would drop 1 of 1 services (web)"), "{refused}");
    assert_eq!(running.post("/api/v1/reload?force=true", &operator).await.0, 200);
    until_listed(&running, "web", false).await;
    run(&other, "late", &[], &["wait:1000000"]);
    until_listed(&running, "late", true).await;
    assert_eq!(running.get("/api/v1/incidents").await.1, serde_json::json!([]));
    assert_eq!(accepted(&sink), Vec::<Value>::new());
    running.stop().await;
}
