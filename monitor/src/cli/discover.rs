//! `monitor discover`: what would be found now, and what is wrong with its labels; no daemon is needed.

use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use kit::cli::{complain, say};
use kit::config::{Environment, show_duration};
use kit::exit;
use monitor::app::{Found, Plan, ServicePlan};
use monitor::supervise::discovery::{Finds, FoundBy, Roster};
use monitor::{Config, Kinds};
use serde_json::{Value, json};

/// Looks once for services that are found by themselves, and shows what would be watched.
#[derive(Debug, clap::Args)]
pub(super) struct DiscoverCommand {
    /// A YAML file, or a folder of them.
    #[arg(long, env = "MONITOR_CONFIG", default_value = "monitor.yml")]
    config: PathBuf,
    /// Everything as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: &DiscoverCommand) -> ExitCode {
    let config = Config::load(&command.config, &Environment::of_process());
    let kinds = Kinds::standard();
    let plan = match Plan::of(&config, &kinds) {
        Ok(plan) => plan,
        Err(error) => {
            complain(error);
            return ExitCode::from(exit::CONFIG);
        }
    };
    if plan.discoveries.is_empty() {
        complain(format_args!(
            "{} looks for nothing; write discover: {{ docker: {{ container: {{}} }} }}",
            config.path().display()
        ));
        return ExitCode::from(exit::CONFIG);
    }
    let plan = plan.with_found(&look(&plan).await, &kinds);
    if command.json {
        say(format_args!("{}", serde_json::to_string_pretty(&as_json(&plan)).unwrap_or_default()));
    } else {
        plan.finds.iter().for_each(|finds| show(&plan, finds));
    }
    ExitCode::from(code(&plan))
}

/// Looks everywhere at once: each look has its own deadline.
async fn look(plan: &Plan) -> Found {
    let looks = plan.discoveries.iter().map(|discovery| discovery.scout.look());
    let mut found = Found::default();
    for (discovery, look) in plan.discoveries.iter().zip(futures_util::future::join_all(looks).await) {
        match look {
            Ok(seen) => {
                let mut roster = Roster::default();
                roster.take(seen, discovery.limit, Timestamp::now());
                found.rosters.insert(discovery.name.clone(), roster);
            }
            Err(why) => {
                found.blind.insert(discovery.name.clone(), why);
            }
        }
    }
    found
}

fn code(plan: &Plan) -> u8 {
    if plan.finds.iter().any(|finds| finds.blind.is_some()) {
        return exit::UNREACHABLE;
    }
    let is_fine = !plan.finds.iter().any(Finds::is_wrong);
    if is_fine { exit::YES } else { exit::NO }
}

fn of<'a>(plan: &'a Plan, finds: &'a Finds) -> impl Iterator<Item = (&'a ServicePlan, &'a FoundBy)> {
    plan.found().filter(|(_, found)| found.discovery == finds.discovery)
}

fn show(plan: &Plan, finds: &Finds) {
    say(format_args!("{} looks at {} for {}", finds.discovery, finds.address, finds.looks_for));
    if let Some(why) = &finds.blind {
        return say(format_args!("  {why}"));
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["SERVICE", "FOUND AS", "CHECK", "EVERY", "ASKS"]);
    for (service, found) in of(plan, finds) {
        if service.checks.is_empty() {
            table.add_row([&*service.name, &found.shown, "–", "–", "nothing: only whether it runs"]);
        }
        for check in &service.checks {
            let name = format!("{} {}", check.question.id.check, check.kind);
            let (every, target) = (show_duration(check.cadence.every), check.question.probe.target().shown);
            table.add_row([&*service.name, &found.shown, &name, &every, &target]);
        }
    }
    if table.row_count() == 0 {
        say("  nothing is found");
    } else {
        say(table.trim_fmt());
    }
    let wrong: Vec<&String> =
        finds.problems.iter().chain(of(plan, finds).flat_map(|(_, found)| &found.mistakes)).collect();
    if !wrong.is_empty() {
        say("not watched as wanted:");
        wrong.into_iter().for_each(|mistake| say(format_args!("  {mistake}")));
    }
}

fn as_json(plan: &Plan) -> Value {
    let check = |service: &ServicePlan| -> Value {
        let checks = service.checks.iter().map(|check| {
            let asks = check.question.probe.target().shown;
            json!({
                "name": check.question.id.check, "kind": check.kind,
                "every_secs": check.cadence.every.as_secs_f64(), "asks": asks,
            })
        });
        checks.collect()
    };
    let discovery = |finds: &Finds| {
        let services: Value = of(plan, finds)
            .map(|(service, found)| {
                json!({
                    "name": service.name, "found_as": found.shown, "mistakes": found.mistakes, "checks": check(service),
                })
            })
            .collect();
        json!({
            "name": finds.discovery, "address": finds.address, "looks_for": finds.looks_for, "left_out": finds.left_out,
            "blind": finds.blind, "problems": finds.problems, "services": services,
        })
    };
    json!({ "discoveries": plan.finds.iter().map(discovery).collect::<Value>() })
}
