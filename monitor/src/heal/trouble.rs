//! What is wrong with a service, as far as healing is concerned: a trouble that a restart can cure, or why none could.

use std::fmt;

use kit::clock::Moment;

use super::hold::Hold;
use crate::judge::{CheckEntry, Health, Phase, ServiceEntry};
use crate::probe::{Outcome, ReasonCode};
use crate::supervise::cause::Cause;
use crate::supervise::{Rest, redact};

/// Words for a full disk (`strerror(3)` for ENOSPC and EDQUOT): a restart would only write more.
const DISK_FULL: [&str; 2] = ["no space left on device", "disk quota exceeded"];

/// What a restart can cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It runs and does not answer.
    Hang,
    /// It runs and refuses or drops connections.
    Refused,
    /// It ended, and nobody starts it again.
    Exit(Cause),
}

impl Trouble {
    /// Returns the name by which two troubles are alike.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::Refused => "refused",
            Self::Exit(cause) => cause.name(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hang => formatter.write_str("it runs and does not answer"),
            Self::Refused => formatter.write_str("it runs and refuses connections"),
            Self::Exit(cause) => write!(formatter, "it ended: {}", cause.words()),
        }
    }
}

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// There is nothing to heal.
    Well,
    /// A restart can cure this; with the words of whoever found it.
    Trouble(Trouble, String),
    /// It is broken, and a restart is not the answer.
    Hold(Hold),
}

/// Returns what is wrong with a service. What it needs, who is to decide and how often are not looked at here.
pub fn diagnose(service: &ServiceEntry, now: Moment) -> Diagnosis {
    let Some(workload) = &service.workload else { return Diagnosis::Well };
    if workload.unseen.is_some() {
        return Diagnosis::Hold(Hold::Unseen);
    }
    if workload.described.paused {
        return Diagnosis::Hold(Hold::StoppedByHand);
    }
    match &workload.phase {
        Phase::Pending | Phase::Resting(Rest::Completed | Rest::Gone) => Diagnosis::Well,
        Phase::Waiting(_) => Diagnosis::Hold(Hold::RestartsByItself),
        Phase::Resting(Rest::Stopped) => Diagnosis::Hold(Hold::StoppedByHand),
        Phase::Resting(Rest::Quarantined) => Diagnosis::Hold(Hold::Quarantined),
        Phase::Resting(Rest::GaveUp) => Diagnosis::Hold(Hold::RuntimeGaveUp),
        Phase::Resting(Rest::Failed) => of_exit(service),
        Phase::Running { .. } if has_time(service, now) => Diagnosis::Hold(Hold::Starting),
        Phase::Running { .. } if workload.assessment(now).crash_looping => Diagnosis::Hold(Hold::Looping),
        Phase::Running { .. } => of_checks(service),
    }
}

/// Returns whether it was started and may take its time. After a crash people are told sooner than that; a restart would
/// only begin the same anew.
pub(super) fn has_time(service: &ServiceEntry, now: Moment) -> bool {
    let Some(Phase::Running { since, .. }) = service.workload.as_ref().map(|workload| &workload.phase) else {
        return false;
    };
    !service.is_ready() && now.since(since.at) < service.spec.start_grace.unwrap_or_default()
}

fn of_exit(service: &ServiceEntry) -> Diagnosis {
    let Some(workload) = &service.workload else { return Diagnosis::Well };
    if service.critical().any(|check| matches!(check.health, Health::Up | Health::Degraded)) {
        return Diagnosis::Hold(Hold::StillServes);
    }
    let Some(end) = workload.ledger.last().and_then(|run| run.end.as_ref()) else { return Diagnosis::Well };
    if workload.lines.last().iter().any(|line| says_disk_full(line)) {
        return Diagnosis::Hold(Hold::DiskFull);
    }
    if !end.cause.may_heal_by_restart() {
        return Diagnosis::Hold(Hold::Incurable(end.cause.words()));
    }
    Diagnosis::Trouble(Trouble::Exit(end.cause), end.cause.sentence(end.exit))
}

/// The worst critical check decides; if a restart cannot cure one of them, it cannot cure the service.
fn of_checks(service: &ServiceEntry) -> Diagnosis {
    let mut found: Option<(Trouble, String)> = None;
    for check in service.critical().filter(|check| check.health == Health::Down) {
        let Some((code, text)) = fail_of(check) else {
            // It passes or cannot be asked at this moment; a streak of its own will tell.
            return Diagnosis::Hold(Hold::Unsure);
        };
        let trouble = match code {
            _ if says_disk_full(text) => return Diagnosis::Hold(Hold::DiskFull),
            ReasonCode::Timeout => Trouble::Hang,
            ReasonCode::Refused | ReasonCode::Reset => Trouble::Refused,
            _ => return Diagnosis::Hold(Hold::Incurable(format!("{}: {}", check.id.check, redact(text)))),
        };
        if found.is_none() {
            found = Some((trouble, format!("{}: {}", check.id.check, redact(text))));
        }
    }
    found.map_or(Diagnosis::Well, |(trouble, why)| Diagnosis::Trouble(trouble, why))
}

fn fail_of(check: &CheckEntry) -> Option<(ReasonCode, &str)> {
    match &check.last.as_deref()?.outcome {
        Outcome::Fail(reason) => Some((reason.code, &reason.text)),
        Outcome::Pass | Outcome::Unknown(_) => None,
    }
}

fn says_disk_full(text: &str) -> bool {
    let text = text.to_lowercase();
    DISK_FULL.iter().any(|words| text.contains(words))
}
