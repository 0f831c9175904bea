//! What a runtime declares of a workload beside its runs: its image and the health that a check of its own finds.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use kit::config::show_duration;

use super::redact;

/// Stands for what is not shown.
const HIDDEN: &str = "…";
/// Longest command that is shown, in characters.
const MAX_COMMAND_CHARS: usize = 120;

/// Programs that ask over the network, and words of addresses: a check with none of them asks something else.
const ASKS: [&str; 19] = [
    "http:",
    "https:",
    "localhost",
    "127.0.0.1",
    "::1",
    "0.0.0.0",
    "curl",
    "wget",
    "nc",
    "ncat",
    "socat",
    "telnet",
    "healthcheck",
    "pg_isready",
    "redis-cli",
    "mysqladmin",
    "mongosh",
    "rabbitmq-diagnostics",
    "grpc_health_probe",
];

/// A workload as its runtime describes it. Absent is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// The name of its image.
    pub image: Option<String>,
    /// What it runs: program and arguments.
    pub command: Vec<String>,
    /// Folders that its image keeps apart from itself, for data that outlive a run.
    pub volumes: Vec<String>,
    /// Ports that it says it listens on.
    pub ports: Vec<u16>,
    /// Ways into it from this host.
    pub ways: Vec<Way>,
    /// Somebody holds it where it stands.
    pub paused: bool,
    /// What its own check finds; none if it has none.
    pub health: Option<DeclaredHealth>,
    /// What its unit says; none if it is none of systemd's.
    pub unit: Option<DeclaredUnit>,
}

/// A way into a workload by its runtime's host, and where it leads: whoever stands on that host can go either way.
///
/// For containers these are `NetworkSettings.Ports` of the engine's answer to "inspect" (`HostIp` and `HostPort` for each
/// private port) and `NetworkSettings.Networks` (`IPAddress`, or else `GlobalIPv6Address`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where it is published on the host; an unspecified address stands for all of the host's.
    pub outside: SocketAddr,
    /// The same port at an address of its own.
    pub inside: SocketAddr,
}

/// What a unit of systemd says of its service (systemd.service(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredUnit {
    /// Its file; empty if there is none.
    pub file: String,
    /// `enabled`, `disabled`, `static` …
    pub file_state: String,
    /// `Restart=`.
    pub restart: String,
    /// `RestartSec=`.
    pub restart_delay: Duration,
    /// `WatchdogSec=`.
    pub watchdog: Option<Duration>,
}

/// What a runtime's own check of a workload finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredHealth {
    /// The runtime's verdict.
    pub state: DeclaredState,
    /// Fails in a row.
    pub failing_streak: u64,
    /// The command, as declared: `CMD-SHELL` and a line, or `CMD` and arguments.
    pub test: Vec<String>,
    /// How often it is asked.
    pub interval: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// How long after the start a fail counts for nothing.
    pub start_period: Duration,
    /// Fails in a row that make it unhealthy.
    pub retries: u64,
    /// The last probes, oldest first; Docker keeps five.
    pub log: Vec<DeclaredProbe>,
}

/// A runtime's verdict on a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredState {
    /// It may take its time.
    Starting,
    /// Its check passes.
    Healthy,
    /// Its check fails.
    Unhealthy,
}

impl DeclaredUnit {
    /// Says it in one line: "/etc/systemd/system/web.service (enabled), Restart=always after 1s, watchdog 30s".
    pub fn words(&self) -> String {
        let state = if self.file_state.is_empty() { String::new() } else { format!(" ({})", self.file_state) };
        let after = match self.restart.as_str() {
            "" | "no" => String::new(),
            _ => format!(" after {}", show_duration(self.restart_delay)),
        };
        let restart = if self.restart.is_empty() { "no" } else { &self.restart };
        let watchdog = self.watchdog.map(|length| format!(", watchdog {}", show_duration(length))).unwrap_or_default();
        format!("{}{state}, Restart={restart}{after}{watchdog}", self.file)
    }
}

impl DeclaredState {
    /// Returns the word used in JSON and on pages, which is the runtime's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe of a runtime's own check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredProbe {
    /// When it began.
    pub at: Timestamp,
    /// What it took.
    pub took: Duration,
    /// 0 if it passed; -1 if it could not be run or took too long.
    pub exit: i64,
    /// What it wrote, in part.
    pub output: String,
}

