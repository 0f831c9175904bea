//! Says why a runtime's own check of a workload disagrees with what is found from outside, and what to write instead.
//! Pure: it reads the check's command and what it last wrote.

use jiff::Timestamp;
use kit::config::show_duration;

use super::check_command::CheckCommand;
use super::described::{DeclaredHealth, DeclaredProbe};
use super::redact;
use super::shell::Step;

/// What is wrong with a declared check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// In one sentence.
    pub what: String,
    /// What to write instead, to paste; may be empty.
    pub fix: String,
}

/// What is known from outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outside<'a> {
    /// What our passing check asks, such as `http://127.0.0.1:8006/health`.
    pub target: Option<&'a str>,
    /// Ports that the image declares.
    pub ports: &'a [u16],
    /// Since when it serves.
    pub serves_since: Option<Timestamp>,
}

/// Says why it is called unhealthy though it serves.
pub fn why_unhealthy(health: &DeclaredHealth, outside: &Outside<'_>) -> Diagnosis {
    let Some(probe) = health.log.iter().rev().find(|probe| probe.exit != 0) else {
        let what = "its own check fails, and left no log of why".to_owned();
        return Diagnosis { what, fix: String::new() };
    };
    let output = probe.output.to_lowercase();
    let (asked, shown) = (Asked::of(&health.command()), health.shown_command());
    if let Some(program) = missing_program(health, probe) {
        let what = format!("the program of its own check, {program}, is not in the image; the service answers");
        return Diagnosis { what, fix: own_check(outside, asked.as_ref()) };
    }
    if output.contains("exceeded timeout") || output.contains("timed out") {
        let what = format!("its own check takes longer than its timeout of {}", show_duration(health.timeout));
        return Diagnosis { what, fix: "healthcheck:\n  timeout: 10s".to_owned() };
    }
    if let Some(asked) = &asked {
        if let Some(status) = ["404", "405"].into_iter().find(|status| says_status(&output, status)) {
            let what = format!("its own check asks {}, which answers {status}: there is no such path", asked.url);
            return Diagnosis { what, fix: own_check(outside, Some(asked)) };
        }
        if let Some(status) = ["401", "403"].into_iter().find(|status| says_status(&output, status)) {
            let what = format!("its own check asks {} without signing in, and gets {status}", asked.url);
            return Diagnosis { what, fix: own_check(outside, Some(asked)) };
        }
        let refused = ["refused", "failed to connect", "couldn't connect", "can't connect", "unreachable"];
        if refused.iter().any(|words| output.contains(words)) {
            return refused_there(asked, &output, outside);
        }
    }
    if let Some(since) = outside.serves_since.filter(|since| health.log.iter().all(|probe| probe.at < *since)) {
        let began = health.log.first().map_or(since, |probe| probe.at);
        let took = show_duration(kit::clock::elapsed(began, since));
        let what = format!(
            "its own check failed while it still started: it answered {took} after the first fail, and start_period is {}",
            show_duration(health.start_period)
        );
        return Diagnosis {
            what,
            fix: format!("healthcheck:\n  start_period: {}", start_period(health, began, since)),
        };
    }
    let said = probe.output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let what = format!("its own check ({shown}) ends with {}: {}", probe.exit, redact(said));
    Diagnosis { what, fix: own_check(outside, asked.as_ref()) }
}

/// Says why it is called healthy though it fails.
pub fn why_healthy(health: &DeclaredHealth) -> Diagnosis {
    let (command, shown) = (health.command(), health.shown_command());
    let fix = "healthcheck:\n  test: [\"CMD\", \"curl\", \"-fsS\", \"http://127.0.0.1:PORT/health\"]   # must fail when the service does".to_owned();
    if let Some(check) = CheckCommand::of(&health.test) {
        let wrong = if check.never_fails() {
            Some("can never fail")
        } else if check.finds_itself().is_some() {
            Some("looks for a process, and finds its own command line")
        } else if check.ignores_status() {
            Some("passes whatever the status is: curl needs --fail")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Diagnosis { what: format!("its own check ({shown}) {wrong}"), fix };
        }
    }
    match Asked::of(&command) {
        Some(asked) => {
            Diagnosis { what: format!("its own check asks {}, which is not what fails", asked.url), fix: String::new() }
        }
        None => Diagnosis { what: format!("its own check ({shown}) asks nothing over the network"), fix },
    }
}

/// Says what is wrong where a runtime calls a workload running that dies again and again; `last_end` is how it last ended.
pub fn why_looping(last_end: &str) -> Diagnosis {
    Diagnosis {
        what: format!("it is called running between its exits: {last_end}"),
        fix: "heal: { quarantine: true }   # stops it and holds it, until what ends it is mended".to_owned(),
    }
}

