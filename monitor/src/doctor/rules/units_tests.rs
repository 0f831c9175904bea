//! Each mistake is found at its line, and the line that mends it makes it go.

use crate::doctor::finding::diagnose;
use crate::doctor::rules::unit_rules;
use crate::doctor::units::{Request, load};

/// A unit without any mistake.
const GOOD: &str = "[Unit]\nWants=network-online.target\nAfter=network-online.target\n\n[Service]\nType=notify\n\
                    ExecStart=/usr/bin/server --port 80\nWatchdogSec=30s\nRestart=on-failure\nRestartSec=5s\n\
                    Environment=DB=postgres://127.0.0.1/x\nTimeoutStartSec=2min\n\n[Install]\nWantedBy=multi-user.target\n";

fn found(units: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in units {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let set = load(&Request { paths: vec![folder.path().to_owned()], root: None }).unwrap();
    diagnose(&set, &unit_rules(), &set.sources)
        .iter()
        .map(|finding| format!("{} {}", finding.line, finding.rule))
        .collect()
}

#[test]
fn each_mistake_put_into_a_good_unit_is_found_at_its_line() {
    assert_eq!(found(&[("a.service", GOOD)]), Vec::<String>::new());
    for (right, wrong, expected) in [
        ("RestartSec=5s", "RestartSec=5s\nStartLimitIntervalSec=0", "11 unit-never-gives-up"),
        ("Restart=on-failure\n", "", "7 unit-no-restart"),
        ("RestartSec=5s\n", "", "9 unit-restarts-too-fast"),
        ("RestartSec=5s", "RestartSec=100ms", "9 unit-restarts-too-fast"),
        ("Type=notify", "Type=forking", "6 unit-forking-without-pidfile"),
        ("WatchdogSec=30s\n", "", "6 unit-notify-unwatched"),
        ("WatchdogSec=30s", "WatchdogSec=30s\nNotifyAccess=none", "9 unit-notify-not-heard"),
        ("/usr/bin/server", "bin/server", "7 unit-program-missing"),
        ("[Unit]", "[Unit]\nRequires=tempo.service", "2 unit-needs-observability"),
        ("Type=notify", "Type=notify\nKillMode=none", "7 unit-kill-mode-none"),
        ("Type=notify", "Type=notify\nExecStartPre=/usr/bin/npm install", "7 unit-installs-at-start"),
        ("Type=notify", "Type=notify\nExecStartPre=/bin/sh -c 'pip install x && y'", "7 unit-installs-at-start"),
        ("Type=notify", "Type=notify\nPrivateNetwork=yes", "12 unit-private-localhost"),
        ("Wants=network-online.target\n", "", "2 unit-after-without-wants"),
        ("[Install]\nWantedBy=multi-user.target\n", "", "6 unit-not-installed"),
        ("TimeoutStartSec=2min", "TimeoutStartSec=infinity", "12 unit-waits-for-ever"),
    ] {
        let changed = GOOD.replacen(right, wrong, 1);
        assert_eq!(found(&[("a.service", &changed)]), [expected], "{changed}");
    }
}

#[test]
fn what_a_timer_starts_needs_neither_restart_nor_install() {
    let job = "[Service]\nType=oneshot\nExecStart=/usr/bin/backup\nTimeoutStartSec=infinity\n";
    let timer = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
    assert_eq!(found(&[("backup.service", job), ("backup.timer", timer)]), Vec::<String>::new());
}

#[test]
fn the_order_of_units_that_are_read_together_is_followed() {
    let web = GOOD.replacen("After=", "After=db.service ", 1);
    assert_eq!(found(&[("web.service", &web), ("db.service", GOOD)]), ["3 unit-after-without-wants"]);
    let web = web.replacen("Wants=", "Wants=db.service ", 1);
    assert_eq!(found(&[("web.service", &web), ("db.service", GOOD)]), Vec::<String>::new());
}
