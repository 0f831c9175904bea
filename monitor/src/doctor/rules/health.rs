//! Health checks that say nothing true: they cannot fail, or cannot pass.

use std::time::Duration;

use kit::config::show_duration;
use url::Url;

use crate::doctor::compose::{Health, Kind, Project, Service};
use crate::doctor::finding::{Hit, Rule};
use crate::supervise::check_command::CheckCommand;
use crate::supervise::shell::Step;

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "health-program-missing",
        "the health check's program is not in the image",
        "Each check ends with exit code 127: the container is unhealthy for ever although it works, and what waits for it never starts.",
        |project| each(project, program_missing),
    ),
    Rule::error(
        "health-matches-itself",
        "the health check finds itself in the list of processes",
        "The text that is looked for stands in the check's own command line: it passes even when the program is dead.",
        |project| each(project, matches_itself),
    ),
    Rule::error(
        "health-never-fails",
        "the health check cannot fail",
        "It always ends with 0: a broken container stays healthy and nobody is told.",
        |project| each(project, never_fails),
    ),
    Rule::error(
        "health-wrong-port",
        "the health check asks a port where its service does not listen",
        "It can never pass: the container is unhealthy for ever, and what waits for it never starts.",
        |project| each(project, wrong_port),
    ),
    Rule::error(
        "health-wrong-path",
        "the health check asks a path that the image does not serve",
        "It can never pass: the container is unhealthy for ever, and what waits for it never starts.",
        |project| each(project, wrong_path),
    ),
    Rule::warning(
        "health-curl-without-fail",
        "curl without --fail passes on every answer",
        "curl ends with 0 also on 404 and 500: a broken service stays healthy.",
        |project| each(project, curl_without_fail),
    ),
    Rule::warning(
        "health-no-start-period",
        "no start_period, and less time than a start takes",
        "Fails while it starts count: it becomes unhealthy before it could ever have been ready.",
        |project| each(project, no_start_period),
    ),
    Rule::warning(
        "health-timeout-too-long",
        "a check may take longer than the time between checks",
        "A hang is seen late: each check uses up its whole interval before it counts as failed.",
        |project| each(project, timeout_too_long),
    ),
];

/// A start that nobody knows more about is given this long.
const USUAL_START: Duration = Duration::from_secs(30);

fn each(project: &Project, find: fn(&Service, &Health) -> Option<Hit>) -> Vec<Hit> {
    let checked = project.services.iter().filter_map(|service| {
        let health = service.health.as_ref()?;
        if health.runs() { Some((service, health)) } else { None }
    });
    checked.filter_map(|(service, health)| find(service, health)).collect()
}

/// Returns true if the check can never pass, as far as reading tells.
pub(super) fn can_never_pass(service: &Service) -> bool {
    let Some(health) = service.health.as_ref().filter(|health| health.runs()) else { return false };
    [program_missing, wrong_port, wrong_path].iter().any(|find| find(service, health).is_some())
}

fn program_missing(service: &Service, health: &Health) -> Option<Hit> {
    let image = service.image.as_ref().filter(|_| !service.is_built).map_or(&service.facts.name, |image| &image.text);
    let hit = |program: &str| {
        let message = format!("{program:?} is not in the image {image}");
        Hit::new(&health.test_place, &service.name, message, fix_for(service))
    };
    if health.uses_shell() && service.facts.has("sh") == Some(false) {
        return Some(hit("sh"));
    }
    let steps = health.steps();
    let programs: Vec<&str> = steps.iter().filter_map(Step::program).collect();
    let missing = programs.iter().find(|program| service.facts.has(program) == Some(false))?;
    // `curl … || wget …` works where one of them does.
    let has_other_way = steps.iter().any(|step| {
        step.joined_by == "||" && step.program().is_some_and(|program| service.facts.has(program) != Some(false))
    });
    (!has_other_way).then(|| hit(missing))
}

