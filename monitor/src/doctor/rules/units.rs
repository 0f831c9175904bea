//! Mistakes in systemd units.

use std::time::Duration;

use kit::config::parse_duration;

use crate::doctor::finding::{Hit, Rule};
use crate::doctor::units::{Setting, Unit, UnitSet, program_of};
use crate::supervise::shell::steps;

pub(super) const RULES: &[Rule<UnitSet>] = &[
    Rule::warning(
        "unit-never-gives-up",
        "restarted for ever, with the start limit switched off",
        "A program that dies at each start loops unseen: the unit never fails, so nothing that watches for failed units sees it.",
        never_gives_up,
    ),
    Rule::warning(
        "unit-no-restart",
        "a daemon that is not started again",
        "After the first crash it stays dead until somebody notices.",
        no_restart,
    ),
    Rule::warning(
        "unit-restarts-too-fast",
        "five restarts within a second, and then never again",
        "With RestartSec=100ms (the default) the start limit of 5 in 10 s is used up at once: a dependency that is away for two seconds leaves the unit failed for good.",
        too_fast,
    ),
    Rule::warning(
        "unit-forking-without-pidfile",
        "Type=forking without PIDFile",
        "systemd guesses the main process, and a wrong guess makes a dead service look alive.",
        forking,
    ),
    Rule::warning(
        "unit-notify-unwatched",
        "Type=notify without WatchdogSec",
        "It says once that it is ready; that it hangs later is never noticed.",
        unwatched,
    ),
    Rule::error(
        "unit-notify-not-heard",
        "Type=notify, and nobody may notify",
        "With NotifyAccess=none its READY=1 is not heard: each start ends in a timeout, and it is restarted for ever.",
        not_heard,
    ),
    Rule::error(
        "unit-program-missing",
        "the program does not exist",
        "Each start fails with 203/EXEC.",
        program_missing,
    ),
    Rule::warning(
        "unit-needs-observability",
        "requires what only watches",
        "When tracing, metrics or logs are down, this is stopped or not started either.",
        needs_observability,
    ),
    Rule::warning(
        "unit-kill-mode-none",
        "KillMode=none",
        "What it started is left behind at a stop and holds ports and files of the next start; systemd calls it deprecated.",
        kill_mode,
    ),
    Rule::error(
        "unit-installs-at-start",
        "packages are installed at every start",
        "It needs the network and a package registry to start: when either is slow or down, it restarts for ever.",
        installs,
    ),
    Rule::error(
        "unit-private-localhost",
        "localhost with a network of its own",
        "With PrivateNetwork=yes its loopback device is its own: nobody else listens there.",
        private_localhost,
    ),
    Rule::warning(
        "unit-after-without-wants",
        "ordered behind a unit that nothing starts",
        "After= only orders; if nobody starts the other unit, this one starts without it.",
        after_without_wants,
    ),
    Rule::warning(
        "unit-not-installed",
        "no [Install] section, and nothing starts it",
        "`systemctl enable` does nothing: after the next boot it is not there.",
        not_installed,
    ),
    Rule::warning(
        "unit-waits-for-ever",
        "a start may take for ever",
        "A start that hangs is never ended and never tried again; what is ordered behind it waits too.",
        waits_for_ever,
    ),
];

fn each(set: &UnitSet, find: fn(&Unit) -> Option<(&Setting, String, String)>) -> Vec<Hit> {
    let found =
        set.units.iter().filter_map(|unit| find(unit).map(|(setting, message, fix)| (unit, setting, message, fix)));
    found.map(|(unit, setting, message, fix)| Hit::new(&setting.place, &unit.name, message, fix)).collect()
}

fn restart(unit: &Unit) -> Option<&Setting> {
    let setting = unit.setting("Service", "Restart")?;
    (setting.value != "no").then_some(setting)
}

/// The limit's settings stood in the service's section in older files.
fn limit<'a>(unit: &'a Unit, key: &str) -> Option<&'a Setting> {
    let names = [key.to_owned(), key.replace("IntervalSec", "Interval")];
    names.iter().find_map(|name| unit.setting("Unit", name).or_else(|| unit.setting("Service", name)))
}

/// A bare number is seconds (systemd.time(7)).
fn length(text: &str) -> Option<Duration> {
    let text = text.replace(' ', "");
    text.parse::<f64>()
        .ok()
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok())
        .or_else(|| parse_duration(&text).ok())
}

fn never_gives_up(set: &UnitSet) -> Vec<Hit> {
    each(set, |unit| {
        let restart = restart(unit)?;
        let limit =
            limit(unit, "StartLimitIntervalSec").filter(|limit| length(&limit.value) == Some(Duration::ZERO))?;
        let message = format!("Restart={} with {}={}", restart.value, limit.key, limit.value);
        Some((limit, message, "[Unit]\nStartLimitIntervalSec=10min\nStartLimitBurst=10".to_owned()))
    })
}

