//! The verdict of a service: facts only, the worst wins.

use serde::{Deserialize, Serialize};

use super::check::Health;
use super::policy::Severity;

/// What is true of a service. The order is from best to worst, so that the worst is the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A person stopped it.
    Stopped,
    /// A one-shot that exited 0.
    Completed,
    /// Its workload does not exist any more.
    Gone,
    /// Every critical check passes.
    Up,
    /// We could not ask, or nothing checks it.
    Unknown,
    /// There is no fresh news.
    Stale,
    /// It works, but breaks a soft limit or a warning check.
    Degraded,
    /// Not yet passed after a start, and within its grace.
    Starting,
    /// A critical check fails, or it does not run.
    Down,
    /// It dies again and again.
    CrashLooping,
    /// It died so often that we only try once in a while.
    GaveUp,
}

impl Verdict {
    /// Every verdict, worst first, as it is listed to people.
    pub const ALL: [Self; 11] = [
        Self::GaveUp,
        Self::CrashLooping,
        Self::Down,
        Self::Starting,
        Self::Degraded,
        Self::Stale,
        Self::Unknown,
        Self::Up,
        Self::Stopped,
        Self::Completed,
        Self::Gone,
    ];

    /// Returns whether what has it is no part of anything meanwhile: somebody stopped it, or its work is done.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Stopped | Self::Completed)
    }

    /// Returns the word used in metrics, JSON and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Gone => "gone",
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Stale => "stale",
            Self::Degraded => "degraded",
            Self::Starting => "starting",
            Self::Down => "down",
            Self::CrashLooping => "crash_looping",
            Self::GaveUp => "gave_up",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }

    /// Says it as part of a sentence: `is down`.
    pub fn said(self) -> String {
        match self {
            Self::GaveUp => "is given up".to_owned(),
            Self::Completed => "has completed".to_owned(),
            verdict => format!("is {}", verdict.as_str().replace('_', " ")),
        }
    }

    /// Returns true if people cannot use the service.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::GaveUp | Self::CrashLooping | Self::Down | Self::Gone)
    }
}

/// How the service's workload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// It has no workload of ours: only its checks count.
    None,
    /// Nothing to say against it.
    Running,
    /// Some of its replicas do not work, and enough do.
    Impaired {
        /// Which, and why.
        cause: String,
    },
    /// Started, no critical check passed yet, and the grace is not over.
    Starting,
    /// It does not run, or never worked since it was started.
    Broken {
        /// What ended it, or what it does not do.
        cause: String,
    },
    /// Dies again and again.
    CrashLooping {
        /// What ends it.
        cause: String,
    },
    /// Only half-open tries are left.
    GaveUp {
        /// What ends it.
        cause: String,
    },
    /// Stopped by a person.
    Stopped,
    /// A one-shot that exited 0.
    Completed,
    /// Its workload does not exist any more.
    Gone {
        /// What whoever should run it says of that, if anything.
        why: Option<String>,
    },
    /// Whoever runs it cannot be asked: its checks decide, and it is not up.
    Unknown {
        /// Who cannot be asked, and why.
        cause: String,
    },
}

/// One check as the verdict sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFacts<'a> {
    /// The check's name.
    pub name: &'a str,
    /// Its health now.
    pub health: Health,
    /// What it means for the service.
    pub severity: Severity,
    /// Its newest reason, if any.
    pub reason: Option<&'a str>,
}

/// Everything a verdict is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFacts<'a> {
    /// The workload.
    pub runtime: Runtime,
    /// The checks, in configuration order.
    pub checks: Vec<CheckFacts<'a>>,
    /// Who is asked, if there are none.
    pub asked: Asked,
}

/// Who is asked whether a service works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The service itself.
    Itself,
    /// Each of its replicas.
    Replicas,
    /// The service that it is a replica of.
    Whole,
}

/// Returns the verdict and one line that says why; empty when it is up.
pub fn judge(facts: &ServiceFacts<'_>) -> (Verdict, String) {
    let (by_runtime, runtime_why) = match &facts.runtime {
        Runtime::Stopped => return (Verdict::Stopped, "stopped as asked".to_owned()),
        Runtime::Completed => return (Verdict::Completed, "ran to its end".to_owned()),
        Runtime::Gone { why } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            return (Verdict::Gone, format!("its workload does not exist any more{why}"));
        }
        Runtime::GaveUp { cause } => (Verdict::GaveUp, cause.clone()),
        Runtime::CrashLooping { cause } => (Verdict::CrashLooping, cause.clone()),
        Runtime::Broken { cause } => (Verdict::Down, cause.clone()),
        Runtime::Unknown { cause } => (Verdict::Unknown, cause.clone()),
        Runtime::Impaired { cause } => (Verdict::Degraded, cause.clone()),
        Runtime::Starting => (Verdict::Starting, "started, no critical check has passed yet".to_owned()),
        Runtime::Running | Runtime::None => (Verdict::Up, String::new()),
    };
    if facts.checks.is_empty() && facts.asked != Asked::Replicas {
        let why = if facts.asked == Asked::Whole {
            "only its service as a whole is asked"
        } else {
            "nothing checks this service"
        };
        let unchecked = (Verdict::Unknown, why.to_owned());
        return if by_runtime >= Verdict::Unknown { (by_runtime, runtime_why) } else { unchecked };
    }
    let mut worst = (by_runtime, runtime_why);
    for check in &facts.checks {
        let verdict = of_check(check, &facts.runtime);
        if verdict > worst.0 {
            let reason = check.reason.unwrap_or(match check.health {
                Health::Stale => "no fresh news",
                Health::Unknown => "not asked yet",
                _ => "no reason given",
            });
            worst = (verdict, format!("{}: {reason}", check.name));
        }
    }
    worst
}