/// Returns a check that works with what is known to be in the image.
fn fix_for(service: &Service) -> String {
    let port = service.listens_on().iter().next().copied().unwrap_or(8080);
    let name = service.facts.name.as_str();
    let test = match name {
        "qdrant" => "[\"CMD-SHELL\", \"bash -c ':> /dev/tcp/127.0.0.1/6333' || exit 1\"]".to_owned(),
        "postgres" => "[\"CMD-SHELL\", \"pg_isready -U $${POSTGRES_USER:-postgres}\"]".to_owned(),
        "redis" | "valkey" => "[\"CMD\", \"redis-cli\", \"ping\"]".to_owned(),
        "mariadb" => "[\"CMD\", \"healthcheck.sh\", \"--connect\", \"--innodb_initialized\"]".to_owned(),
        "mongo" => "[\"CMD\", \"mongosh\", \"--quiet\", \"--eval\", \"db.adminCommand('ping')\"]".to_owned(),
        "minio" => "[\"CMD\", \"mc\", \"ready\", \"local\"]".to_owned(),
        "keycloak" => "[\"CMD-SHELL\", \"exec 3<>/dev/tcp/127.0.0.1/9000\"]".to_owned(),
        "python" => format!(
            "[\"CMD\", \"python\", \"-c\", \"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/health', timeout=4)\"]"
        ),
        "node" => format!(
            "[\"CMD\", \"node\", \"-e\", \"fetch('http://127.0.0.1:{port}/health').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))\"]"
        ),
        _ if !service.facts.is_empty && service.facts.has("wget") != Some(false) => {
            format!("[\"CMD\", \"wget\", \"-q\", \"-O\", \"/dev/null\", \"http://127.0.0.1:{port}/health\"]")
        }
        _ => {
            return "Remove the healthcheck, or ask with a program that is in the image: its own subcommand, or\n\
                     `monitor healthcheck URL` copied into it."
                .to_owned();
        }
    };
    format!("healthcheck:\n  test: {test}")
}

fn matches_itself(service: &Service, health: &Health) -> Option<Hit> {
    let found = health.command()?.finds_itself()?;
    let message = format!("{found:?} stands in the check's own command line ({})", health.line());
    let fix = "Ask the service itself: an HTTP or TCP request to its port, or the file it touches while it works.\n\
               If only the process counts, let the first letter stand in brackets: pgrep -f '[n]ode server.js'";
    Some(Hit::new(&health.test_place, &service.name, message, fix))
}

fn never_fails(service: &Service, health: &Health) -> Option<Hit> {
    if !health.command()?.never_fails() {
        return None;
    }
    let message = format!("this always ends with 0: {}", health.line());
    let fix = "healthcheck:\n  test: [\"CMD-SHELL\", \"… || exit 1\"]   # the request itself, and nothing behind it that succeeds";
    Some(Hit::new(&health.test_place, &service.name, message, fix))
}

