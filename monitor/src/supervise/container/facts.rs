//! What a container engine says of a container: as it stands, and what happened to it. Absent fields are unknown.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState, EventMessage, Health, HealthConfig, HealthStatusEnum,
    RestartPolicyNameEnum,
};
use jiff::Timestamp;
use kit::clock::elapsed;
use nix::sys::signal::Signal;

use super::settings::is_oneoff;
use super::stopping::Stopping;
use super::ways::ways;
use crate::supervise::described::{DeclaredHealth, DeclaredProbe, DeclaredState, Described};
use crate::supervise::workload::Sought;

/// Exit code that stands for one we were not told; Docker's own for "we cannot say" (moby, `container/state.go`).
const UNKNOWN_CODE: i32 = 255;
/// Kept of what a declared check wrote; its last line says most, and Docker itself keeps 4 KiB.
const MAX_OUTPUT_CHARS: usize = 1000;

/// When the engine starts a container again that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RestartPolicy {
    /// Not at all.
    #[default]
    No,
    /// If it failed.
    OnFailure,
    /// If it failed, and only so many times.
    OnFailureAtMost,
    /// Unless somebody stopped it.
    Always,
}

/// A container as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its id, 64 hexadecimal digits.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// When its latest run began; none if it never ran.
    pub(super) started: Option<Timestamp>,
    /// When the latest run that ended did.
    pub(super) finished: Option<Timestamp>,
    /// Whether its process is there. Docker's own `Running` stays true while it waits for a restart.
    pub(super) running: bool,
    /// Whether the engine is about to start it again.
    pub(super) restarting: bool,
    /// Of the latest run that ended.
    pub(super) exit_code: i32,
    /// Whether memory ran out in the latest run.
    pub(super) oom_killed: bool,
    /// When it was made.
    pub(super) created: Option<Timestamp>,
    /// Why the engine could not start it.
    pub(super) start_error: Option<String>,
    /// When it is started again.
    pub(super) policy: RestartPolicy,
    /// What its settings say of how it is stopped.
    pub(super) stopping: Stopping,
    /// The digest of its image, hexadecimal.
    pub(super) image: Option<String>,
    /// A hash of its settings, if Compose made it.
    pub(super) settings: Option<String>,
    /// What is declared of it.
    pub(super) described: Described,
}

/// Compose marks a container with a hash of what its file says of the service (compose, `pkg/api/labels.go`).
const COMPOSE_CONFIG: &str = "com.docker.compose.config-hash";

