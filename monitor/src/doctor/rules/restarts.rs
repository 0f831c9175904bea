//! Restart policies that hide a loop, or make one.

use crate::doctor::compose::{Project, Service};
use crate::doctor::finding::{Hit, Rule};

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::warning(
        "restart-unchecked",
        "restarted for ever, and nothing says whether it works",
        "A program that dies at each start loops unseen, and one that hangs is never noticed.",
        unchecked,
    ),
    Rule::error(
        "restart-one-shot",
        "a job that ends is started again for ever",
        "A migration or set-up that succeeded runs again at once, in an endless loop.",
        one_shot,
    ),
];

fn unchecked(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in project.services.iter().filter(|service| service.restarts_for_ever() && !is_one_shot(service)) {
        let can_be_checked = !service.facts.is_empty;
        let Some(restart) = service.restart.as_ref().filter(|_| can_be_checked) else { continue };
        // Of an image that nobody has looked into it may be that it brings a check.
        if service.has_check() != Some(false) {
            continue;
        }
        let message = format!("restart: {} without a health check or a limit", restart.text);
        hits.push(Hit::new(
            &restart.place,
            &service.name,
            message,
            "restart: on-failure:5   # or a healthcheck that asks what people use",
        ));
    }
    hits
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
    let named = service.name.split(['-', '_']).any(|word| jobs.contains(&word));
    let commands =
        ["migrate deploy", "alembic upgrade", "db:migrate", "manage.py migrate", "flyway migrate", "migrate up"];
    named
        || service.commands.iter().any(|command| {
            let text = &command.text;
            commands.iter().any(|job| text.contains(job)) && !text.contains("&&") && !text.contains(';')
        })
}
