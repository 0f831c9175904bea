//! What a build adds to its base: programs that are installed, ports, a health check, the command.

use std::collections::BTreeMap;
use std::path::Path;

use super::images::ImageFacts;
use super::read::read_bounded;

/// What a Dockerfile makes, as far as it can be told by reading.
#[derive(Debug, Clone, Default)]
pub(super) struct Built {
    pub(super) facts: ImageFacts,
    /// `CMD` or `ENTRYPOINT`, as one line.
    pub(super) command: String,
}

/// Programs whose installation is looked for: those that health checks use.
const TOOLS: [&str; 8] = ["curl", "wget", "nc", "ps", "pgrep", "bash", "sh", "grpc_health_probe"];
/// Packages that bring programs of other names (Debian and Alpine).
const PACKAGES: [(&str, &str); 5] =
    [("procps", "ps"), ("procps", "pgrep"), ("netcat-openbsd", "nc"), ("netcat", "nc"), ("ncat", "nc")];

/// Reads a Dockerfile and follows its stages to the last one, or to `target`.
pub(super) fn read(file: &Path, target: Option<&str>) -> Result<Built, String> {
    Ok(build(&read_bounded(file)?, target))
}

fn build(text: &str, target: Option<&str>) -> Built {
    let mut stages: BTreeMap<String, Built> = BTreeMap::new();
    let mut arguments: Vec<(String, String)> = Vec::new();
    let mut current = Built::default();
    let (mut name, mut count) = (String::new(), 0);
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            "FROM" => {
                if target.is_some_and(|target| target == name) {
                    break;
                }
                stages.insert(name.clone(), std::mem::take(&mut current));
                let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
                let mut base = words.first().copied().unwrap_or_default().to_owned();
                for (key, value) in &arguments {
                    base = base.replace(&format!("${{{key}}}"), value).replace(&format!("${key}"), value);
                }
                current = stages.get(&base).cloned().unwrap_or_else(|| of_base(&base));
                name = words.get(2).map_or_else(|| count.to_string(), |name| (*name).to_owned());
                count += 1;
            }
            "ARG" => {
                arguments.extend(rest.split_once('=').map(|(k, v)| (k.to_owned(), v.trim_matches('"').to_owned())))
            }
            "RUN" | "COPY" | "ADD" => install(&mut current.facts, rest),
            "EXPOSE" => current.facts.ports.extend(
                rest.split_whitespace()
                    .filter_map(|port| port.split('/').next().and_then(|port| port.parse::<u16>().ok())),
            ),
            "HEALTHCHECK" => current.facts.has_health = Some(!rest.eq_ignore_ascii_case("none")),
            "ENV" => current.facts.port_variable = port_of(rest).or(current.facts.port_variable),
            "CMD" | "ENTRYPOINT" => current.command = rest.to_owned(),
            _ => {}
        }
    }
    current
}

fn of_base(base: &str) -> Built {
    Built { facts: ImageFacts::of(base), command: String::new() }
}

/// Joins continued lines and leaves out comments.
fn instructions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut line = String::new();
    for part in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match part.trim_end().strip_suffix('\\') {
            Some(part) => {
                line.push_str(part);
                line.push(' ');
            }
            None => {
                line.push_str(part);
                found.extend(Some(std::mem::take(&mut line).trim().to_owned()).filter(|line| !line.is_empty()));
            }
        }
    }
    found
}

/// Whatever names a program in an installation or copy may have brought it: then nothing is claimed.
fn install(facts: &mut ImageFacts, rest: &str) {
    let words: Vec<&str> = rest.split(|c: char| c.is_whitespace() || c == '/' || c == '=').collect();
    for tool in TOOLS {
        let packages = PACKAGES.iter().filter(|(_, program)| *program == tool).map(|(package, _)| *package);
        if packages.chain([tool]).any(|name| words.contains(&name)) && tool != "sh" {
            facts.programs.insert(tool.to_owned(), true);
        }
    }
}

fn port_of(rest: &str) -> Option<u16> {
    let mut pairs = rest.split_whitespace();
    let named = pairs.find_map(|pair| pair.strip_prefix("PORT=").map(str::to_owned));
    let spaced = rest.strip_prefix("PORT ").map(|value| value.trim().to_owned());
    named.or(spaced)?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_counts_with_what_is_installed_in_it() {
        let text = "ARG TAG=3.12-slim\nFROM node:22 AS assets\nRUN apt-get install -y wget\n\
                    FROM python:${TAG}\nENV PORT=8200\nRUN apt-get update && \\\n  apt-get install -y curl\n\
                    EXPOSE 8200/tcp\nHEALTHCHECK CMD curl -f http://localhost:8200/\nCMD [\"python\", \"-m\", \"app\"]\n";
        let built = build(text, None);
        assert_eq!(built.facts.has("curl"), Some(true));
        assert_eq!(built.facts.has("wget"), Some(false));
        assert_eq!(built.facts.has_health, Some(true));
        assert_eq!(built.facts.port_variable, Some(8200));
        assert!(built.facts.ports.contains(&8200));
        assert_eq!(build(text, Some("assets")).facts.name, "node");
    }

    #[test]
    fn a_stage_may_go_on_from_another() {
        let built = build("FROM alpine:3.20 AS base\nRUN apk add --no-cache curl\nFROM base\nCMD run\n", None);
        assert_eq!(built.facts.has("curl"), Some(true));
        assert_eq!(build("FROM scratch\nCOPY app /app\n", None).facts.has("sh"), Some(false));
    }
}
