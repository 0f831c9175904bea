//! `monitor check-config`: every mistake at once, or what the configuration comes to.

use std::path::PathBuf;
use std::process::ExitCode;

use kit::cli::{complain, say};
use kit::config::{Environment, show_duration};
use kit::exit;
use monitor::alert::{AlertSettings, Reminders, Route};
use monitor::app::Retention;
use monitor::doctor::DoctorSettings;
use monitor::export::{AccessSettings, BlackboxSettings};
use monitor::judge::{Policy, Threshold};
use monitor::schedule::Cadence;
use monitor::supervise::discovery::Discovery;
use monitor::{Config, Engine, Kinds};

/// Checks a configuration.
#[derive(Debug, clap::Args)]
pub(super) struct CheckConfig {
    /// A YAML file, or a folder of them.
    #[arg(env = "MONITOR_CONFIG", default_value = "monitor.yml")]
    config: PathBuf,
    /// Prints what holds where a configuration says nothing, and ends.
    #[arg(long)]
    defaults: bool,
}

pub(super) fn run(command: &CheckConfig) -> ExitCode {
    if command.defaults {
        print_defaults();
        return ExitCode::from(exit::YES);
    }
    let config = Config::load(&command.config, &Environment::of_process());
    let engine = match Engine::new(&config, Kinds::standard()) {
        Ok(engine) => engine,
        Err(error) => {
            let count = error.mistakes.len();
            complain(&error);
            complain(format_args!(
                "{count} mistake{} in {}",
                if count == 1 { "" } else { "s" },
                config.path().display()
            ));
            return ExitCode::from(exit::CONFIG);
        }
    };
    let plan = engine.plan();
    let checks = plan.checks().count();
    say(format_args!(
        "{} is fine: {} services, {checks} checks, listening on {}",
        config.path().display(),
        plan.wholes().count(),
        plan.listen
    ));
    for service in &plan.services {
        for check in &service.checks {
            let target = check.question.probe.target().shown;
            say(format_args!(
                "  {:32} {:9} every {:>5}  {target}",
                check.question.id.to_string(),
                check.kind,
                show_duration(check.cadence.every)
            ));
        }
    }
    for discovery in &plan.discoveries {
        let (scout, limit) = (&discovery.scout, discovery.limit);
        say(format_args!(
            "  {:32} looks at {} for {}, {limit} at most",
            discovery.name,
            scout.address(),
            scout.looks_for()
        ));
    }
    if let Some(blackbox) = &plan.blackbox {
        let (count, listen) = (blackbox.modules.count(), blackbox.listen);
        say(format_args!("  {:32} {count} modules of blackbox_exporter, listening on {listen}", "blackbox"));
        if blackbox.targets.is_open() {
            say("warning: blackbox.targets lets whoever reaches that address ask anything that this machine reaches");
        }
    }
    say_who_is_told(&plan.alerts);
    ExitCode::from(exit::YES)
}

fn say_who_is_told(alerts: &AlertSettings) {
    if alerts.channels.is_empty() {
        return say("nobody is told: no channels are configured");
    }
    for channel in &alerts.channels {
        say(format_args!("  {:32} {:9} {}", channel.name, channel.kind, channel.channel.target()));
    }
    say_routes(&alerts.routes.0, 1);
}

fn say_routes(routes: &[Route], depth: usize) {
    for route in routes {
        let matchers: Vec<String> = route.matchers.iter().map(ToString::to_string).collect();
        let what = if matchers.is_empty() { "everything else".to_owned() } else { matchers.join(" and ") };
        say(format_args!("{}{what} → {}", "  ".repeat(depth), route.to.join(", ")));
        say_routes(&route.routes, depth + 1);
    }
}

fn print_defaults() {
    let (policy, cadence, keep) = (Policy::STANDARD, Cadence::STANDARD, Retention::STANDARD);
    let fails = match policy.fail_after {
        Threshold::InARow(count) => count.to_string(),
        Threshold::Among { fails, window } => format!("{fails} of {window}"),
    };
    for (key, value) in [
        ("listen", "127.0.0.1:8888".to_owned()),
        ("data_dir", "data/monitor".to_owned()),
        ("defaults.every", show_duration(policy.every)),
        ("defaults.every_when_failing", show_duration(cadence.when_failing)),
        ("defaults.timeout", show_duration(policy.timeout)),
        ("defaults.fail_after", fails),
        ("defaults.recover_after", policy.recover_after.to_string()),
        ("defaults.severity", "critical".to_owned()),
        ("access.public", "true".to_owned()),
        ("access.session_length", show_duration(AccessSettings::STANDARD.session_length)),
        ("channels.*.timeout", "10s".to_owned()),
        ("channels.*.max_age", "1d".to_owned()),
        ("routes.*.group_wait", "0s".to_owned()),
        ("routes.*.group_interval", "30s".to_owned()),
        ("routes.*.reminders.after", show_duration(Reminders::STANDARD.after)),
        ("routes.*.reminders.every", show_duration(Reminders::STANDARD.every)),
        ("discover.*.limit", Discovery::LIMIT.to_string()),
        ("discover.*.forget_after", show_duration(Discovery::FORGET_AFTER)),
        ("blackbox.listen", BlackboxSettings::LISTEN.to_string()),
        ("blackbox.timeout_offset", show_duration(BlackboxSettings::TIMEOUT_OFFSET)),
        ("blackbox.history", BlackboxSettings::HISTORY.to_string()),
        ("blackbox.at_once", BlackboxSettings::AT_ONCE.to_string()),
        ("doctor.every", show_duration(DoctorSettings::EVERY)),
        ("history.raw", show_duration(keep.raw)),
        ("history.minutes", show_duration(keep.minutes)),
        ("history.hours", show_duration(keep.hours)),
    ] {
        say(format_args!("{key:28} {value}"));
    }
}
