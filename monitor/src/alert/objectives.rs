//! The objectives of every service: counts probes as they end, and says which services spend their budget too fast. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::Stamp;

use super::condition::{Condition, Holds};
use super::message::Severity;
use super::slo::{Budget, Count, sentence};
use super::verdicts::ServicesAlerts;

/// What a service promises.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Objectives {
    /// Share of probes of critical checks that pass.
    pub availability: Option<f64>,
    /// 95 % of probes that pass take at most this.
    pub latency_p95: Option<Duration>,
}

/// The share of probes that must keep the latency objective: it is one for the 95th percentile.
const LATENCY_RATIO: f64 = 0.95;
/// An objective of 100 % has no budget to spend: a single fail would be endless. It counts as this.
const MOST: f64 = 0.999_999;
/// Paces change slowly: they are worked out this often.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// One objective and what was spent of it.
#[derive(Debug, Clone)]
pub struct Objective {
    /// `availability` or `latency`.
    pub what: &'static str,
    /// For latency: what is slow.
    pub limit: Option<Duration>,
    /// What was spent.
    pub budget: Budget,
}

/// Every objective, by service.
#[derive(Debug, Default)]
pub struct Slos {
    services: HashMap<Arc<str>, Vec<Objective>>,
    looked: Option<Stamp>,
    found: Vec<Condition>,
    /// Budgets that burnt while their service was told of anyway: silent until the pace has stopped once.
    excused: HashSet<String>,
}

impl Slos {
    /// Takes what services promise now; what was counted for the same promise stays. Returns the services with a promise
    /// that nothing was counted for.
    pub fn configure(&mut self, services: &ServicesAlerts) -> Vec<Arc<str>> {
        let mut fresh = Vec::new();
        let mut before = std::mem::take(&mut self.services);
        for (service, alerts) in services {
            let mut known = before.remove(service).unwrap_or_default();
            let mut objectives = Vec::new();
            let wanted = [
                ("availability", alerts.objectives.availability, None),
                ("latency", alerts.objectives.latency_p95.map(|_| LATENCY_RATIO), alerts.objectives.latency_p95),
            ];
            for (what, ratio, limit) in wanted {
                let Some(ratio) = ratio.map(|ratio| ratio.clamp(0.0, MOST)) else { continue };
                let same = known.iter().position(|old| {
                    old.what == what && old.limit == limit && (old.budget.objective - ratio).abs() < f64::EPSILON
                });
                let kept = same.map(|index| known.swap_remove(index));
                if kept.is_none() && !fresh.contains(service) {
                    fresh.push(service.clone());
                }
                objectives.push(kept.unwrap_or_else(|| Objective { what, limit, budget: Budget::new(ratio) }));
            }
            if !objectives.is_empty() {
                self.services.insert(service.clone(), objectives);
            }
        }
        self.looked = None;
        fresh
    }

    /// A service has a new name: what it has spent goes with it.
    pub fn rename(&mut self, old: &str, new: &Arc<str>) {
        if let Some(objectives) = self.services.remove(old) {
            self.services.insert(new.clone(), objectives);
        }
    }

    /// Returns a service's objectives.
    pub fn of(&self, service: &str) -> &[Objective] {
        self.services.get(service).map_or(&[], Vec::as_slice)
    }

    /// Returns whether a service promises anything.
    pub fn promises(&self, service: &str) -> bool {
        self.services.contains_key(service)
    }

    /// Counts a probe of a critical check: whether it passed, and how long a pass took.
    pub fn observe(&mut self, service: &str, at: Timestamp, passed: bool, took: Option<Duration>) {
        for objective in self.services.get_mut(service).into_iter().flatten() {
            let good = match (objective.limit, took) {
                (None, _) => passed,
                // A fail is the other objective's business.
                (Some(_), None) => continue,
                (Some(limit), Some(took)) => took <= limit,
            };
            objective.budget.forget_after(at);
            objective.budget.add(at, Count { good: u64::from(good), bad: u64::from(!good) });
        }
    }

    /// Counts what history knows of a span: `fine` if it is short enough for every window.
    pub fn recall(&mut self, service: &str, what: &str, at: Timestamp, count: Count, fine: bool) {
        let objectives = self.services.get_mut(service).into_iter().flatten();
        for objective in objectives.filter(|objective| objective.what == what) {
            if fine { objective.budget.add(at, count) } else { objective.budget.add_hour(at, count) }
        }
    }

    /// Adds which services spend their budget too fast. While a service is down that is told already: its objective then
    /// opens nothing of its own.
    pub fn conditions(&mut self, services: &ServicesAlerts, conditions: &mut Vec<Condition>, now: Stamp) {
        if self.looked.is_none_or(|looked| now.at.since(looked.at) >= LOOK_EVERY) {
            self.looked = Some(now);
            self.found = self.work_out(services, now);
        }
        // Only what people hear of, and as urgently: a slow answer that is a ticket is no reason not to page.
        let speaks =
            |condition: &&Condition| condition.holds == Holds::Yes && now.at.since(condition.since) >= condition.after;
        let told: HashMap<&str, Severity> =
            conditions.iter().filter(speaks).map(|condition| (condition.key.as_str(), condition.severity)).collect();
        let is_told = |condition: &&Condition| {
            let service = condition.service.as_deref().map(Condition::service_key);
            service.and_then(|key| told.get(&*key)).is_some_and(|severity| *severity >= condition.severity)
        };
        let excused: Vec<String> = self.found.iter().filter(is_told).map(|condition| condition.key.clone()).collect();
        self.excused.extend(excused);
        let burns: HashSet<&String> = self.found.iter().map(|condition| &condition.key).collect();
        self.excused.retain(|key| burns.contains(key));
        let found = self.found.iter().map(|condition| {
            let holds = if self.excused.contains(&condition.key) { Holds::Unclear } else { condition.holds };
            Condition { holds, ..condition.clone() }
        });
        conditions.extend(found.collect::<Vec<_>>());
    }

