//! A monitor that runs in a container itself.

use serde_json::Value;
use testkit::{DEBIAN, DockerEngine, eventually};

use crate::harness::LIMIT;

/// Accepts connections on a port, and hangs up.
const LISTEN: &str = "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1:8080', Listen => 5, ReuseAddr => 1) or die; \
     while (1) { $c = $s->accept; close $c if $c }";

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_back_into_its_own_container_is_not_down_until_somebody_has_answered_there() {
    let (docker, folder) = (DockerEngine::start_with_debian().await, tempfile::tempdir().unwrap());
    let yaml = "data_dir: /data\ndefaults: { every: 1s, timeout: 500ms, every_when_failing: 100ms }\n\
                services:\n  web: { checks: { port: { tcp: { address: \"127.0.0.1:8080\" } } } }\n  engine: { checks: { \
                own: { host: { process: { name: dockerd, min: 0 } }, severity: warning }, \
                runs: { host: { process: { name: dockerd, proc: /host/proc } } } } }\n";
    std::fs::write(folder.path().join("monitor.yml"), yaml).unwrap();
    let program = format!("{}:/monitor:ro", env!("CARGO_BIN_EXE_monitor"));
    let settings = format!("{}:/settings:ro", folder.path().display());
    // As for node_exporter and its like: who is in a container sees the host's processes only where somebody mounts them.
    let volumes = ["--volume", &program, "--volume", &settings, "--volume", "/proc:/host/proc:ro"];
    let options = [&["run", "--detach", "--name", "monitor", "--network", "none"], &volumes[..]].concat();
    docker.docker(&[&options[..], &[DEBIAN, "/monitor", "run", "--config", "/settings/monitor.yml"]].concat());
    let until = async |verdict: &str| {
        eventually(&format!("web to be {verdict}"), LIMIT, async || {
            let said = docker.docker(&["exec", "monitor", "/bin/sh", "-c", "/monitor status --json || true"]);
            let web = serde_json::from_str::<Value>(&said).ok()?["services"][0].clone();
            (web["verdict"] == verdict && web["checks"][0]["last"].is_object()).then_some(web)
        })
        .await
    };
    let notes = eventually("the engine's checks", LIMIT, async || {
        let said = docker.docker(&["exec", "monitor", "/bin/sh", "-c", "/monitor status --json || true"]);
        let checks = serde_json::from_str::<Value>(&said).ok()?["services"][1]["checks"].clone();
        let note = |index: usize| checks[index]["last"]["seen"]["note"].as_str().map(str::to_owned);
        Some((note(0)?, note(1)?))
    });
    let (own, hosts) = notes.await;
    assert_eq!(own, "no process dockerd");
    assert!(hosts.ends_with("process dockerd") || hosts.ends_with("processes dockerd"), "{hosts}");
    let unknown = until("unknown").await;
    let reason = "unreachable from here: 127.0.0.1:8080 is the monitor's own container, where nothing else listens; write \
                  the service's name, or for what runs on the host host.docker.internal (with extra_hosts: \
                  host.docker.internal:host-gateway)";
    assert_eq!(unknown["checks"][0]["reason"], reason, "{unknown}");
    // What shares its network is asked like any other, and is down when it does not answer.
    docker.docker(&["exec", "--detach", "monitor", "perl", "-e", LISTEN]);
    until("up").await;
    docker.docker(&[
        "exec",
        "monitor",
        "/bin/sh",
        "-c",
        "for p in /proc/[0-9]*; do grep -q ^perl $p/cmdline && kill ${p#/proc/}; done; true",
    ]);
    let down = until("down").await;
    assert_eq!(down["checks"][0]["reason"], "connection refused by 127.0.0.1:8080", "{down}");
}
