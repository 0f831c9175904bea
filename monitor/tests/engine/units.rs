//! Units that a real systemd runs, watched.

use monitor::Kinds;
use serde_json::Value;
use testkit::{SystemdContainer, Target, eventually, free_port};

use crate::alerts::accepted;
use crate::containers::{config, incidents, until_workload};
use crate::harness::{LIMIT, Running};

/// A service whose unit has its name; `port` is what its check asks.
fn service(machine: &SystemdContainer, name: &str, port: Option<u16>) -> String {
    on_bus(&machine.bus(), machine, name, port)
}

fn on_bus(bus: &str, machine: &SystemdContainer, name: &str, port: Option<u16>) -> String {
    let checks = port.map_or_else(String::new, |port| {
        format!(", checks: {{ port: {{ tcp: {{ address: \"127.0.0.1:{port}\" }} }} }}")
    });
    let journal = machine.journal().display().to_string();
    format!(
        "  {name}: {{ workload: {{ unit: {{ name: {name}.service, bus: \"{bus}\", journal: {journal} }} }}{checks} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_dies_again_and_again_is_paged_once_with_its_cause_and_last_lines() {
    let (machine, sink) = (SystemdContainer::start().await, Target::ok(""));
    let loops = |seconds: u32, limit: &str, name: &str| {
        format!(
            "[Unit]\n{limit}\n[Service]\nExecStart=/bin/sh -c 'echo {name} is out of luck; sleep 0.3; exit 3'\n\
             Restart=always\nRestartSec={seconds}\n"
        )
    };
    machine.write_units(&[
        ("quick.service", &loops(1, "StartLimitIntervalSec=0", "quick")),
        ("slow.service", &loops(5, "", "slow")),
        ("limited.service", &loops(0, "StartLimitIntervalSec=60\nStartLimitBurst=2", "limited")),
    ]);
    let running =
        Running::start(&config(&["quick", "slow", "limited"].map(|name| service(&machine, name, None)), &sink)).await;
    machine.systemctl(&["start", "quick", "slow", "limited"]);
    for (name, verdict, title) in [
        ("quick", "crash_looping", "quick is crash looping: "),
        ("limited", "gave_up", "limited is given up: "),
        // Who waits so long is missed from its first end on.
        ("slow", "crash_looping", "slow is down: "),
    ] {
        let looping = running.until(name, verdict).await;
        let cause = format!("exited with code 3: {name} is out of luck; ");
        assert!(looping["why"].as_str().unwrap().starts_with(&cause), "{looping}");
        let lines = serde_json::json!([format!("{name} is out of luck")]);
        assert_eq!(looping["workload"]["last_lines"], lines, "of its last run, and of no other");
        let page = eventually("the page", LIMIT, async || {
            let title = format!("{title}{}", cause.trim_end_matches("; "));
            accepted(&sink).into_iter().find(|page| page["title"].as_str().is_some_and(|text| text.starts_with(&title)))
        });
        assert_eq!(page.await["alerts"][0]["evidence"]["last_lines"], lines);
    }
    let titles: Vec<Value> = accepted(&sink).iter().map(|page| page["title"].clone()).collect();
    assert_eq!(titles.len(), 3, "one page each: {titles:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_stops_is_stopped_what_is_done_completed_and_nobody_is_paged() {
    let (machine, sink, port) = (SystemdContainer::start().await, Target::ok(""), free_port());
    machine.write_units(&[
        ("web.service", "[Service]\nExecStart=sleep infinity\nRestart=always\n"),
        ("migration.service", "[Service]\nType=oneshot\nExecStart=echo done\n"),
        ("setup.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=echo done\n"),
        ("code.service", "[Service]\nExecStart=sh -c 'exit 7'\nSuccessExitStatus=7\n"),
    ]);
    // It is our own listener that answers: the unit is only what stands behind it.
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let names = ["migration", "setup", "code", "nowhere"];
    let mut services = vec![service(&machine, "web", Some(port))];
    services.extend(names.map(|name| service(&machine, name, None)));
    let running = Running::start(&config(&services, &sink)).await;
    machine.systemctl(&["start", "web", "migration", "setup", "code"]);
    running.until("web", "up").await;
    for name in ["migration", "setup", "code"] {
        let done = running.until(name, "completed").await;
        assert_eq!(
            (done["workload"]["unplanned_exits"].as_u64(), &done["incident"]),
            (Some(0), &Value::Null),
            "{done}"
        );
    }
    // Anybody on the bus, and in the journal, may speak as if he were systemd: a state that is newer than all that come.
    machine.exec(&[
        "busctl",
        "emit",
        "/org/freedesktop/systemd1/unit/web_2eservice",
        "org.freedesktop.DBus.Properties",
        "PropertiesChanged",
        "sa{sv}as",
        "org.freedesktop.systemd1.Unit",
        "2",
        "ActiveState",
        "s",
        "failed",
        "StateChangeTimestampMonotonic",
        "t",
        "18446744073709551615",
        "0",
    ]);
    machine.systemctl(&["stop", "web"]);
    let stopped = running.until("web", "stopped").await;
    assert_eq!(stopped["workload"]["phase"], "stopped");
    assert_eq!(stopped["workload"]["runs"][0]["end"]["by"], "anonymous");
    machine.systemctl(&["start", "web"]);
    let up = running.until("web", "up").await;
    assert_eq!(up["workload"]["unit"], "/etc/systemd/system/web.service (static), Restart=always after 100ms", "{up}");
    assert_eq!(up["workload"]["runs"][0]["started_by"], "anonymous", "{up}");
    let gone = running.until("nowhere", "gone").await;
    assert_eq!(gone["why"], "its workload does not exist any more: Unit nowhere.service not found.");
    let about_others = |incidents: Value| {
        incidents.as_array().unwrap().iter().filter(|one| one["service"] != "nowhere").cloned().collect::<Vec<_>>()
    };
    assert_eq!(about_others(incidents(&running).await), Vec::<Value>::new());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_dies_as_fast_as_systemd_starts_it_by_default_is_told_run_by_run() {
    let (machine, sink) = (SystemdContainer::start().await, Target::ok(""));
    let storm = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\nRestart=always\n";
    machine.write_units(&[("storm.service", storm)]);
    let running = Running::start(&config(&[service(&machine, "storm", None)], &sink)).await;
    machine.systemctl(&["start", "storm"]);
    running.until("storm", "crash_looping").await;
    let many = |workload: &Value| workload["unplanned_exits"].as_u64().is_some_and(|exits| exits > 30);
    until_workload(&running, "storm", "to die 30 times", many).await;
    machine.systemctl(&["stop", "storm"]);
    let stopped = running.until("storm", "stopped").await;
    let runs = stopped["workload"]["runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["end"].is_object()), "{stopped}");
    running.stop().await;
}

/// A program that accepts connections on a port until SIGUSR1 and lives on after it.
pub(crate) fn listener(port: u16) -> String {
    let script = format!(
        "$s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1:{port}\", Listen => 5, ReuseAddr => 1) or die; \
         $SIG{{USR1}} = sub {{ close $s; sleep 1 while 1 }}; while (1) {{ $c = $s->accept; close $c if $c }}"
    );
    // systemd has variables too.
    let script = script.replace('$', "$$");
    format!("[Service]\nRestart=always\nExecStart=/usr/bin/perl -MIO::Socket::INET -e '{script}'\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_by_hand_are_counted_and_are_no_crash_and_a_heal_by_us_is_verified() {
    let (machine, sink, port) = (SystemdContainer::start().await, Target::ok(""), free_port());
    machine.write_units(&[("web.service", &listener(port))]);
    machine.systemctl(&["start", "web"]);
    let yaml = config(&[service(&machine, "web", Some(port)).replace("web: { ", "web: { heal: true, ")], &sink);
    let running = Running::start(&yaml).await;
    running.until("web", "up").await;
    for _ in 0..2 {
        machine.systemctl(&["restart", "web"]);
    }
    let count = "to have been restarted twice";
    let counted = until_workload(&running, "web", count, |workload| workload["anonymous_restarts_1h"] == 2).await;
    assert_eq!(counted["workload"]["unplanned_exits_10m"], 0, "they spend no budget: {counted}");
    running.until("web", "up").await;
    machine.systemctl(&["kill", "--signal", "USR1", "web"]);
    let healed = eventually("web to be healed", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/web").await;
        (service["healing"]["heals"][0]["result"] == "worked" && service["verdict"] == "up").then_some(service)
    })
    .await;
    assert_eq!(healed["healing"]["heals"][0]["trouble"], "refused", "{healed}");
    assert_eq!(healed["workload"]["runs"][0]["started_by"], "us", "{healed}");
    assert_eq!(healed["workload"]["runs"][1]["end"]["by"], "us", "{healed}");
    // What we may not do is on record.
    let denied = "<busconfig><policy context=\"mandatory\"><deny send_interface=\"org.freedesktop.systemd1.Manager\" \
                  send_member=\"RestartUnit\"/></policy></busconfig>";
    machine.write("/etc/dbus-1/system.d/denied.conf", denied);
    machine.systemctl(&["reload", "dbus"]);
    machine.systemctl(&["kill", "--signal", "USR1", "web"]);
    eventually("the heal to be refused", LIMIT, async || {
        let (_, service) = running.get("/api/v1/services/web").await;
        (service["healing"]["heals"][0]["result"] == "refused").then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bus_is_away_nothing_is_down_and_afterwards_the_totals_are_right() {
    let (machine, sink) = (SystemdContainer::start().await, Target::ok(""));
    let worker =
        "[Service]\nExecStart=/bin/sh -c 'echo one more; exec sleep infinity'\nRestart=always\nRestartSec=100ms\n";
    machine.write_units(&[("worker.service", worker), ("steady.service", worker)]);
    machine.systemctl(&["start", "worker", "steady"]);
    let yaml = config(&["worker", "steady"].map(|name| service(&machine, name, None)), &sink);
    let running = Running::start(&yaml).await;
    let mut before = Vec::new();
    for name in ["worker", "steady"] {
        before.push(until_workload(&running, name, "to run", |workload| workload["phase"] == "running").await);
    }
    let kill_worker = || {
        let pid = machine.systemctl(&["show", "--value", "--property", "MainPID", "worker"]);
        machine.systemctl(&["kill", "--signal", "KILL", "worker"]);
        (0..200).find(|_| {
            let shown = machine.systemctl(&["show", "--value", "--property", "MainPID", "worker"]);
            shown != pid && shown != "0"
        })
    };
    // systemd reads its units anew, and becomes another process, without a word from us.
    machine.systemctl(&["daemon-reload"]);
    machine.systemctl(&["daemon-reexec"]);
    machine.systemctl(&["stop", "dbus.socket", "dbus.service"]);
    let unseen = running.until("worker", "unknown").await;
    let why = unseen["why"].as_str().unwrap();
    assert!(why.starts_with(&format!("systemd at {} with the journal in ", machine.bus())), "{why}");
    assert!(kill_worker().is_some() && kill_worker().is_some(), "systemd starts it again");
    machine.systemctl(&["start", "dbus.socket", "dbus.service"]);
    let has_died =
        |times: u64| move |workload: &Value| workload["phase"] == "running" && workload["unplanned_exits"] == times;
    let after = until_workload(&running, "worker", "to run again", has_died(2)).await;
    assert_eq!(after["workload"]["last_end"], "killed by SIGKILL");
    assert_eq!(after["workload"]["last_lines"], serde_json::json!(["one more"]));
    // The same while there is no monitor.
    let folder = running.stop().await;
    assert!((0..3).all(|_| kill_worker().is_some()), "systemd starts it again");
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    let worker = until_workload(&running, "worker", "to run again", has_died(5)).await;
    assert_eq!(worker["workload"]["last_lines"], serde_json::json!(["one more"]));
    let by: Vec<&Value> = worker["workload"]["runs"].as_array().unwrap().iter().map(|run| &run["started_by"]).collect();
    assert_eq!(by, ["runtime"; 6], "{worker}");
    let steady = until_workload(&running, "steady", "to run", |workload| workload["phase"] == "running").await;
    assert_eq!(steady["workload"]["run"], before[1]["workload"]["run"]);
    assert_eq!(steady["workload"]["unplanned_exits"], 0, "{steady}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_of_a_user_are_watched_on_the_users_bus() {
    let (machine, sink) = (SystemdContainer::start().await, Target::ok(""));
    machine.exec(&["useradd", "--create-home", "--uid", "1000", "anna"]);
    let job = "[Service]\nExecStart=/bin/sh -c 'echo it was me; sleep 0.5; exit 4'\n";
    machine.write("/etc/systemd/user/job.service", job);
    // We are not that user: a bus of a user's refuses all others, unless told otherwise.
    let root = "<busconfig><policy context=\"mandatory\"><allow user=\"root\"/></policy></busconfig>";
    machine.write("/etc/dbus-1/session.d/root.conf", root);
    machine.exec(&["mkdir", "-p", "/var/lib/systemd/linger"]);
    machine.exec(&["touch", "/var/lib/systemd/linger/anna"]);
    machine.systemctl(&["start", "user@1000.service"]);
    let bus = machine.user_bus(1000);
    let running = Running::start(&config(&[on_bus(&bus, &machine, "job", None)], &sink)).await;
    until_workload(&running, "job", "to be there", |workload| workload["phase"] == "stopped").await;
    machine.exec(&[
        "setpriv",
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
        "env",
        "XDG_RUNTIME_DIR=/run/user/1000",
        "systemctl",
        "--user",
        "start",
        "job",
    ]);
    let down = running.until("job", "down").await;
    assert!(down["why"].as_str().unwrap().starts_with("exited with code 4: it was me"), "{down}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_end_is_told_with_its_own_cause() {
    let (machine, sink) = (SystemdContainer::start().await, Target::ok(""));
    let units = [
        ("missing", "ExecStart=/no/such/program", "could not be started (No such file or directory): "),
        ("forbidden", "ExecStart=/etc/passwd", "could not be started (Permission denied): "),
        ("nobody", "User=not-there\nExecStart=/bin/true", "user or working directory refused (No such process): "),
        ("shell", "ExecStart=/bin/sh -c 'no-such-command'", "exited with code 127: "),
        ("config", "ExecStart=/bin/sh -c 'exit 78'", "exited with code 78: configuration error"),
        (
            "early",
            "ExecStartPre=/bin/sh -c 'echo not ready; exit 5'\nExecStart=/bin/true",
            "exited with code 5: not ready",
        ),
        ("files", "EnvironmentFile=/no/such/file\nExecStart=/bin/true", "could not be started: configuration error"),
        ("killed", "ExecStart=/bin/sh -c 'kill -SEGV $$$$'", "killed by SIGSEGV"),
        (
            "late",
            "RuntimeMaxSec=1\nExecStart=sleep infinity",
            "killed by SIGTERM: it took longer than its settings allow",
        ),
        (
            "silent",
            "Type=notify\nNotifyAccess=all\nWatchdogSec=1\nExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep infinity'",
            "killed by SIGABRT: it did not report in time (watchdog)",
        ),
    ];
    let files: Vec<(String, String)> =
        units.iter().map(|(name, text, _)| (format!("{name}.service"), format!("[Service]\n{text}\n"))).collect();
    machine.write_units(&files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>());
    let mut services = units.each_ref().map(|(name, ..)| service(&machine, name, None)).to_vec();
    // Without a journal that can be read there are no lines and no errno; everything else is as it was.
    let unread = service(&machine, "missing", None).replace("  missing:", "  unread:");
    services.push(unread.replace(&machine.journal().display().to_string(), "/no/such/journal"));
    let running = Running::start(&config(&services, &sink)).await;
    let names: Vec<&str> = units.iter().map(|(name, ..)| *name).collect();
    machine.systemctl(&[&["start", "--no-block"], names.as_slice()].concat());
    for (name, _, cause) in units {
        let down = running.until(name, "down").await;
        let why = down["why"].as_str().unwrap();
        assert!(why.starts_with(cause), "{name}: {why}");
        assert!(why.ends_with("; its settings say not to start it again"), "{name}: {why}");
    }
    let unread = running.until("unread", "down").await;
    assert!(unread["why"].as_str().unwrap().starts_with("exited with code 203: command not found; "), "{unread}");
    assert_eq!(unread["workload"]["last_lines"], Value::Null, "{unread}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_wrote_is_told_though_it_had_ended_before_the_journal_looked_who_it_was() {
    let (machine, sink) = (SystemdContainer::start().await, Target::ok(""));
    let text = "[Service]\nExecStartPre=/bin/sh -c 'echo not ready; exit 5'\nExecStart=/bin/true\n";
    machine.write_units(&[("early.service", text)]);
    let running = Running::start(&config(&[service(&machine, "early", None)], &sink)).await;
    machine.exec(&[
        "sh",
        "-c",
        "journal=$(pidof systemd-journald); kill -STOP $journal; systemctl start early; kill -CONT $journal",
    ]);
    let down = running.until("early", "down").await;
    assert!(down["why"].as_str().unwrap().starts_with("exited with code 5: not ready; "), "{down}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_units_that_start_cold_have_their_time_and_those_that_break_together_are_healed_three_a_minute() {
    let (machine, sink) = (SystemdContainer::start().await, Target::ok(""));
    let units: Vec<(String, u16)> = (0..50).map(|number| (format!("unit-{number:02}"), free_port())).collect();
    let texts: Vec<(String, String)> = units
        .iter()
        .map(|(name, port)| (format!("{name}.service"), listener(*port).replace("-e '", "-e 'sleep 4; ")))
        .collect();
    machine.write_units(&texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>());
    let healed = |(name, port): &(String, u16)| {
        service(&machine, name, Some(*port)).replace(&format!("{name}: {{ "), &format!("{name}: {{ heal: true, "))
    };
    let running = Running::start(&config(&units.iter().map(healed).collect::<Vec<_>>(), &sink)).await;
    let pattern = ["unit-*"];
    let names: Vec<&str> = units.iter().map(|(name, _)| name.as_str()).collect();
    machine.systemctl(&[&["start", "--no-block"], names.as_slice()].concat());
    let all = async |what: &str, is: &dyn Fn(&Value) -> bool| {
        eventually(&format!("all fifty {what}"), LIMIT, async || {
            let (_, status) = running.get("/api/v1/status").await;
            let services = status["services"].as_array()?.clone();
            services.iter().all(is).then_some(services)
        })
        .await
    };
    let up = all("to be up", &|service| service["verdict"] == "up").await;
    assert!(up.iter().all(|service| service["healing"]["heals"] == serde_json::json!([])), "a start is no trouble");
    assert_eq!(accepted(&sink), Vec::<Value>::new());
    machine.systemctl(&[&["kill", "--signal", "USR1"], pattern.as_slice()].concat());
    let is_held =
        |service: &Value| service["healing"]["hold"] == "host_limit" || service["healing"]["heals"][0].is_object();
    let held = all("to wait for their turn", &is_held).await;
    let begun = held.iter().filter(|service| service["healing"]["heals"][0].is_object()).count();
    assert_eq!(begun, 3, "in the first minute");
    running.stop().await;
}
