//! `monitor doctor self`: what the monitor stands on, and whether its targets can be reached from here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use kit::config::Environment;
use monitor::doctor::Diagnosis;
use monitor::doctor::footing::{Outcome, Target, check};
use monitor::supervise::workload::Runtime;
use monitor::{Config, Engine, Kinds};

use super::{OwnArguments, refuse, report};

/// Where data is kept if no configuration says otherwise.
const DEFAULT_DATA_DIR: &str = "data/monitor";

pub(super) async fn look(arguments: &OwnArguments) -> ExitCode {
    let (data_dir, targets, runtimes) = match &arguments.config {
        None => (DEFAULT_DATA_DIR.into(), Vec::new(), Vec::new()),
        Some(path) => {
            let config = Config::load(path, &Environment::of_process());
            match Engine::new(&config, Kinds::standard()) {
                Ok(engine) => (engine.plan().data_dir.clone(), targets_of(&engine), runtimes_of(&engine)),
                Err(error) => return refuse(&error.to_string()),
            }
        }
    };
    let mut diagnosis = Diagnosis::default();
    for footing in check(Path::new(&data_dir), &targets, &runtimes).await {
        diagnosis.findings.extend(footing.finding());
        match footing.outcome {
            Outcome::Fine(what) => diagnosis.fine.push(what),
            Outcome::Unknown(what) => diagnosis.not_checked.push(what),
            Outcome::Wrong(..) => {}
        }
    }
    report(diagnosis, &BTreeMap::new(), &arguments.report)
}

/// One of each address.
fn runtimes_of(engine: &Engine) -> Vec<Arc<dyn Runtime>> {
    let watched = engine.plan().services.iter().filter_map(|service| service.workload.as_ref()?.as_watch());
    let runtimes: BTreeMap<String, Arc<dyn Runtime>> =
        watched.map(|watched| (watched.runtime.address().to_owned(), watched.runtime.clone())).collect();
    runtimes.into_values().collect()
}

fn targets_of(engine: &Engine) -> Vec<Target> {
    let checks = engine.plan().checks();
    checks
        .map(|check| Target {
            check: check.question.id.to_string(),
            address: check.question.probe.target().shown.to_string(),
        })
        .collect()
}
