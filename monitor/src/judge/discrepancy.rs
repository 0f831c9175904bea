//! Where a runtime's word on a workload and what its checks find disagree.

use kit::clock::Moment;
use serde::Serialize;

use super::check::Health;
use super::entry::ServiceEntry;
use super::workload::Phase;
use crate::supervise::DeclaredState;

/// A disagreement; at most one holds (DESIGN section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discrepancy {
    /// It is said to run, and dies again and again.
    ActiveButLooping,
    /// Its own check passes, and ours fail.
    HealthyButFailing,
    /// Its own check fails, and ours pass.
    UnhealthyButServing,
    /// It runs, and nothing functional checks it.
    RunningUnchecked,
}

impl Discrepancy {
    /// Every one, in the order in which one hides the next.
    pub const ALL: [Self; 4] =
        [Self::ActiveButLooping, Self::HealthyButFailing, Self::UnhealthyButServing, Self::RunningUnchecked];

    /// Returns the word used in metrics, JSON and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ActiveButLooping => "active_but_looping",
            Self::HealthyButFailing => "healthy_but_failing",
            Self::UnhealthyButServing => "unhealthy_but_serving",
            Self::RunningUnchecked => "running_unchecked",
        }
    }

    /// Returns the one that holds for a service.
    pub fn of(service: &ServiceEntry, now: Moment) -> Option<Self> {
        let workload = service.workload.as_ref()?;
        if !matches!(workload.phase, Phase::Running { .. }) || workload.unseen.is_some() {
            return None;
        }
        if workload.assessment(now).crash_looping {
            return Some(Self::ActiveButLooping);
        }
        let declared = workload.described.health.as_ref().map(|health| health.state);
        let mut critical = service.critical().peekable();
        if critical.peek().is_none() {
            return service.is_unchecked().then_some(Self::RunningUnchecked);
        }
        let serves = |health| matches!(health, Health::Up | Health::Degraded);
        let healths: Vec<Health> = critical.map(|check| check.health).collect();
        match declared? {
            DeclaredState::Healthy if healths.contains(&Health::Down) => Some(Self::HealthyButFailing),
            DeclaredState::Unhealthy if healths.iter().all(|health| serves(*health)) => Some(Self::UnhealthyButServing),
            DeclaredState::Healthy | DeclaredState::Unhealthy | DeclaredState::Starting => None,
        }
    }
}