fn no_restart(set: &UnitSet) -> Vec<Hit> {
    let mut hits = Vec::new();
    for unit in set.units.iter().filter(|unit| unit.is_daemon() && unit.setting("Service", "Restart").is_none()) {
        // What a timer or a socket starts is started by that again.
        let stem = unit.name.trim_end_matches(".service");
        let has_starter =
            [".timer", ".socket", ".path"].iter().any(|kind| set.unit(&format!("{stem}{kind}")).is_some());
        if let Some(start) = unit.setting("Service", "ExecStart").filter(|_| !has_starter) {
            hits.push(Hit::new(
                &start.place,
                &unit.name,
                "no Restart=",
                "[Service]\nRestart=on-failure\nRestartSec=5s",
            ));
        }
    }
    hits
}

fn too_fast(set: &UnitSet) -> Vec<Hit> {
    each(set, |unit| {
        let restart = restart(unit)?;
        let pause = unit.setting("Service", "RestartSec").and_then(|setting| length(&setting.value));
        let is_fast = pause.unwrap_or(Duration::from_millis(100)) < Duration::from_secs(1);
        let has_limit = limit(unit, "StartLimitIntervalSec").is_some() || limit(unit, "StartLimitBurst").is_some();
        let message =
            format!("Restart={} with a pause of less than a second and the default start limit", restart.value);
        (is_fast && !has_limit).then(|| (restart, message, "[Service]\nRestartSec=5s".to_owned()))
    })
}

fn of_type<'a>(unit: &'a Unit, kinds: &[&str]) -> Option<&'a Setting> {
    unit.setting("Service", "Type").filter(|setting| kinds.contains(&setting.value.as_str()))
}

fn forking(set: &UnitSet) -> Vec<Hit> {
    each(set, |unit| {
        let kind = of_type(unit, &["forking"]).filter(|_| unit.setting("Service", "PIDFile").is_none())?;
        let stem = unit.name.trim_end_matches(".service");
        Some((
            kind,
            "PIDFile= is not set".to_owned(),
            format!("[Service]\nType=exec   # and let it stay in the foreground; or\nPIDFile=/run/{stem}.pid"),
        ))
    })
}

fn unwatched(set: &UnitSet) -> Vec<Hit> {
    each(set, |unit| {
        let kind =
            of_type(unit, &["notify", "notify-reload"]).filter(|_| unit.setting("Service", "WatchdogSec").is_none())?;
        Some((
            kind,
            "WatchdogSec= is not set".to_owned(),
            "[Service]\nWatchdogSec=30s   # the program then sends WATCHDOG=1".to_owned(),
        ))
    })
}

fn not_heard(set: &UnitSet) -> Vec<Hit> {
    each(set, |unit| {
        of_type(unit, &["notify", "notify-reload"])?;
        let access = unit.setting("Service", "NotifyAccess").filter(|access| access.value == "none")?;
        Some((access, "NotifyAccess=none with Type=notify".to_owned(), "[Service]\nNotifyAccess=main".to_owned()))
    })
}

fn program_missing(set: &UnitSet) -> Vec<Hit> {
    let mut hits = Vec::new();
    for unit in &set.units {
        for start in unit.all("Service", "ExecStart") {
            let program = program_of(&start.value);
            // A bare name is looked for in fixed folders; a path with a slash must be whole.
            let is_relative = program.contains('/') && !program.starts_with(['/', '%', '$']);
            let is_missing = set.missing_programs.iter().any(|missing| missing == program);
            if is_relative || is_missing {
                let what = if is_relative { "is not an absolute path" } else { "does not exist" };
                let fix =
                    format!("[Service]\nExecStart=/usr/local/bin/{}", program.rsplit('/').next().unwrap_or(program));
                hits.push(Hit::new(&start.place, &unit.name, format!("{program} {what}"), fix));
            }
        }
    }
    hits
}

fn is_observability(name: &str) -> bool {
    let words = [
        "tempo",
        "loki",
        "prometheus",
        "grafana",
        "grafana-server",
        "jaeger",
        "otelcol",
        "otel-collector",
        "promtail",
        "alloy",
        "zipkin",
    ];
    words.contains(&name.trim_end_matches(".service"))
}

fn needs_observability(set: &UnitSet) -> Vec<Hit> {
    let mut hits = Vec::new();
    for unit in set.units.iter().filter(|unit| !is_observability(&unit.name)) {
        for key in ["Requires", "BindsTo", "Requisite"] {
            for (name, place) in unit.words("Unit", key).into_iter().filter(|(name, _)| is_observability(name)) {
                hits.push(Hit::new(place, &unit.name, format!("{key}={name}"), format!("[Unit]\nWants={name}")));
            }
        }
    }
    hits
}