impl Facts {
    /// Reads an answer to "inspect"; none if it has no id.
    pub(super) fn of(answer: ContainerInspectResponse) -> Option<Self> {
        let state = answer.state.unwrap_or_default();
        let mut described = described(answer.config.as_ref(), state.health.as_ref());
        described.paused = state.paused.unwrap_or(false);
        described.ways = answer.network_settings.map(ways).unwrap_or_default();
        let policy = answer.host_config.and_then(|host| host.restart_policy);
        let retries = policy.as_ref().and_then(|policy| policy.maximum_retry_count).unwrap_or(0);
        let (retries, policy) = (u64::try_from(retries).unwrap_or(0), policy.and_then(|policy| policy.name));
        let stop_timeout = answer.config.as_ref().and_then(|config| config.stop_timeout);
        let labels = answer.config.as_ref().and_then(|config| config.labels.as_ref());
        let settings = labels.and_then(|labels| labels.get(COMPOSE_CONFIG)).cloned();
        let stop_timeout = stop_timeout.and_then(|secs| u64::try_from(secs).ok());
        let restarting = state.restarting.unwrap_or(false);
        Some(Self {
            id: answer.id?,
            name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            started: time(state.started_at.as_deref()),
            finished: time(state.finished_at.as_deref()),
            running: state.running.unwrap_or(false) && !restarting,
            restarting,
            exit_code: exit_code(&state),
            oom_killed: state.oom_killed.unwrap_or(false),
            created: time(answer.created.as_deref()),
            start_error: state.error.filter(|error| !error.is_empty()),
            settings,
            policy: match policy {
                Some(RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::Always,
                Some(RestartPolicyNameEnum::ON_FAILURE) => match retries {
                    0 => RestartPolicy::OnFailure,
                    _ => RestartPolicy::OnFailureAtMost,
                },
                _ => RestartPolicy::No,
            },
            stopping: Stopping {
                signal: answer.config.and_then(|config| config.stop_signal).as_deref().and_then(signal),
                timeout: stop_timeout.map(Duration::from_secs),
            },
            image: answer.image.map(|image| image.trim_start_matches("sha256:").to_owned()),
            described,
        })
    }
}

fn described(config: Option<&ContainerConfig>, health: Option<&Health>) -> Described {
    let ports = config.and_then(|config| config.exposed_ports.as_ref()).into_iter().flatten();
    let mut ports: Vec<u16> = ports.filter_map(|port| port.split('/').next()?.parse().ok()).collect();
    ports.sort_unstable();
    let image = config.and_then(|config| config.image.clone());
    let command = config.into_iter().flat_map(|config| [&config.entrypoint, &config.cmd]);
    let mut volumes = config.and_then(|config| config.volumes.clone()).unwrap_or_default();
    volumes.sort_unstable();
    let check = config.and_then(|config| config.healthcheck.as_ref());
    Described {
        image,
        command: command.flatten().flatten().cloned().collect(),
        volumes,
        ports,
        health: check.zip(health).and_then(|(check, health)| declared(check, health)),
        ..Described::default()
    }
}

fn declared(check: &HealthConfig, health: &Health) -> Option<DeclaredHealth> {
    let state = match health.status? {
        HealthStatusEnum::STARTING => DeclaredState::Starting,
        HealthStatusEnum::HEALTHY => DeclaredState::Healthy,
        HealthStatusEnum::UNHEALTHY => DeclaredState::Unhealthy,
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => return None,
    };
    // 0 stands for the default (moby, `daemon/health.go`).
    let length = |nanos: Option<i64>, default: u64| {
        let given = nanos.and_then(|nanos| u64::try_from(nanos).ok()).filter(|nanos| *nanos > 0);
        given.map_or(Duration::from_secs(default), Duration::from_nanos)
    };
    let probes = health.log.as_deref().unwrap_or_default().iter().filter_map(|probe| {
        let at: Timestamp = probe.start.as_deref()?.parse().ok()?;
        let ended: Timestamp = probe.end.as_deref()?.parse().ok()?;
        let output: String = probe.output.as_deref().unwrap_or_default().chars().take(MAX_OUTPUT_CHARS).collect();
        Some(DeclaredProbe { at, took: elapsed(at, ended), exit: probe.exit_code.unwrap_or(-1), output })
    });
    Some(DeclaredHealth {
        state,
        failing_streak: health.failing_streak.and_then(|streak| u64::try_from(streak).ok()).unwrap_or(0),
        test: check.test.clone().unwrap_or_default(),
        interval: length(check.interval, 30),
        timeout: length(check.timeout, 30),
        start_period: length(check.start_period, 0),
        retries: check.retries.and_then(|retries| u64::try_from(retries).ok()).filter(|n| *n > 0).unwrap_or(3),
        log: probes.collect(),
    })
}

fn exit_code(state: &ContainerState) -> i32 {
    state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(UNKNOWN_CODE)
}

/// Reads a time; Docker writes the year 1 for "never".
fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse::<Timestamp>().ok().filter(|time| time.as_second() > 0)
}

/// Reads `SIGTERM`, `TERM` or `15`.
fn signal(text: &str) -> Option<i32> {
    let named = || if text.starts_with("SIG") { text.parse() } else { format!("SIG{text}").parse::<Signal>() };
    text.parse().ok().or_else(|| named().ok().map(|signal: Signal| signal as i32))
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A run began.
    Started,
    /// A run ended with this code.
    Died(i32),
    /// Somebody sent a signal through the engine.
    Killed(Option<i32>),
    /// Somebody stopped it through the engine; also in the middle of a restart.
    Stopped,
    /// The kernel killed something in it for want of memory.
    OutOfMemory,
    /// It was removed.
    Destroyed,
    /// Its own check finds something else than before, or somebody holds it or lets it go.
    HealthChanged,
}

impl What {
    /// The engine's names for what we ask it to tell; Podman (4.3) has names of its own for ends and removals.
    pub(super) const NAMES: [&'static str; 11] =
        ["start", "die", "died", "kill", "stop", "oom", "destroy", "remove", "health_status", "pause", "unpause"];
}

/// One event of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    /// The container's id.
    pub(super) container: String,
    /// Its name and labels, and what else the engine adds.
    attributes: HashMap<String, String>,
    /// When.
    pub(super) at: Timestamp,
    /// What.
    pub(super) what: What,
}

