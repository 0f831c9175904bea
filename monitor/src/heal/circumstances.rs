//! What bears on a service from outside of it: changes that are announced, what it needs, and its runtime's own word. Pure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::Stamp;

use crate::judge::{Board, ServiceEntry, Verdict};

/// The log of a runtime's own check is read at least this often.
const LOG_READ_EVERY: Duration = Duration::from_secs(65);

/// Returns who announced a change to a service, if one holds.
pub(super) fn announced(service: &ServiceEntry, now: Stamp) -> Option<String> {
    let announced = service.announced.as_ref().filter(|announced| announced.holds(now.wall))?;
    Some(format!("{} announced a change", announced.by))
}

/// Returns a hard need, direct or through others, that does not work or is not known to.
pub(super) fn broken_need(board: &Board, service: &ServiceEntry) -> Option<String> {
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    let mut to_see: Vec<Arc<str>> = service.spec.hard_needs.clone();
    while let Some(need) = to_see.pop() {
        let Some(entry) = board.service(&need).filter(|_| seen.insert(need.clone())) else { continue };
        if !matches!(entry.verdict, Verdict::Up | Verdict::Degraded | Verdict::Completed) {
            return Some(need.to_string());
        }
        to_see.extend(entry.spec.hard_needs.iter().cloned());
    }
    None
}

/// Returns why a service is believed to work seen from somewhere else: its runtime's own check, which asks from inside,
/// has passed since ours fails, or has had no time yet to say so.
pub(super) fn works_elsewhere(service: &ServiceEntry, now: Stamp) -> Option<String> {
    let health = service.workload.as_ref()?.described.health.as_ref()?;
    let failing_since = service.critical().filter_map(|check| check.failing_since).min()?;
    if health.vouches_since(now.wall_of(failing_since)) {
        return Some(format!("its own check passes from inside: {}", health.shown_command()));
    }
    let heard_by = health.interval + health.timeout + LOG_READ_EVERY;
    let is_early = health.vouches_since(Timestamp::MIN) && now.at.since(failing_since) < heard_by;
    is_early.then(|| "its own check passed from inside before, and is waited for".to_owned())
}