    fn work_out(&self, services: &ServicesAlerts, now: Stamp) -> Vec<Condition> {
        let mut found = Vec::new();
        for (service, objectives) in &self.services {
            for objective in objectives {
                let Some((pace, burn)) = objective.budget.alert(now.wall) else { continue };
                let what = match objective.limit {
                    None => "failed".to_owned(),
                    Some(limit) => format!("took over {}", kit::config::show_duration(limit)),
                };
                let title = sentence(service, &what, objective.budget.objective, pace, burn);
                let key = format!("slo:{service}:{}", objective.what);
                let mut condition = Condition::new(key, "ErrorBudgetBurn", pace.severity, title);
                condition.service = Some(service.clone());
                objective.what.clone_into(&mut condition.cause);
                condition.since = now.at;
                condition.labels = services.get(service).map(|alerts| alerts.labels.clone()).unwrap_or_default();
                condition.labels.insert("objective".to_owned(), objective.what.to_owned());
                condition.description = match objective.budget.left(now.wall) {
                    Some(left) => format!("{:.0}% of the budget for 30 days is left.", (left * 100.0).max(0.0)),
                    None => String::new(),
                };
                found.push(condition);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use kit::clock::Moment;

    use super::super::verdicts::ServiceAlerts;
    use super::*;

    fn stamp(secs: i64) -> Stamp {
        Stamp { at: Moment::from_ms(secs * 1000), wall: Timestamp::from_second(1_800_000_000 + secs).unwrap() }
    }

    fn services() -> ServicesAlerts {
        let objectives = Objectives { availability: Some(0.999), latency_p95: Some(Duration::from_millis(200)) };
        [("web".into(), ServiceAlerts { objectives, ..ServiceAlerts::standard(true) })].into()
    }

    fn keys(slos: &mut Slos, mut conditions: Vec<Condition>, secs: i64) -> Vec<(String, Holds, Severity)> {
        slos.conditions(&services(), &mut conditions, stamp(secs));
        let slo = conditions.into_iter().filter(|condition| condition.key.starts_with("slo:"));
        slo.map(|condition| (condition.key, condition.holds, condition.severity)).collect()
    }

    #[test]
    fn a_probe_that_was_dated_ahead_spoils_nothing_once_the_clock_is_set_back() {
        let mut slos = Slos::default();
        slos.configure(&services());
        (0..400).for_each(|step| slos.observe("web", stamp(step * 10).wall, true, Some(Duration::from_millis(10))));
        let before = slos.of("web")[0].budget.left(stamp(4000).wall);
        slos.observe("web", stamp(90 * 86_400).wall, false, None);
        (400..800).for_each(|step| slos.observe("web", stamp(step * 10).wall, true, Some(Duration::from_millis(10))));
        let after = slos.of("web")[0].budget.left(stamp(8000).wall);
        assert_eq!((after, after.is_some()), (before, true));
    }

    #[test]
    fn fails_spend_one_budget_and_slowness_the_other() {
        let mut slos = Slos::default();
        let fresh = slos.configure(&services());
        assert_eq!(fresh.len(), 1);
        for step in 0..400 {
            slos.observe("web", stamp(step * 10).wall, step < 380, Some(Duration::from_millis(10)));
        }
        let availability = ("slo:web:availability".to_owned(), Holds::Yes, Severity::Page);
        assert_eq!(keys(&mut slos, Vec::new(), 4000), std::slice::from_ref(&availability));
        let down = Condition::new("service:web", "ServiceDown", Severity::Page, "web is down");
        let mut slow = Condition::new("service:web", "ServiceDegraded", Severity::Ticket, "web is degraded");
        assert_eq!(
            keys(&mut slos, vec![slow.clone()], 4001),
            std::slice::from_ref(&availability),
            "a ticket is no page"
        );
        (slow.severity, slow.holds) = (Severity::Page, Holds::Unclear);
        assert_eq!(keys(&mut slos, vec![slow], 4001), std::slice::from_ref(&availability), "who knows");
        assert_eq!(keys(&mut slos, vec![down], 4001), [(availability.0, Holds::Unclear, Severity::Page)]);

        let mut slow = Slos::default();
        slow.configure(&services());
        for step in 0..400 {
            slow.observe(
                "web",
                stamp(step * 10).wall,
                true,
                Some(Duration::from_millis(if step < 40 { 10 } else { 900 })),
            );
        }
        assert_eq!(keys(&mut slow, Vec::new(), 4000), [("slo:web:latency".to_owned(), Holds::Yes, Severity::Page)]);
    }

    #[test]
    fn a_reload_keeps_what_was_counted_for_the_same_promise() {
        let mut slos = Slos::default();
        slos.configure(&services());
        for step in 0..100 {
            slos.observe("web", stamp(step * 10).wall, false, None);
        }
        slos.configure(&services());
        assert_eq!(keys(&mut slos, Vec::new(), 1000).len(), 1);
        slos.configure(&ServicesAlerts::new());
        assert!(!slos.promises("web"));
    }
}
