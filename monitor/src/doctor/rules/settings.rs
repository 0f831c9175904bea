//! Settings that a program cannot read, that are missing, or that everybody can read.

use url::Url;

use crate::doctor::compose::{Kind, Project, Service, Variable};
use crate::doctor::finding::{Hit, Rule};
use crate::supervise::shell::{Step, steps};

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "setting-not-a-number",
        "a setting that is a number has text in it",
        "The program ends at its start because it cannot read the number, and is restarted for ever.",
        not_a_number,
    ),
    Rule::warning(
        "setting-not-a-list",
        "a setting that is a JSON list has something else in it",
        "Programs whose settings pydantic reads take lists as JSON alone: they end at their start, and are restarted for ever.",
        not_a_list,
    ),
    Rule::warning(
        "variable-unset",
        "a variable without value or default",
        "Compose puts nothing in its place: the program starts with an empty setting, or not at all.",
        unset,
    ),
    Rule::error(
        "env-file-missing",
        "a file of variables does not exist",
        "Compose refuses to start the whole project.",
        env_file_missing,
    ),
    Rule::warning(
        "secret-in-file",
        "a secret stands in the file",
        "Whoever can read the repository or inspect the container has it, and it cannot be changed in one place.",
        secret,
    ),
    Rule::warning(
        "docker-socket",
        "the Docker socket is handed out",
        "Whoever breaks into this container owns the host: also through a mount that is read-only, which lets everything be sent.",
        socket,
    ),
];

fn not_a_number(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for variable in &service.environment {
            let Some((value, is_port)) = wrong_number(service, variable) else { continue };
            let message = format!("{}={value} {NO_NUMBER}", variable.name);
            let fix = format!("{}={}", variable.name, number_in(value, is_port));
            hits.push(Hit::new(&variable.place, &service.name, message, fix));
        }
    }
    hits
}

const NO_NUMBER: &str = "is no whole number";

/// Returns a setting that its program cannot read, and what is wrong with it.
pub(super) fn unreadable_setting(service: &Service) -> Option<(&Variable, &'static str)> {
    let why = |variable| match wrong_number(service, variable) {
        Some(_) => Some(NO_NUMBER),
        None => wrong_list(service, variable).map(|_items| NO_LIST),
    };
    service.environment.iter().find_map(|variable| Some((variable, why(variable)?)))
}

/// Returns a value that is no number where one belongs, and whether that is a port.
fn wrong_number<'a>(service: &Service, variable: &'a Variable) -> Option<(&'a str, bool)> {
    let value = variable.value.as_deref().map(str::trim).filter(|value| !value.is_empty())?;
    let is_port = variable.name == "PORT" || variable.name.ends_with("_PORT");
    // Docker's own links and Kubernetes write `tcp://…` there.
    let is_read = |value: &str| value.parse::<u16>().is_ok() || (variable.name != "PORT" && is_more_than_port(value));
    let wrong_port = is_port && !is_read(value) && !value.contains("://") && !value.contains(['$', '/']);
    // Well-known images have readers of their own for units.
    let is_ours = service.facts.kind.is_none_or(|kind| kind == Kind::Base);
    let wrong_number = is_ours && wants_number(&variable.name) && has_unit(value);
    (wrong_port || wrong_number).then_some((value, is_port))
}

/// True for what a name that ends in `_PORT` may hold too: whether something is on, an address, several ports.
fn is_more_than_port(value: &str) -> bool {
    let is_switch = ["true", "false", "yes", "no", "on", "off"].iter().any(|word| value.eq_ignore_ascii_case(word));
    let is_address = value.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    is_switch || is_address || value.split(['-', ',']).all(|port| port.trim().parse::<u16>().is_ok())
}

fn wants_number(name: &str) -> bool {
    let ends = [
        "MAX_FILE_SIZE",
        "MAX_UPLOAD_SIZE",
        "_POOL_SIZE",
        "_BATCH_SIZE",
        "_CHUNK_SIZE",
        "_WORKERS",
        "_RETRIES",
        "_CONCURRENCY",
        "_SECONDS",
        "_SECS",
        "_MS",
        "_BYTES",
        "MAX_CONNECTIONS",
        "CACHE_TTL",
    ];
    ends.iter().any(|end| name.ends_with(end))
}

/// Digits with letters behind them, such as `10MB` or `30s`.
fn has_unit(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    unit.len() < value.len() && !unit.is_empty() && unit.trim().chars().all(|c| c.is_ascii_alphabetic())
}

fn number_in(value: &str, is_port: bool) -> String {
    if is_port {
        return "8080".to_owned();
    }
    let bytes = kit::config::parse_bytes(value).ok().map(|bytes| bytes.to_string());
    let seconds = || kit::config::parse_duration(value).ok().map(|length| length.as_secs().to_string());
    bytes.or_else(seconds).unwrap_or_else(|| "10".to_owned())
}

const NO_LIST: &str = "is no JSON list";

fn not_a_list(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for variable in &service.environment {
            let Some(items) = wrong_list(service, variable) else { continue };
            let name = &variable.name;
            let is_secret = shown(variable) == "…";
            let message = format!("{name}={} {NO_LIST}", shown(variable));
            let items: Vec<String> =
                items.iter().map(|item| format!("\"{}\"", if is_secret { "…" } else { item })).collect();
            let fix = format!("{name}: '[{}]'", items.join(", "));
            hits.push(Hit::new(&variable.place, &service.name, message, fix));
        }
    }
    hits
}

/// Returns a value as it may be told: a secret stays where it is.
pub(super) fn shown(variable: &Variable) -> &str {
    let name = variable.name.to_ascii_uppercase();
    let is_secret = ["PASSW", "SECRET", "KEY", "TOKEN"].iter().any(|word| name.contains(word));
    if is_secret { "…" } else { variable.value.as_deref().unwrap_or_default() }
}

