//! Whether it is the service or the way to it: containers with published ports of a real Docker engine.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::harness::{LIMIT, Running, processes_with};
use crate::heals::{config, contained, enders, freeze, until_healed};

/// The process through which Docker publishes a port.
fn proxy_of(port: u16) -> Pid {
    let proxies = processes_with(&format!("-host-port\0{port}\0"));
    assert_eq!(proxies.len(), 1, "one docker-proxy publishes {port}");
    Pid::from_raw(proxies[0])
}

/// Holds such a process: connections are taken, and lead nowhere. It is let go at the end, for an engine waits for it when
/// it stops a container.
struct BrokenWay(Pid);

impl BrokenWay {
    fn of(port: u16) -> Self {
        let proxy = proxy_of(port);
        kill(proxy, Signal::SIGSTOP).unwrap();
        Self(proxy)
    }
}

impl Drop for BrokenWay {
    fn drop(&mut self) {
        let _it_may_be_gone = kill(self.0, Signal::SIGCONT);
    }
}

/// Starts a container of its own network that serves port 80, published at a port of loopback.
fn publish(docker: &DockerEngine, name: &str, port: u16) {
    let published = format!("127.0.0.1:{port}:80");
    let head = ["run", "--detach", "--name", name, "--network", "shop", "--publish", &published, "--stop-timeout", "1"];
    docker.docker(&[&head[..], &["program", "open:80"]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_at_its_own_address_is_not_restarted_for_a_broken_way_and_what_hangs_is() {
    let (docker, sink) = (DockerEngine::start().await, Target::ok(""));
    let ports = [free_port(), free_port(), free_port()];
    // Engines that run side by side must not choose the same addresses.
    let network = format!("10.{}.{}.0/24", 100 + rand::random::<u8>() % 100, rand::random::<u8>());
    docker.docker(&["network", "create", "--subnet", &network, "shop"]);
    let names = ["cut", "closed", "hung"];
    let services = names.into_iter().zip(ports).map(|(name, port)| {
        publish(&docker, name, port);
        contained(&docker, name, port, "true")
    });
    let running = Running::start(&config(&sink, &services.collect::<String>())).await;
    for name in names {
        running.until(name, "up").await;
    }
    let way = BrokenWay::of(ports[0]);
    kill(proxy_of(ports[1]), Signal::SIGKILL).unwrap();
    freeze(&docker, "hung");
    let healed = until_healed(&running, "hung", 1).await;
    assert_eq!((&healed["healing"]["heals"][0]["trouble"], enders(&healed)), (&json!("hang"), vec!["us"]), "{healed}");
    for (name, port) in [("cut", ports[0]), ("closed", ports[1])] {
        let held = eventually(&format!("the way to {name} to be blamed"), LIMIT, async || {
            let (_, service) = running.get(&format!("/api/v1/services/{name}")).await;
            (service["healing"]["hold"] == "only_we_cannot_reach").then_some(service)
        })
        .await;
        let own = docker.docker(&["inspect", "--format", "{{.NetworkSettings.Networks.shop.IPAddress}}", name]);
        let why = format!(
            "only we cannot reach it: web answers at {own}:80, its own address; the way by 127.0.0.1:{port} does not work"
        );
        assert_eq!((&held["healing"]["hold_why"], &held["verdict"]), (&json!(why), &json!("down")), "{held}");
        assert_eq!(untouched(&held), (&json!([]), Some(1)), "{held}");
    }
    // Once it is mended it is up, without anybody's help.
    drop(way);
    let mended = running.until("cut", "up").await;
    assert_eq!(untouched(&mended), (&json!([]), Some(1)), "{mended}");
    running.stop().await;
}

/// The heals of a service, and how many runs it had.
fn untouched(service: &Value) -> (&Value, Option<usize>) {
    (&service["healing"]["heals"], service["workload"]["runs"].as_array().map(Vec::len))
}
