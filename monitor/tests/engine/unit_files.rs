//! The units that are shipped, under a real systemd: ready when they say so, ended when they hang, and whatever the monitor
//! runs goes on when the monitor does not.

use std::path::Path;

use http::Method;
use serde_json::Value;
use testkit::{SystemdContainer, eventually, free_port};

use crate::harness::{LIMIT, TOKEN, ask, until};
use crate::units::listener;

/// Reads a file of the folder that is shipped.
fn shipped(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/systemd");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn main_pid(machine: &SystemdContainer) -> String {
    machine.systemctl(&["show", "--value", "--property", "MainPID", "monitor"])
}

/// Waits until another monitor serves, and returns its child.
async fn next_child(machine: &SystemdContainer, url: &str, before: &str) -> Value {
    eventually("the next monitor to be ready", LIMIT, async || {
        let is_next = !["0", before].contains(&main_pid(machine).as_str());
        let state = machine.systemctl(&["show", "--value", "--property", "ActiveState", "monitor"]);
        (is_next && state == "active").then_some(())
    })
    .await;
    eventually("the next monitor to know its child", LIMIT, async || {
        let (_, service) = ask(url, Method::GET, "/api/v1/services/child", &[]).await;
        (service["workload"]["phase"] == "running").then_some(service["workload"].clone())
    })
    .await
}

