//! `monitor check-config`: every mistake at once, or what the configuration comes to.

use std::path::PathBuf;
use std::process::ExitCode;

use kit::config::{Environment, show_duration};
use kit::exit;
use monitor::{Config, Engine, Kinds};

/// Checks a configuration.
#[derive(Debug, clap::Args)]
pub(super) struct CheckConfig {
    /// A YAML file, or a folder of them.
    #[arg(default_value = "monitor.yml")]
    config: PathBuf,
}

pub(super) fn run(command: &CheckConfig) -> ExitCode {
    let config = Config::load(&command.config, &Environment::of_process());
    let engine = match Engine::new(&config, Kinds::standard()) {
        Ok(engine) => engine,
        Err(error) => {
            let count = error.mistakes.len();
            eprintln!("{error}");
            eprintln!("{count} mistake{} in {}", if count == 1 { "" } else { "s" }, config.path().display());
            return ExitCode::from(exit::CONFIG);
        }
    };
    let plan = engine.plan();
    let checks = plan.checks().count();
    println!(
        "{} is fine: {} services, {checks} checks, listening on {}",
        config.path().display(),
        plan.services.len(),
        plan.listen
    );
    for service in &plan.services {
        for check in &service.checks {
            let target = check.question.probe.target().shown;
            println!(
                "  {:32} {:9} every {:>5}  {target}",
                check.question.id.to_string(),
                check.kind,
                show_duration(check.cadence.every)
            );
        }
    }
    ExitCode::from(exit::YES)
}