impl Happening {
    /// Reads an event; none if it is of no use to us.
    pub(super) fn of(message: EventMessage) -> Option<Self> {
        let actor = message.actor?;
        let attributes = actor.attributes.unwrap_or_default();
        let nanos = message.time_nano.map(i128::from).or_else(|| Some(i128::from(message.time?) * 1_000_000_000))?;
        let what = match message.action.as_deref()? {
            "start" => What::Started,
            "die" | "died" => {
                let code = attributes.get("exitCode").or_else(|| attributes.get("containerExitCode"));
                What::Died(code.and_then(|code| code.parse().ok()).unwrap_or(UNKNOWN_CODE))
            }
            "kill" => What::Killed(attributes.get("signal").map(String::as_str).and_then(signal)),
            "stop" => What::Stopped,
            "oom" => What::OutOfMemory,
            "destroy" | "remove" => What::Destroyed,
            "pause" | "unpause" => What::HealthChanged,
            // `health_status: healthy`.
            action if action.starts_with("health_status") => What::HealthChanged,
            _ => return None,
        };
        Some(Self { container: actor.id?, attributes, at: Timestamp::from_nanosecond(nanos).ok()?, what })
    }

    /// Returns whether it happened to a container such as `sought`.
    pub(super) fn is_of(&self, sought: &Sought) -> bool {
        match sought {
            Sought::Name(name) => self.attributes.get("name") == Some(name),
            Sought::Labels(labels) => {
                let is_alike = labels.iter().all(|(key, value)| self.attributes.get(key) == Some(value));
                is_alike && !is_oneoff(&self.attributes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(json: &str) -> Facts {
        Facts::of(serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn what_docker_says_while_it_waits_for_a_restart_is_not_running() {
        let facts = inspected(
            r#"{"Id": "6c80", "Name": "/web", "Image": "sha256:115baac2d6ea", "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}},
            "Config": {"StopSignal": "SIGQUIT"}, "State": {"Status": "restarting", "Running": true, "Restarting": true, "OOMKilled": true, "Dead": false, "Pid": 0,
            "ExitCode": 137, "Error": "", "StartedAt": "2026-11-25T03:06:12.60136328Z", "FinishedAt": "2026-11-25T03:06:12.732644436Z"}}"#,
        );
        assert_eq!((facts.running, facts.restarting, facts.oom_killed), (false, true, true));
        assert_eq!((facts.exit_code, facts.policy, facts.stopping.signal), (137, RestartPolicy::Always, Some(3)));
        assert_eq!((facts.name.as_str(), facts.image.as_deref()), ("web", Some("115baac2d6ea")));
        assert_eq!(facts.started.unwrap().to_string(), "2026-11-25T03:06:12.60136328Z");
    }

    #[test]
    fn the_year_1_is_never_and_what_is_missing_is_unknown() {
        let facts =
            inspected(r#"{"Id": "1", "State": {"StartedAt": "0001-01-01T00:00:00Z", "Error": "no such file"}}"#);
        assert_eq!((facts.started, facts.start_error.is_some(), facts.exit_code), (None, true, 255));
        assert_eq!((facts.policy, facts.stopping.signal, facts.image), (RestartPolicy::No, None, None));
    }

    #[test]
    fn events_are_read_and_found_by_name_or_labels() {
        let event = |action: &str, more: &str| {
            let json = format!(
                r#"{{"Type": "container", "Action": "{action}", "time": 1795575764, "timeNano": 1795575764264671980,
                "Actor": {{"ID": "a4e2", "Attributes": {{"name": "web", "role": "shop"{more}}}}}}}"#
            );
            Happening::of(serde_json::from_str(&json).unwrap())
        };
        let die = event("die", r#", "exitCode": "137""#).unwrap();
        assert_eq!((die.what, die.at.as_nanosecond()), (What::Died(137), 1_795_575_764_264_671_980));
        for (word, what) in
            [("15", What::Killed(Some(15))), ("SIGUSR1", What::Killed(Some(10))), ("HUP", What::Killed(Some(1)))]
        {
            assert_eq!(event("kill", &format!(r#", "signal": "{word}""#)).unwrap().what, what);
        }
        assert_eq!(event("exec_start: sh", ""), None);
        let labels = |value: &str| Sought::Labels(vec![("role".to_owned(), value.to_owned())]);
        assert!(die.is_of(&Sought::Name("web".to_owned())) && die.is_of(&labels("shop")));
        assert!(!die.is_of(&Sought::Name("we".to_owned())) && !die.is_of(&labels("database")));
        let job = event("start", r#", "com.docker.compose.oneoff": "True""#).unwrap();
        assert!(!job.is_of(&labels("shop")) && job.is_of(&Sought::Name("web".to_owned())), "a job of a person's");
    }
}