fn of_check(check: &CheckFacts<'_>, runtime: &Runtime) -> Verdict {
    // Until the first pass or the end of the grace, fails move nothing.
    let starting = *runtime == Runtime::Starting;
    match (check.health, check.severity) {
        (Health::Down, Severity::Critical) if starting => Verdict::Starting,
        (Health::Down, Severity::Critical) => Verdict::Down,
        (Health::Down, Severity::Warning) | (Health::Degraded, _) => Verdict::Degraded,
        (Health::Stale, _) => Verdict::Stale,
        (Health::Unknown, _) => Verdict::Unknown,
        (Health::Up, _) => Verdict::Up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(runtime: Runtime, checks: &[(&'static str, Health, Severity)], verdict: Verdict, why: &str) {
        let checks = checks
            .iter()
            .map(|(name, health, severity)| CheckFacts { name, health: *health, severity: *severity, reason: None })
            .collect();
        let (found, found_why) = judge(&ServiceFacts { runtime, checks, asked: Asked::Itself });
        assert_eq!((found, found_why.as_str()), (verdict, why));
    }

    #[test]
    fn the_worst_fact_wins_and_says_why() {
        use Health::{Degraded, Down, Stale, Unknown, Up};
        use Severity::{Critical, Warning};
        check(Runtime::None, &[("web", Up, Critical), ("cert", Up, Warning)], Verdict::Up, "");
        check(
            Runtime::None,
            &[("web", Up, Critical), ("cert", Down, Warning)],
            Verdict::Degraded,
            "cert: no reason given",
        );
        check(
            Runtime::None,
            &[("web", Down, Critical), ("api", Degraded, Critical)],
            Verdict::Down,
            "web: no reason given",
        );
        check(
            Runtime::None,
            &[("web", Stale, Critical), ("api", Unknown, Critical)],
            Verdict::Stale,
            "web: no fresh news",
        );
        check(Runtime::Running, &[("web", Unknown, Critical)], Verdict::Unknown, "web: not asked yet");
    }

    #[test]
    fn a_loop_is_worse_than_a_fail_and_a_start_hides_fails_only() {
        use Health::{Degraded, Down, Up};
        use Severity::Critical;
        let looping = Runtime::CrashLooping { cause: "exit 1".to_owned() };
        check(looping, &[("web", Up, Critical)], Verdict::CrashLooping, "exit 1");
        let starting = "started, no critical check has passed yet";
        check(Runtime::Starting, &[("web", Down, Critical), ("api", Degraded, Critical)], Verdict::Starting, starting);
        check(Runtime::Broken { cause: "killed".to_owned() }, &[("web", Up, Critical)], Verdict::Down, "killed");
    }

    #[test]
    fn a_stopped_service_is_stopped_whatever_its_checks_say_and_an_unchecked_one_is_never_up() {
        check(Runtime::Stopped, &[("web", Health::Down, Severity::Critical)], Verdict::Stopped, "stopped as asked");
        check(Runtime::Running, &[], Verdict::Unknown, "nothing checks this service");
        check(Runtime::GaveUp { cause: "oom".to_owned() }, &[], Verdict::GaveUp, "oom");
    }

    #[test]
    fn while_nobody_can_say_whether_it_runs_its_checks_decide_and_it_is_not_up() {
        use Health::{Down, Up};
        use Severity::Critical;
        let unseen = || Runtime::Unknown { cause: "the engine does not answer".to_owned() };
        check(unseen(), &[("web", Up, Critical)], Verdict::Unknown, "the engine does not answer");
        check(unseen(), &[("web", Down, Critical)], Verdict::Down, "web: no reason given");
        check(unseen(), &[], Verdict::Unknown, "the engine does not answer");
    }

    #[test]
    fn every_word_is_read_back() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::parse(verdict.as_str()), Some(verdict));
        }
    }
}
