//! Settings that a program cannot read, that are missing, or that everybody can read.

use url::Url;

use crate::doctor::compose::{Kind, Project, Service, Variable};
use crate::doctor::finding::{Hit, Rule};

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "setting-not-a-number",
        "a setting that is a number has text in it",
        "The program ends at its start because it cannot read the number, and is restarted for ever.",
        not_a_number,
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
        // Well-known images have readers of their own for units.
        let is_ours = service.facts.kind.is_none_or(|kind| kind == Kind::Base);
        for variable in &service.environment {
            let Some(value) = variable.value.as_deref().map(str::trim).filter(|value| !value.is_empty()) else {
                continue;
            };
            let is_port = variable.name == "PORT" || variable.name.ends_with("_PORT");
            // Docker's own links and Kubernetes write `tcp://…` there.
            let wrong_port =
                is_port && value.parse::<u16>().is_err() && !value.contains("://") && !value.contains(['$', '/']);
            let wrong_number = is_ours && wants_number(&variable.name) && has_unit(value);
            if !(wrong_port || wrong_number) {
                continue;
            }
            let message = format!("{}={value} is no whole number", variable.name);
            hits.push(Hit::new(
                &variable.place,
                &service.name,
                message,
                format!("{}={}", variable.name, number_in(value, is_port)),
            ));
        }
    }
    hits
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
