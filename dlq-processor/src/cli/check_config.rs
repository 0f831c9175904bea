//! `check-config`: every mistake of a configuration, or what it comes to.

use std::process::ExitCode;

use kit::cli::{refuse, say};
use kit::config::{Environment, show_duration};
use kit::exit;

use super::ConfigArgument;
use crate::policy::Canary;

pub(super) fn run(argument: &ConfigArgument, environment: &Environment) -> ExitCode {
    let settings = match argument.load(environment) {
        Ok(settings) => settings,
        Err(mistakes) => return refuse(&mistakes),
    };
    let (sources, rules) = (settings.sources.len(), settings.policy.rules.len());
    say(format_args!("{sources} sources, {rules} rules, listening on {}", settings.listen));
    for source in &settings.sources {
        let queues: Vec<&str> = source.queues.iter().map(|queue| queue.as_str()).collect();
        say(format_args!("  {:16} {:7} {}", source.name, source.kind, queues.join(", ")));
    }
    for queue in &settings.queues {
        let mode = if queue.acts { "act" } else { "observe" };
        say(format_args!("  {:16} {mode:7} {}/s", queue.queue.as_str(), queue.rate));
    }
    for (class, Canary { first, cap, tries }) in &settings.policy.canaries {
        let later = match tries {
            Some(1) => String::new(),
            _ => format!(", then twice as long each time up to {}", show_duration(*cap)),
        };
        let most = tries.map(|tries| format!(", {tries} at most")).unwrap_or_default();
        say(format_args!("  canaries         {:7} after {}{later}{most}", class.word(), show_duration(*first)));
    }
    if !settings.queues.iter().any(|queue| queue.acts) {
        say("Nothing is redriven: no queue has mode: act.");
    }
    ExitCode::from(exit::YES)
}
