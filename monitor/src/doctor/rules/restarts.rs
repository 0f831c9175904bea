//! Restart policies that hide a loop, or make one.
//!
//! `always` and `unless-stopped` are not mistakes by themselves: a service is meant to come back, Docker waits up to a
//! minute between tries (docs.docker.com/engine/containers/start-containers-automatically), and half of all projects write
//! it. What is told is where a loop would go unseen, because no check can speak of it, or where the file itself shows why
//! the program will end at its start: a check never speaks then, for its grace begins anew with each try. Loops of any
//! other cause are seen while they run.

use crate::doctor::compose::{Kind, Project, Service};
use crate::doctor::finding::{Hit, Rule};
use crate::supervise::check_command::CheckCommand;
use crate::supervise::shell::{Step, steps};

use super::images::is_install;
use super::settings::{shown, unreadable_setting};

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::warning(
        "restart-unchecked",
        "restarted for ever, and nothing says whether it works",
        "A program that dies at each start loops unseen, and one that hangs is never noticed.",
        unchecked,
    ),
    Rule::warning(
        "restart-without-limit",
        "restarted for ever, although the file shows why it ends at its start",
        "It loops for ever: a limit lets it stay exited, where everybody sees it. A health check never speaks: its grace begins anew with each start.",
        without_limit,
    ),
    Rule::warning(
        "restart-behind-reloader",
        "a restart policy that never acts: a reloader outlives its program",
        "When the program dies the reloader waits for a changed file: the container stays up, with nobody in it.",
        behind_reloader,
    ),
    Rule::error(
        "restart-one-shot",
        "a job that ends is started again for ever",
        "A migration or set-up that succeeded runs again at once, in an endless loop.",
        one_shot,
    ),
];

/// What a limit costs (docs.docker.com/engine/containers/start-containers-automatically).
const NOT_AFTER_REBOOT: &str =
    "\n# with a limit Docker does not start it when the engine starts: have a unit run `docker compose up -d`";

fn unchecked(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in project.services.iter().filter(|service| service.is_retried_for_ever() && !is_one_shot(service)) {
        let (Some(restart), Some(why)) = (&service.restart, why_unseen(service)) else { continue };
        let message = format!("restart: {} {why}", restart.text);
        let fix = format!("{}   # or a healthcheck that asks what people use{NOT_AFTER_REBOOT}", limit_for(service));
        hits.push(Hit::new(&restart.place, &service.name, message, fix));
    }
    hits
}

/// Returns why no check tells of a loop, if none does.
fn why_unseen(service: &Service) -> Option<&'static str> {
    let command = service.health.as_ref().and_then(|health| health.command());
    // It asks nothing: whatever runs beside it may be gone.
    if command.is_some_and(|command: &CheckCommand| command.never_fails() || command.finds_itself().is_some()) {
        return Some("with a health check that cannot fail, and without a limit");
    }
    // Of an image that nobody has looked into it may be that it brings a check; one without a shell can have none.
    (service.has_check() == Some(false) && !service.facts.is_empty).then_some("without a health check or a limit")
}

fn without_limit(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    let all = project.services.iter().filter(|service| service.is_retried_for_ever() && !is_one_shot(service));
    for service in all.filter(|service| why_unseen(service).is_none()) {
        let (Some(restart), Some(why)) = (&service.restart, why_it_ends(service)) else { continue };
        let message = format!("restart: {} without a limit, and {why}", restart.text);
        let fix = format!("{}   # and mend why it ends (see its own finding){NOT_AFTER_REBOOT}", limit_for(service));
        hits.push(Hit::new(&restart.place, &service.name, message, fix));
    }
    hits
}

/// Returns why it ends at its start, as far as reading tells.
fn why_it_ends(service: &Service) -> Option<String> {
    if let Some((variable, why)) = unreadable_setting(service) {
        return Some(format!("{}={} {why}", variable.name, shown(variable)));
    }
    let install = service.commands.iter().find_map(|command| steps(&command.text).into_iter().find(is_install))?;
    Some(format!("{:?} has to succeed at each start", install.words.join(" ")))
}

/// Returns the line that sets a limit, where the service sets its policy.
fn limit_for(service: &Service) -> &'static str {
    match service.node.child("restart") {
        Some(_) => "restart: on-failure:5",
        None => "deploy: { restart_policy: { condition: on-failure, max_attempts: 5 } }",
    }
}

fn behind_reloader(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in project.services.iter().filter(|service| service.is_restarted()) {
        let Some(restart) = &service.restart else { continue };
        for command in &service.commands {
            let Some(found) = steps(&command.text).into_iter().find(is_reloader) else { continue };
            let message = format!("restart: {} behind {:?}", restart.text, found.words.join(" "));
            let fix = "command: …   # the program itself; keep the reloader for compose.override.yml";
            hits.push(Hit::new(&command.place, &service.name, message, fix));
        }
    }
    hits
}

/// Returns true for what starts a program, and waits for a changed file when that ends (uvicorn's `supervisors`, nodemon's
/// "app crashed - waiting for file changes", Node's `--watch`, tsx(1) `watch`, watchexec(1)).
fn is_reloader(step: &Step) -> bool {
    let has = |words: &[&str]| step.words.iter().any(|own| words.contains(&own.as_str()));
    match step.program() {
        Some("nodemon" | "ts-node-dev" | "watchexec") => true,
        Some("uvicorn") => has(&["--reload"]),
        Some("fastapi") => has(&["dev"]),
        Some("node") => has(&["--watch"]),
        Some("tsx") => has(&["watch", "--watch"]),
        Some("npx") => has(&["nodemon", "ts-node-dev"]),
        Some("python" | "python3") => has(&["uvicorn"]) && has(&["--reload"]),
        _ => false,
    }
}

fn one_shot(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in project.services.iter().filter(|service| service.restarts_for_ever() && is_one_shot(service)) {
        let Some(restart) = &service.restart else { continue };
        let message = format!("{} does its work once, and is restarted with {}", service.name, restart.text);
        hits.push(Hit::new(&restart.place, &service.name, message, "restart: on-failure:3"));
    }
    hits
}

/// Jobs by what they are called or told to do.
fn is_one_shot(service: &Service) -> bool {
    let jobs = ["migrate", "migration", "migrations", "seed", "setup", "init"];
    // A store that is told nothing runs as one, such as the seed node of a cluster.
    let is_store = service.facts.is(Kind::Store) || matches!(service.facts.name.as_str(), "cassandra" | "scylla");
    let is_node = is_store && service.commands.is_empty();
    let named = !is_node && service.name.split(['-', '_']).any(|word| jobs.contains(&word));
    let commands =
        ["migrate deploy", "alembic upgrade", "db:migrate", "manage.py migrate", "flyway migrate", "migrate up"];
    named
        || service.commands.iter().any(|command| {
            let text = &command.text;
            commands.iter().any(|job| text.contains(job)) && !text.contains("&&") && !text.contains(';')
        })
}