/// Puts the monitor and its unit into a machine, as it is shipped.
fn install(machine: &SystemdContainer, port: u16, services: &str) {
    machine.copy(Path::new(env!("CARGO_BIN_EXE_monitor")), "/usr/bin/monitor");
    machine.write("/usr/lib/sysusers.d/monitor.conf", &shipped("monitor.sysusers"));
    machine.exec(&["systemd-sysusers"]);
    machine.write("/etc/monitor/token", TOKEN);
    machine.exec(&["chown", "monitor", "/etc/monitor/token"]);
    machine.write(
        "/etc/monitor/monitor.yml",
        &format!("listen: 127.0.0.1:{port}\noperator_token_file: /etc/monitor/token\nservices:\n{services}"),
    );
    // So that a hang is found within the patience of a test.
    machine.write("/etc/systemd/system/monitor.service.d/test.conf", "[Service]\nWatchdogSec=3s\nRestartSec=100ms\n");
    machine.write_units(&[("monitor.service", &shipped("monitor.service"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_rule_lets_the_monitor_heal_the_units_that_it_names_and_no_others() {
    let (machine, port) = (SystemdContainer::start().await, free_port());
    let url = format!("http://127.0.0.1:{port}");
    let units = [("api-gateway", free_port()), ("other", free_port())];
    let service = |(name, port): (&str, u16)| {
        format!(
            "  {name}:\n    heal: true\n    workload: {{ unit: {name}.service }}\n    checks: {{ port: {{ tcp: \
             {{ address: \"127.0.0.1:{port}\" }}, every: 1s, timeout: 500ms, every_when_failing: 100ms }} }}\n"
        )
    };
    install(&machine, port, &units.map(service).concat());
    for (name, port) in units {
        machine.write_units(&[(&format!("{name}.service"), &listener(port))]);
    }
    machine.systemctl(&["start", "api-gateway", "other", "monitor"]);
    for (name, _) in units {
        until(&url, name, "up").await;
    }
    let stop_answering = || machine.systemctl(&["kill", "--signal", "USR1", "api-gateway", "other"]);
    let heals = async |name: &str, result: &str| {
        eventually(&format!("{name} to be healed: {result}"), LIMIT, async || {
            let (_, service) = ask(&url, Method::GET, &format!("/api/v1/services/{name}"), &[]).await;
            let heal = &service["healing"]["heals"][0];
            (heal["result"] == result).then(|| heal.clone())
        })
        .await
    };
    // Who is not root may look, and needs a rule to do more.
    stop_answering();
    for (name, _) in units {
        let refused = heals(name, "refused").await;
        let why = refused["refusal"].as_str().unwrap();
        assert!(why.contains("allow it with a polkit rule on org.freedesktop.systemd1.manage-units"), "{refused}");
    }
    machine.write("/etc/polkit-1/rules.d/50-monitor.rules", &shipped("monitor.rules"));
    machine.systemctl(&["restart", "polkit"]);
    // It is asked again after a while, or at once if a person says so.
    machine.systemctl(&["restart", "api-gateway", "other"]);
    for (name, _) in units {
        until(&url, name, "up").await;
        machine.exec(&["monitor", "healing", "resume", name, "--url", &url, "--token-file", "/etc/monitor/token"]);
    }
    stop_answering();
    heals("api-gateway", "worked").await;
    until(&url, "api-gateway", "up").await;
    heals("other", "refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitors_own_unit_is_ready_when_it_watches_and_what_it_runs_outlives_it() {
    let (machine, port) = (SystemdContainer::start().await, free_port());
    let url = format!("http://127.0.0.1:{port}");
    install(&machine, port, "  child: { workload: { process: { command: [sleep, \"1000\"] } } }\n");
    let verified = machine.exec(&["sh", "-c", "systemd-analyze verify monitor.service 2>&1"]);
    assert_eq!(verified, "", "it complains on the standard error, and returns 0");
    // It returns once the monitor says that it is ready: nothing is waited for.
    machine.systemctl(&["start", "monitor"]);
    let told = machine.systemctl(&["show", "--value", "--property", "StatusText", "monitor"]);
    assert_eq!(told, "watches 1 services");
    let child = until(&url, "child", "unknown").await["workload"].clone();
    // Killed, replaced as by an upgrade, and hanging: the child never notices.
    for how in [
        ["kill", "--signal=KILL", "--kill-who=main"].as_slice(),
        &["restart"],
        &["kill", "--signal=STOP", "--kill-who=main"],
    ] {
        let before = main_pid(&machine);
        machine.systemctl(&[how, &["monitor"]].concat());
        let after = next_child(&machine, &url, &before).await;
        assert_eq!((&after["pid"], &after["run"]), (&child["pid"], &child["run"]), "{how:?}");
        assert_eq!(after["unplanned_exits"], 0, "{how:?}");
    }
    let log = machine.exec(&["journalctl", "--no-pager", "--unit", "monitor"]);
    assert!(log.contains("Watchdog timeout"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_or_other_settings_of_a_unit_announce_its_restart() {
    let (machine, port) = (SystemdContainer::start().await, free_port());
    let url = format!("http://127.0.0.1:{port}");
    install(&machine, port, "  web: { workload: { unit: web.service } }\n");
    machine.exec(&["cp", "/bin/sleep", "/usr/bin/web"]);
    machine.write_units(&[("web.service", "[Service]\nExecStart=web infinity\n")]);
    machine.systemctl(&["start", "web", "monitor"]);
    let runs = async |count: usize| {
        eventually(&format!("{count} runs"), LIMIT, async || {
            let (_, service) = ask(&url, Method::GET, "/api/v1/services/web", &[]).await;
            let runs = service["workload"]["runs"].as_array().filter(|runs| runs.len() == count).cloned();
            runs.filter(|runs| runs[0]["digest"].is_string()).map(|runs| (service, runs))
        })
        .await
    };
    let (_, first) = runs(1).await;
    // A restart that nobody announced, then one after each kind of change.
    machine.systemctl(&["restart", "web"]);
    runs(2).await;
    machine.exec(&["cp", "--remove-destination", "/bin/tail", "/usr/bin/web"]);
    machine.write("/etc/systemd/system/web.service.d/own.conf", "[Service]\nExecStart=\nExecStart=web -f /dev/null\n");
    machine.systemctl(&["daemon-reload"]);
    machine.systemctl(&["restart", "web"]);
    let (_, third) = runs(3).await;
    assert_ne!(third[0]["digest"], first[0]["digest"]);
    machine.write("/etc/systemd/system/web.service.d/own.conf", "[Service]\nExecStart=\nExecStart=web -F /dev/null\n");
    machine.systemctl(&["daemon-reload"]);
    machine.systemctl(&["restart", "web"]);
    let (_, fourth) = runs(4).await;
    assert_eq!(fourth[0]["digest"], third[0]["digest"]);
    // What it is made of was taken when it began: the next restart is nobody's again.
    machine.systemctl(&["restart", "web"]);
    let (service, fifth) = runs(5).await;
    let by: Vec<&Value> = fifth.iter().map(|run| &run["started_by"]).collect();
    assert_eq!(by[..4], ["anonymous", "announced", "announced", "anonymous"], "newest first: {service}");
    let ends: Vec<_> = fifth[1..].iter().map(|run| (&run["end"]["by"], &run["end"]["planned"])).collect();
    let (planned, unplanned) = ((&"announced".into(), &true.into()), (&"anonymous".into(), &false.into()));
    assert_eq!(ends, [unplanned, planned, planned, unplanned]);
    assert_eq!(service["workload"]["unplanned_exits"], 0, "{service}");
    machine.systemctl(&["restart", "monitor"]);
    eventually("the next monitor to know what runs", LIMIT, async || {
        let (_, known) = ask(&url, Method::GET, "/api/v1/services/web", &[]).await;
        let is_it = known["workload"]["phase"] == "running" && known["workload"]["digest"] == fifth[0]["digest"];
        is_it.then_some(())
    })
    .await;
}