/// Takes passwords and the private parts of addresses out of a command: options of clients that carry them, in either form,
/// and user, query and fragment of URLs. Longer ones are clipped.
pub(super) fn shown_command(command: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut hides_next = false;
    for word in command.split_whitespace() {
        let lower = word.to_lowercase();
        let carries = ["-a", "-p", "-u", "-h", "--user", "--password", "--pass", "--header"].contains(&lower.as_str());
        let attached = (lower.starts_with("-p") || lower.starts_with("-u") || lower.starts_with("-a"))
            && lower.len() > 2
            && !lower.starts_with("--");
        let named = ["password", "passwd", "secret", "token", "authorization", "bearer"]
            .iter()
            .any(|name| lower.contains(name));
        shown.push(if hides_next || attached || named && !carries {
            HIDDEN.to_owned()
        } else {
            without_private_parts(word)
        });
        hides_next = carries || lower.ends_with("authorization:") || lower.ends_with("bearer");
    }
    let line = redact(&shown.join(" "));
    let clipped: String = line.chars().take(MAX_COMMAND_CHARS).collect();
    if clipped.len() < line.len() { format!("{clipped}…") } else { clipped }
}

fn without_private_parts(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("{scheme}://{host}{path}")
}

impl DeclaredHealth {
    /// Returns the command as people write it.
    pub fn command(&self) -> String {
        match self.test.split_first() {
            Some((form, rest)) if form == "CMD" || form == "CMD-SHELL" => rest.join(" "),
            _ => self.test.join(" "),
        }
    }

    /// Returns the command without what may be secret in it, and not longer than a line.
    pub fn shown_command(&self) -> String {
        shown_command(&self.command())
    }

    /// Returns whether it passed when it was asked after this time, and asks as a client would: then whoever cannot reach
    /// the workload has a reason of his own.
    pub fn vouches_since(&self, time: Timestamp) -> bool {
        let command = self.command().to_lowercase();
        let asks = command
            .split([' ', '"', '\'', '/', '=', '(', ';', '|', '&'])
            .any(|word| ASKS.iter().any(|known| word == *known || word.starts_with(&format!("{known}:"))));
        let newest = self.log.last();
        asks && self.state == DeclaredState::Healthy && newest.is_some_and(|probe| probe.exit == 0 && probe.at > time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(test: &[&str], state: DeclaredState, exit: i64) -> DeclaredHealth {
        let probe = DeclaredProbe { at: Timestamp::UNIX_EPOCH, took: Duration::ZERO, exit, output: String::new() };
        DeclaredHealth {
            state,
            failing_streak: 0,
            test: test.iter().map(|word| (*word).to_owned()).collect(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            retries: 3,
            log: vec![probe],
        }
    }

    #[test]
    fn only_a_check_that_asks_as_a_client_and_has_passed_since_vouches_for_a_workload() {
        let before = Timestamp::UNIX_EPOCH - Duration::from_secs(1);
        for (test, expected) in [
            (["CMD-SHELL", "curl -f http://localhost:8080/health || exit 1"].as_slice(), true),
            (&["CMD", "wget", "-q", "https://example.com"], true),
            (&["CMD", "/app/healthcheck"], true),
            (&["CMD-SHELL", "nc -z 127.0.0.1 5432"], true),
            (&["CMD-SHELL", "redis-cli ping"], true),
            (&["CMD-SHELL", "ps aux | grep server"], false),
            (&["CMD", "true"], false),
            (&["CMD-SHELL", "test -f /tmp/healthy"], false),
        ] {
            let passed = health(test, DeclaredState::Healthy, 0);
            assert_eq!(passed.vouches_since(before), expected, "{test:?}");
            assert!(!passed.vouches_since(Timestamp::UNIX_EPOCH), "{test:?}: it was asked before");
            assert!(!health(test, DeclaredState::Unhealthy, 0).vouches_since(before), "{test:?}");
            assert!(!health(test, DeclaredState::Healthy, 1).vouches_since(before), "{test:?}");
        }
    }

    #[test]
    fn a_command_is_shown_without_passwords_and_private_parts_of_addresses() {
        for (command, expected) in [
            ("redis-cli -a s3cret ping", "redis-cli -a … ping"),
            ("mysqladmin ping -ps3cret", "mysqladmin ping …"),
            ("curl -fsS http://u:p@127.0.0.1:80/x?token=1", "…"),
            ("curl -fsS http://u:p@127.0.0.1:80/x?k=1", "curl -fsS http://127.0.0.1:80/x"),
            ("curl --user a:b http://127.0.0.1/", "curl --user … http://127.0.0.1/"),
        ] {
            let shown = shown_command(command);
            assert!(!shown.contains("s3cret") && !shown.contains("token=1") && !shown.contains("a:b"), "{shown}");
            assert!(expected == "…" || shown == expected, "{shown}");
        }
        assert!(shown_command(&"x ".repeat(4000)).chars().count() <= 121);
    }
}
