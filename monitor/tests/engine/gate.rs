//! The gate: open only on passes that began after its cursor.

use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::harness::{LIMIT, Running};

fn yaml(url: &str) -> String {
    format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{url}\" }} }} }} }}\n  loose:\n    checks: {{ disk: {{ http: {{ url: \"{url}\" }}, severity: warning }} }}\n"
    )
}

async fn cursor(engine: &Running) -> String {
    engine.post("/api/v1/gate", &[]).await.1["cursor"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn old_passes_do_not_open_it_and_fresh_ones_do() {
    let target = Target::ok("hello");
    let engine = Running::start(&yaml(&target.url("/"))).await;
    engine.until("web", "up").await;
    let cursor = cursor(&engine).await;
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=web")).await;
    assert_eq!(status, 503, "however up it is: {answer}");
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=web&stable=2&wait=60s")).await;
    assert_eq!((status, &answer["services"]["web"]["passes"]["home"]), (200, &serde_json::json!(2)), "{answer}");
}

#[tokio::test]
async fn a_failing_service_an_unknown_name_an_empty_list_and_an_unchecked_one_are_never_open() {
    let target = Target::ok("hello");
    let engine = Running::start(&yaml(&target.url("/"))).await;
    engine.until("web", "up").await;
    target.set_status(500);
    let cursor = cursor(&engine).await;
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=web&wait=500ms")).await;
    assert_eq!(status, 504);
    let reasons = answer["services"]["web"]["reasons"].to_string();
    assert!(reasons.contains("home: 0 of 3 passes in a row since the cursor"), "{reasons}");
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=loose&wait=60s")).await;
    assert_eq!(status, 503, "decided at once: {answer}");
    assert_eq!(answer["services"]["loose"]["reasons"][0], "running_unchecked: no critical check looks at it");
    for (query, message) in [
        ("services=webb", "there is no service \"webb\"; did you mean \"web\"?"),
        ("services=", "no service is named; an empty list would say nothing"),
        ("", "name the services (services=a,b) or ask for all of them (all=true)"),
        ("services=web&stable=0", "stable is 0; write a number from 1 to 32"),
        (
            "services=web&expect=luck",
            "expect is \"luck\"; write new-incarnation, digest:HEX (8 digits at least) or version:TEXT",
        ),
    ] {
        let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?{query}")).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some(message)), "{query}");
    }
    assert_eq!(engine.get("/api/v1/gate/nonsense?services=web").await.0, 400);
    // A number that this monitor never gave out, and one without its seal.
    assert_eq!(engine.get("/api/v1/gate/AAAAAAAAAAA?services=web").await.0, 400);
}

#[tokio::test]
async fn an_unplanned_exit_since_the_cursor_shuts_it_whatever_the_checks_say() {
    let target = Target::ok("hello");
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  lucky:\n    workload: {{ process: {{ command: [sh, -c, \"sleep 1; exit 1\"] }} }}\n    checks: {{ home: {{ http: {{ url: \"{}\" }} }} }}\n",
        target.url("/")
    );
    let engine = Running::start(&yaml).await;
    let cursor = cursor(&engine).await;
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=lucky&stable=32&wait=60s")).await;
    assert_eq!(status, 503, "{answer}");
    let reasons = answer["services"]["lucky"]["reasons"].to_string();
    assert!(reasons.contains("it ended unplanned since the cursor: exited with code 1"), "{reasons}");
}

#[tokio::test]
async fn a_new_incarnation_is_one_that_was_started_after_the_cursor() {
    let target = Target::ok("hello");
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  web:\n    workload: {{ process: {{ command: [sleep, \"1000\"] }} }}\n    checks: {{ home: {{ http: {{ url: \"{}\" }} }} }}\n",
        target.url("/")
    );
    let engine = Running::start(&yaml).await;
    engine.until("web", "up").await;
    let cursor = cursor(&engine).await;
    let path = format!("/api/v1/gate/{cursor}?services=web&stable=1&wait=3s&expect=new-incarnation");
    let (status, answer) = engine.get(&path).await;
    assert_eq!(status, 504, "{answer}");
    let reasons = &answer["services"]["web"]["reasons"];
    assert_eq!(reasons, &serde_json::json!(["it was not started anew since the cursor"]));
    // A changed configuration is a new incarnation.
    let changed = yaml.replace("1000", "1001");
    crate::harness::write_config(engine.folder.path(), &changed);
    engine.reload.send(()).await.unwrap();
    let path = path.replace("wait=3s", &format!("wait={}s", Duration::from_secs(60).as_secs()));
    let (status, answer) = engine.get(&path).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_deploy_is_checked_by_the_version_it_answers_and_the_digest_of_its_program() {
    let target = Target::ok(r#"{"status":"healthy","version":"1.2.3"}"#);
    let yaml = format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms }}\nservices:\n  web:\n    workload: {{ process: {{ command: [sleep, \"1000\"] }} }}\n    checks: {{ home: {{ http: {{ url: \"{}\" }}, expect: {{ json: {{ status: healthy }} }} }} }}\n",
        target.url("/")
    );
    let engine = Running::start(&yaml).await;
    engine.until("web", "up").await;
    let cursor = cursor(&engine).await;
    let digest = eventually("the program's digest", LIMIT, async || {
        engine.get("/api/v1/services/web").await.1["workload"]["digest"].as_str().map(str::to_owned)
    });
    let digest = digest.await;
    let sleep = std::fs::read("/bin/sleep").unwrap();
    assert_eq!(digest, HEXLOWER.encode(&Sha256::digest(&sleep)));
    for (expect, status) in [("version:1.2.3", 200), ("version:1.2.4", 504), ("digest:deadbeef", 504)] {
        let wait = if status == 200 { "60s" } else { "100ms" };
        let (found, answer) =
            engine.get(&format!("/api/v1/gate/{cursor}?services=web&stable=1&wait={wait}&expect={expect}")).await;
        assert_eq!(found, status, "{expect}: {answer}");
    }
    let (status, answer) = engine
        .get(&format!("/api/v1/gate/{cursor}?services=web&stable=1&wait=60s&expect=digest:{}", &digest[..12]))
        .await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn looking_again_at_an_old_push_opens_nothing() {
    let yaml = "defaults: { every: 1s }\nservices:\n  job: { checks: { nightly: { heartbeat: { period: 1h } } } }\n";
    let engine = Running::start(yaml).await;
    let operator = [("authorization", &*format!("Bearer {}", crate::harness::TOKEN))];
    engine.post("/api/v1/heartbeat/job/nightly", &operator).await;
    engine.until("job", "up").await;
    let cursor = cursor(&engine).await;
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=job&stable=1&wait=3s")).await;
    assert_eq!(status, 504, "{answer}");
    engine.post("/api/v1/heartbeat/job/nightly", &operator).await;
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=job&stable=1&wait=60s")).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_service_that_is_still_down_by_its_own_rules_is_not_let_through_by_fewer_passes() {
    let target = Target::ok("hello");
    let yaml = yaml(&target.url("/")).replace("every: 1s,", "every: 1s, recover_after: 30,");
    let engine = Running::start(&yaml).await;
    engine.until("web", "up").await;
    target.set_status(500);
    engine.until("web", "down").await;
    let cursor = cursor(&engine).await;
    target.set_status(200);
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=web&stable=1&wait=1s")).await;
    assert_eq!((status, answer["services"]["web"]["verdict"].as_str()), (504, Some("down")), "{answer}");
}

#[tokio::test]
async fn answers_of_another_target_open_nothing() {
    let (target, dead) = (Target::ok("hello"), Target::refuse());
    let engine = Running::start(&yaml(&target.url("/"))).await;
    engine.until("web", "up").await;
    let cursor = cursor(&engine).await;
    engine.get(&format!("/api/v1/gate/{cursor}?services=web&stable=3&wait=60s")).await;
    crate::harness::write_config(engine.folder.path(), &yaml(&dead.url("/")));
    engine.reload.send(()).await.unwrap();
    engine.until("web", "down").await;
    let (status, answer) = engine.get(&format!("/api/v1/gate/{cursor}?services=web&stable=1")).await;
    assert_eq!(status, 503, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_replaced_by_another_version_opens_it_and_a_restart_by_hand_does_not() {
    let (docker, port) = (DockerEngine::start().await, free_port());
    docker.add_image("next", &["LABEL version=2"]);
    let yaml = format!(
        "defaults: {{ every: 1s, timeout: 500ms, every_when_failing: 100ms }}\nservices:\n  web: {{ workload: {{ container: \
         {{ name: web, engine: \"{}\" }} }}, checks: {{ port: {{ tcp: {{ address: \"127.0.0.1:{port}\" }} }} }} }}\n",
        docker.address()
    );
    let running = Running::start(&yaml).await;
    let serve = format!("serve:{port}");
    let hashed = |hash: &str| format!("com.docker.compose.config-hash={hash}");
    docker.run("web", &["--restart", "always", "--label", &hashed("one")], &[&serve]);
    running.until("web", "up").await;
    let begin = async || running.post("/api/v1/gate", &[]).await.1["cursor"].as_str().unwrap().to_owned();
    let ask = async |cursor: &str, wait: &str| {
        running.get(&format!("/api/v1/gate/{cursor}?services=web&stable=1&expect=new-incarnation&wait={wait}")).await
    };
    // Another image, then the same one with other settings: both are new versions, and nobody has to say so.
    for (image, hash) in [("next", "one"), ("next", "two")] {
        let cursor = begin().await;
        docker.docker(&["rm", "--force", "web"]);
        docker.run_image(image, "web", &["--restart", "always", "--label", &hashed(hash)], &[&serve]);
        let (status, answer) = ask(&cursor, "60s").await;
        assert_eq!(status, 200, "{image} {hash}: {answer}");
    }
    let (_, web) = running.get("/api/v1/services/web").await;
    let ends: Vec<&serde_json::Value> =
        web["workload"]["runs"].as_array().unwrap()[1..].iter().map(|run| &run["end"]["by"]).collect();
    assert_eq!(ends, ["announced", "announced"], "{web}");
    assert_eq!(web["workload"]["unplanned_exits"], 0, "{web}");
    let cursor = begin().await;
    docker.docker(&["restart", "--time", "0", "web"]);
    let restarted = async || {
        let (_, web) = running.get("/api/v1/services/web").await;
        (web["workload"]["runs"].as_array()?.len() == 4 && web["verdict"] == "up").then_some(())
    };
    eventually("the restart to be known", LIMIT, restarted).await;
    let (status, answer) = ask(&cursor, "1s").await;
    assert_eq!(status, 504, "{answer}");
    let reason = answer["services"]["web"]["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("it ended unplanned since the cursor: "), "{answer}");
    running.stop().await;
}