/// The URLs of its own container that the check asks.
fn own_urls(health: &Health) -> Vec<Url> {
    let line = health.line();
    let mut urls = Vec::new();
    for word in line.split(|c: char| c.is_whitespace() || "'\"()|;,<>".contains(c)) {
        // curl and wget take an address without a scheme too.
        let is_bare = word.starts_with("localhost:") || word.starts_with("127.0.0.1:");
        let word = if is_bare { format!("http://{word}") } else { word.to_owned() };
        let url = Url::parse(&word).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        urls.extend(url.filter(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0"))));
    }
    urls
}

fn wrong_port(service: &Service, health: &Health) -> Option<Hit> {
    let url = own_urls(health).into_iter().next()?;
    let port = url.port_or_known_default()?;
    let listens = service.listens_on();
    let is_open = listens.is_empty() || listens.contains(&port) || service.may_listen_elsewhere();
    if is_open || service.shares_network() || service.mentions(port) {
        return None;
    }
    let known: Vec<String> = listens.iter().map(u16::to_string).collect();
    let message = format!("nothing listens on {port} in this container; it listens on {}", known.join(", "));
    let right = known.first().cloned().unwrap_or_default();
    let fix = rewritten(health, &format!(":{port}"), &format!(":{right}"))?;
    Some(Hit::new(&health.test_place, &service.name, message, fix))
}

fn wrong_path(service: &Service, health: &Health) -> Option<Hit> {
    let (wrong, right) = service.facts.wrong_path?;
    let url = own_urls(health).into_iter().find(|url| url.path().trim_end_matches('/') == wrong)?;
    let message = format!("the image has no {}; it answers {right}", url.path());
    let fix = rewritten(health, url.path(), right)?;
    Some(Hit::new(&health.test_place, &service.name, message, fix))
}

/// Returns the check with one thing in it replaced, to be pasted.
fn rewritten(health: &Health, from: &str, to: &str) -> Option<String> {
    let command = match health.command()? {
        CheckCommand::Shell(line) => CheckCommand::Shell(line.replacen(from, to, 1)),
        CheckCommand::Program(words) => {
            let at = words.iter().position(|word| word.contains(from))?;
            let written =
                |(index, word): (usize, &String)| if index == at { word.replacen(from, to, 1) } else { word.clone() };
            CheckCommand::Program(words.iter().enumerate().map(written).collect())
        }
    };
    Some(as_test(&command))
}

/// Writes a command as a list of JSON, which is YAML too, with the `$` that Compose would replace doubled.
fn as_test(command: &CheckCommand) -> String {
    let words: Vec<&str> = match command {
        CheckCommand::Program(words) => ["CMD"].into_iter().chain(words.iter().map(String::as_str)).collect(),
        CheckCommand::Shell(line) => vec!["CMD-SHELL", line],
    };
    let quoted: Vec<String> = words.iter().map(|word| serde_json::Value::from(*word).to_string()).collect();
    format!("healthcheck:\n  test: [{}]", quoted.join(", ").replace('$', "$$"))
}

fn curl_without_fail(service: &Service, health: &Health) -> Option<Hit> {
    if !health.command()?.ignores_status() {
        return None;
    }
    let fix = match health.command()? {
        CheckCommand::Program(words) if words.first().is_some_and(|word| word.ends_with("curl")) => {
            let (program, rest) = words.split_first()?;
            let words = [program.clone(), "--fail".to_owned()].into_iter().chain(rest.iter().cloned());
            as_test(&CheckCommand::Program(words.collect()))
        }
        _ => rewritten(health, "curl", "curl --fail")?,
    };
    Some(Hit::new(&health.test_place, &service.name, "curl is told nothing about status codes", fix))
}

fn no_start_period(service: &Service, health: &Health) -> Option<Hit> {
    if health.start_period.is_some() {
        return None;
    }
    let patience = health.interval.saturating_mul(health.retries);
    // Stores of which no slow start is known are up in seconds.
    let is_quick = service.facts.starts_in_secs == 0
        && !service.is_built
        && !matches!(service.facts.kind, None | Some(Kind::Base));
    let needed =
        Duration::from_secs(service.facts.starts_in_secs).max(if is_quick { Duration::ZERO } else { USUAL_START });
    if patience >= needed {
        return None;
    }
    let message = format!(
        "{} checks every {} give a start {}, and it may take {}",
        health.retries,
        show_duration(health.interval),
        show_duration(patience),
        show_duration(needed)
    );
    let fix = format!("healthcheck:\n  start_period: {}", show_duration(needed.max(USUAL_START) * 2));
    Some(Hit::new(&health.place, &service.name, message, fix))
}

fn timeout_too_long(service: &Service, health: &Health) -> Option<Hit> {
    let (timeout, place) = health.timeout.as_ref().filter(|(timeout, _)| *timeout > health.interval)?;
    let message = format!("timeout {} with interval {}", show_duration(*timeout), show_duration(health.interval));
    let fix = format!("healthcheck:\n  timeout: {}", show_duration((health.interval / 2).max(Duration::from_secs(1))));
    Some(Hit::new(place, &service.name, message, fix))
}