/// Returns the items of a value that must be a JSON list, and is none.
///
/// Most programs split at commas, so this is told only where one thing is certain: the value is quoted in brackets and no JSON,
/// another list of the same service is JSON, or it is Python and the name one that pydantic-settings reads as a list
/// (docs.pydantic.dev/latest/concepts/pydantic_settings, "Parsing environment variable values").
fn wrong_list<'a>(service: &Service, variable: &'a Variable) -> Option<Vec<&'a str>> {
    let is_ours = service.facts.kind.is_none_or(|kind| kind == Kind::Base);
    let value = variable.value.as_deref().map(str::trim).filter(|value| is_ours && value.contains(','))?;
    let inside = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    // Braces and parentheses are languages of their own: JSON objects, filters, patterns.
    if is_json_list(value) || value.contains(['{', '(']) || (inside.is_none() && value.contains(['[', '"'])) {
        return None;
    }
    let is_named = |names: &[&str]| names.iter().any(|name| variable.name.ends_with(name));
    let is_list = is_named(&LISTS) || is_named(&LISTS_OF_FILES);
    let has_other = || service.environment.iter().any(|other| other.value.as_deref().is_some_and(is_json_list));
    // `[a-z,A-Z]` is a pattern.
    let in_brackets = inside.is_some() && (is_list || value.contains('\''));
    let is_wrong = in_brackets || (is_list && has_other()) || (is_named(&LISTS_OF_FILES) && runs_python(service));
    let clean = |item: &'a str| item.trim().trim_matches(['\'', '"']);
    is_wrong.then(|| inside.unwrap_or(value).split(',').map(clean).filter(|item| !item.is_empty()).collect())
}

/// Ends of names of lists.
const LISTS: [&str; 5] = ["_ORIGINS", "_HOSTS", "_METHODS", "_HEADERS", "_TYPES"];
/// Those that nothing but a program's own settings reads.
const LISTS_OF_FILES: [&str; 3] = ["_EXTENSIONS", "_FILE_TYPES", "_MIME_TYPES"];

fn is_json_list(value: &str) -> bool {
    value.trim_start().starts_with('[') && serde_json::from_str::<Vec<serde_json::Value>>(value).is_ok()
}

fn runs_python(service: &Service) -> bool {
    let is_python = |step: &Step| {
        let program = step.program().unwrap_or_default();
        program.starts_with("python") || matches!(program, "uvicorn" | "gunicorn" | "hypercorn" | "fastapi" | "celery")
    };
    let of_check = service.health.iter().flat_map(|health| health.steps());
    let of_command = service.commands.iter().flat_map(|command| steps(&command.text));
    service.facts.name == "python" || of_command.chain(of_check).any(|step| is_python(&step))
}

fn unset(project: &Project) -> Vec<Hit> {
    let one = |unset: &crate::doctor::compose::Unset| {
        let name = &unset.name;
        let message = format!("${{{name}}} is set nowhere: not in the environment, .env or --env-file");
        Hit::new(&unset.place, "", message, format!("${{{name}:-default}}   # or ${{{name}:?say what is missing}}"))
    };
    project.unset.iter().map(one).collect()
}

fn env_file_missing(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for file in &service.missing_env_files {
            let message = format!("{} cannot be read", file.text);
            let fix = format!("env_file:\n  - path: {}\n    required: false", file.text);
            hits.push(Hit::new(&file.place, &service.name, message, fix));
        }
    }
    hits
}

fn secret(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for variable in service.environment.iter().filter(|variable| variable.is_inline && variable.is_literal) {
            if holds_secret(variable) {
                let name = &variable.name;
                let message = format!("the value of {name} stands here as it is");
                let fix = format!(
                    "{name}: ${{{name}:?set it in .env}}   # or {name}_FILE: /run/secrets/{}",
                    name.to_lowercase()
                );
                hits.push(Hit::new(&variable.place, &service.name, message, fix));
            }
        }
    }
    hits
}

fn holds_secret(variable: &Variable) -> bool {
    let Some(value) = variable.value.as_deref().filter(|value| !value.is_empty()) else { return false };
    let ends = [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "SECRET_KEY",
        "API_KEY",
        "TOKEN",
        "PRIVATE_KEY",
        "JWT_KEY",
        "ACCESS_KEY",
        "SECRET_KEY_BASE",
    ];
    let is_word = matches!(value, "true" | "false" | "yes" | "no" | "0" | "1") || value.starts_with('/');
    let by_name = ends.iter().any(|end| variable.name.to_ascii_uppercase().ends_with(end)) && !is_word;
    let in_url = Url::parse(value).is_ok_and(|url| url.password().is_some_and(|password| !password.is_empty()));
    by_name || in_url
}

/// Images whose work it is to start containers, or to stand between the socket and the others.
const NEED_SOCKET: [&str; 6] = ["socket-proxy", "gitlab-runner", "act_runner", "portainer", "watchtower", "dockge"];

fn needs_socket(service: &Service) -> bool {
    service.image.as_ref().is_some_and(|image| NEED_SOCKET.iter().any(|name| image.text.contains(name)))
}

fn socket(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in project.services.iter().filter(|service| !needs_socket(service)) {
        for mount in service.mounts.iter().filter(|mount| mount.source.ends_with("/docker.sock")) {
            let message = format!("{} is mounted", mount.source);
            let fix = "A socket proxy with an allow-list holds the socket, in a network of its own, and this container asks\n\
                       it: DOCKER_HOST: tcp://socket-proxy:2375";
            hits.push(Hit::new(&mount.place, &service.name, message, fix));
        }
    }
    hits
}