fn kill_mode(set: &UnitSet) -> Vec<Hit> {
    each(set, |unit| {
        let mode = unit.setting("Service", "KillMode").filter(|mode| mode.value == "none")?;
        Some((mode, "KillMode=none".to_owned(), "[Service]\nKillMode=mixed".to_owned()))
    })
}

fn installs(set: &UnitSet) -> Vec<Hit> {
    let mut hits = Vec::new();
    for unit in &set.units {
        for setting in ["ExecStartPre", "ExecStart"].iter().flat_map(|key| unit.all("Service", key)) {
            // Within `sh -c '…'` the line is one word: its own words are asked too.
            let words = steps(&setting.value).into_iter().flat_map(|step| step.words).collect::<Vec<_>>();
            let inner = words.iter().filter(|word| word.contains(' ')).flat_map(|word| steps(word));
            let all: Vec<_> = steps(&setting.value).into_iter().chain(inner).collect();
            if let Some(step) = all.iter().find(|step| super::images::is_install(step)) {
                let what = step.words.join(" ");
                hits.push(Hit::new(
                    &setting.place,
                    &unit.name,
                    format!("{what:?} runs before every start"),
                    format!("Run it once, when it is deployed: {what}"),
                ));
            }
        }
    }
    hits
}

fn private_localhost(set: &UnitSet) -> Vec<Hit> {
    let mut hits = Vec::new();
    for unit in &set.units {
        if !matches!(unit.text("Service", "PrivateNetwork"), "yes" | "true" | "1" | "on") {
            continue;
        }
        for setting in unit.all("Service", "Environment") {
            if ["//localhost", "//127.0.0.1", "=localhost", "=127.0.0.1", "@localhost"]
                .iter()
                .any(|own| setting.value.contains(own))
            {
                let message = format!("Environment={} with PrivateNetwork=yes", setting.value);
                hits.push(Hit::new(
                    &setting.place,
                    &unit.name,
                    message,
                    "[Service]\nPrivateNetwork=no\nIPAddressDeny=any\nIPAddressAllow=localhost",
                ));
            }
        }
    }
    hits
}

fn after_without_wants(set: &UnitSet) -> Vec<Hit> {
    let mut hits = Vec::new();
    for unit in &set.units {
        let pulls = ["Wants", "Requires", "BindsTo", "Requisite", "Upholds"];
        let pulled: Vec<&str> = pulls.iter().flat_map(|key| unit.words("Unit", key)).map(|(name, _)| name).collect();
        for (name, place) in unit.words("Unit", "After") {
            // systemd.special(7): what waits for the network must pull this target in itself.
            let is_needed = name == "network-online.target" || (name.ends_with(".service") && set.unit(name).is_some());
            if is_needed && !pulled.contains(&name) {
                hits.push(Hit::new(
                    place,
                    &unit.name,
                    format!("After={name} without Wants={name}"),
                    format!("[Unit]\nWants={name}\nAfter={name}"),
                ));
            }
        }
    }
    hits
}

fn not_installed(set: &UnitSet) -> Vec<Hit> {
    let mut hits = Vec::new();
    for unit in set.units.iter().filter(|unit| unit.name.ends_with(".service")) {
        let stem = unit.name.trim_end_matches(".service");
        let has_starter =
            [".timer", ".socket", ".path"].iter().any(|kind| set.unit(&format!("{stem}{kind}")).is_some());
        let pulls = ["Wants", "Requires", "BindsTo", "Upholds", "OnFailure", "OnSuccess", "Unit"];
        let is_pulled = set.units.iter().any(|other| {
            pulls.iter().any(|key| {
                ["Unit", "Timer", "Path", "Socket"]
                    .iter()
                    .any(|section| other.words(section, key).iter().any(|(name, _)| *name == unit.name))
            })
        });
        let is_installed = unit.settings.iter().any(|setting| setting.section == "Install");
        if !(is_installed || has_starter || is_pulled || stem.ends_with('@')) {
            let fix = "[Install]\nWantedBy=multi-user.target";
            hits.push(Hit::new(unit.section_place("Service"), &unit.name, "there is no [Install] section", fix));
        }
    }
    hits
}

fn waits_for_ever(set: &UnitSet) -> Vec<Hit> {
    each(set, |unit| {
        let wait = unit.setting("Service", "TimeoutStartSec").or_else(|| unit.setting("Service", "TimeoutSec"))?;
        let is_endless = wait.value == "infinity" || length(&wait.value) == Some(Duration::ZERO);
        (is_endless && unit.is_daemon())
            .then(|| (wait, format!("{}={}", wait.key, wait.value), format!("[Service]\n{}=2min", wait.key)))
    })
}

#[cfg(test)]
#[path = "units_tests.rs"]
mod tests;