/// Says what is missing where nothing asks whether a running workload works; `ports` are those that it says it listens on.
pub fn why_unchecked(ports: &[u16]) -> Diagnosis {
    let port = ports.first().map_or_else(|| "PORT".to_owned(), u16::to_string);
    Diagnosis {
        what: "no critical check asks it".to_owned(),
        fix: format!(
            "checks:\n  health: {{ http: {{ url: \"http://127.0.0.1:{port}/health\" }} }}   # or tcp: {{ address: \"127.0.0.1:{port}\" }}"
        ),
    }
}

/// What a command asks.
struct Asked {
    url: String,
    host: String,
    port: Option<u16>,
}

impl Asked {
    fn of(command: &str) -> Option<Self> {
        let from = command.find("http://").or_else(|| command.find("https://"))?;
        let rest = command.get(from..)?;
        let url: String = rest.chars().take_while(|c| !c.is_whitespace() && !"\"'|;&)<>`".contains(*c)).collect();
        let parsed = url::Url::parse(&url).ok()?;
        let host = parsed.host_str()?.to_owned();
        let url = format!("{}://{}{}", parsed.scheme(), shown_host(&parsed), parsed.path());
        Some(Self { host, port: parsed.port_or_known_default(), url })
    }
}

/// Host and port as they stand; user, query and fragment may be secret.
fn shown_host(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns the program that could not be started, as the shell or the runtime names it. What a program says that was
/// started, such as `404: Not Found`, is no word on that.
fn missing_program(health: &DeclaredHealth, probe: &DeclaredProbe) -> Option<String> {
    let quoted = || probe.output.split("exec: \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    if probe.output.contains("executable file not found") || probe.output.contains("OCI runtime exec failed") {
        return quoted();
    }
    let commands = CheckCommand::of(&health.test).map(|check| check.steps()).unwrap_or_default();
    let programs: Vec<&str> = commands.iter().filter_map(Step::program).collect();
    // `sh: 1: curl: not found`, `/bin/sh: curl: command not found`.
    let named = probe.output.lines().find_map(|line| {
        let before = line.strip_suffix(": command not found").or_else(|| line.strip_suffix(": not found"))?;
        before.rsplit([' ', ':']).find(|word| !word.is_empty())
    });
    let named = named.filter(|name| programs.iter().any(|program| name.rsplit('/').next() == Some(program)));
    let first = || programs.first().copied().filter(|_| probe.exit == 127);
    named.or_else(first).map(str::to_owned)
}

fn says_status(output: &str, status: &str) -> bool {
    output.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == status)
}

fn refused_there(asked: &Asked, output: &str, outside: &Outside<'_>) -> Diagnosis {
    let open = port_of(outside);
    let fix = own_check(outside, Some(asked));
    let is_other_port = asked.port.is_some_and(|port| !outside.ports.is_empty() && !outside.ports.contains(&port));
    if let (true, Some(open), Some(port)) = (is_other_port, open, asked.port) {
        let what = format!("its own check asks port {port}, where nothing listens; the service listens on {open}");
        return Diagnosis { what, fix };
    }
    let by_name = asked.host == "localhost";
    if by_name && (output.contains("::1") || open == asked.port || open.is_none()) {
        let what = format!(
            "its own check asks {}, and localhost is ::1 there first, where the service does not listen",
            asked.url
        );
        let fix = format!(
            "healthcheck:\n  test: [\"CMD\", \"curl\", \"-fsS\", \"{}\"]",
            asked.url.replace("localhost", "127.0.0.1")
        );
        return Diagnosis { what, fix };
    }
    let what = format!("its own check asks {}, where nothing listens", asked.url);
    Diagnosis { what, fix }
}

/// Where the service listens inside: what the image declares, or else what we ask from outside.
fn port_of(outside: &Outside<'_>) -> Option<u16> {
    let target =
        outside.target.and_then(|target| url::Url::parse(target).ok()).and_then(|url| url.port_or_known_default());
    match outside.ports {
        [only] => Some(*only),
        ports => target.filter(|port| ports.is_empty() || ports.contains(port)).or_else(|| ports.first().copied()),
    }
}

/// Writes a check that needs no program in the image but ours.
fn own_check(outside: &Outside<'_>, asked: Option<&Asked>) -> String {
    let target = outside.target.and_then(|target| url::Url::parse(target).ok());
    let path = target.as_ref().map_or("/health", |url| url.path()).to_owned();
    let port = port_of(outside).or(asked.and_then(|asked| asked.port));
    let port = port.map_or_else(|| "PORT".to_owned(), |port| port.to_string());
    format!(
        "healthcheck:\n  test: [\"CMD\", \"monitor\", \"healthcheck\", \"http://127.0.0.1:{port}{path}\"]   # or the service's own healthcheck subcommand"
    )
}

fn start_period(health: &DeclaredHealth, began: Timestamp, since: Timestamp) -> String {
    let needed = kit::clock::elapsed(began, since) * 2;
    show_duration(std::time::Duration::from_secs(needed.max(health.start_period * 2).as_secs().max(30)))
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;
