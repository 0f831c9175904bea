//! The metrics of this program, under the names that existing dashboards query, and its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kit::metrics::{Buckets, Metrics, Sample, family, histograms};
use monitor::Observation;
use monitor::app::{Observer, Plan};
use monitor::probe::Outcome;
use prometheus::proto::MetricFamily;

use crate::kinds::ATTEMPTS;
use crate::ledger::Ledger;

/// Seconds. Around what a hash of a password takes, and the budget of a step (0.2); the last is the deadline of a try.
const BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0];
/// Values of the label `status`.
const STATUSES: [&str; 3] = ["success", "failure", "error"];

/// What is counted of tries to sign in. Cheap to clone.
#[derive(Clone, Default)]
pub struct AuthMetrics {
    services: Arc<Mutex<BTreeMap<Arc<str>, Figures>>>,
}

/// What is known of one service.
#[derive(Clone, Default)]
struct Figures {
    /// In the order of [`STATUSES`].
    attempts: [u64; STATUSES.len()],
    /// Checks that try to sign in, and how the newest tries of each went.
    checks: BTreeMap<Arc<str>, Streak>,
    responses: Buckets<{ BUCKETS.len() }>,
    /// In seconds since the epoch.
    last_success: Option<f64>,
    steps: BTreeMap<String, Buckets<{ BUCKETS.len() }>>,
}

/// How the newest tries of one check went.
#[derive(Clone, Copy, Default)]
struct Streak {
    /// None if it is not known yet.
    has_passed: Option<bool>,
    failures: u32,
}

impl AuthMetrics {
    /// Adds them to a program's metrics.
    pub fn of(metrics: &Metrics, ledger: Ledger) -> Self {
        let own = Self::default();
        let counted = own.clone();
        metrics.collect(move || {
            let services = counted.services().clone();
            families(&services).into_iter().chain(accounts(&ledger)).collect()
        });
        own
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Figures>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for AuthMetrics {
    /// Starts series at zero, so that rates see their first event, and removes those of what is watched no more.
    fn configured(&self, plan: &Plan) {
        let mut services = self.services();
        services.retain(|name, _| plan.service(name).is_some());
        for service in &plan.services {
            let tries = service.checks.iter().filter(|check| ATTEMPTS.contains(&check.kind));
            let names: Vec<Arc<str>> = tries.map(|check| check.question.id.check.clone()).collect();
            if names.is_empty() {
                continue;
            }
            let figures = services.entry(service.name.clone()).or_default();
            figures.checks.retain(|name, _| names.contains(name));
            names.into_iter().for_each(|name| _ = figures.checks.entry(name).or_default());
        }
    }

    fn observed(&self, kind: &'static str, observation: &Observation) {
        let mut services = self.services();
        let figures = services.entry(observation.check.service.clone()).or_default();
        let took_secs = |took_ms: f64| took_ms / 1000.0;
        let taken = observation.seen.steps.iter().filter_map(|step| Some((&step.name, took_secs(step.took_ms?))));
        for (name, secs) in taken.clone() {
            figures.steps.entry(name.clone()).or_default().observe(&BUCKETS, secs);
        }
        if ATTEMPTS.contains(&kind) {
            // What a person waits for is one request, and the longest is the one she complains of.
            let longest = taken.map(|(_, secs)| secs).reduce(f64::max);
            figures.count(observation, longest.unwrap_or(observation.took.as_secs_f64()));
        }
    }
}

impl Figures {
    fn count(&mut self, observation: &Observation, response_secs: f64) {
        let streak = self.checks.entry(observation.check.check.clone()).or_default();
        let place = match observation.outcome {
            Outcome::Pass => {
                *streak = Streak { has_passed: Some(true), failures: 0 };
                0
            }
            Outcome::Fail(_) => {
                *streak = Streak { has_passed: Some(false), failures: streak.failures.saturating_add(1) };
                1
            }
            // We could not ask: that says nothing of the service.
            Outcome::Unknown(_) => 2,
        };
        if let Some(count) = self.attempts.get_mut(place) {
            *count += 1;
        }
        self.responses.observe(&BUCKETS, response_secs);
        if observation.outcome == Outcome::Pass && self.works() == Some(true) {
            self.last_success = Some(observation.started.wall.as_duration().as_secs_f64());
        }
    }

    /// Whether the newest try of every check has passed; none before the first.
    fn works(&self) -> Option<bool> {
        let known: Vec<bool> = self.checks.values().filter_map(|streak| streak.has_passed).collect();
        (!known.is_empty()).then(|| known.iter().all(|passed| *passed))
    }

    fn failures(&self) -> u32 {
        self.checks.values().map(|streak| streak.failures).max().unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "the text format is floating point; counts stay far below 2^53")]
fn families(services: &BTreeMap<Arc<str>, Figures>) -> Vec<MetricFamily> {
    let tried = || services.iter().filter(|(_, figures)| !figures.checks.is_empty());
    let attempts = tried().flat_map(|(service, figures)| {
        let pairs = STATUSES.into_iter().zip(figures.attempts);
        pairs.map(|(status, count)| Sample::of([("service", &**service), ("status", status)], count as f64))
    });
    let each = |value: fn(&Figures) -> Option<f64>| {
        let sample = move |(service, figures): (&Arc<str>, &Figures)| {
            value(figures).map(|value| Sample::of([("service", service)], value))
        };
        tried().filter_map(sample).collect::<Vec<_>>()
    };
    let works = |figures: &Figures| figures.works().map(|works| f64::from(u8::from(works)));
    let known: Vec<f64> = tried().filter_map(|(_, figures)| works(figures)).collect();
    let rate = (!known.is_empty()).then(|| Sample::bare(known.iter().sum::<f64>() / known.len() as f64));
    let of_service = |service: &Arc<str>| vec![("service", service.to_string())];
    let responses = tried().map(|(service, figures)| (of_service(service), figures.responses.clone()));
    let steps = services.iter().flat_map(|(service, figures)| {
        let labels = move |step: &String| vec![("service", service.to_string()), ("step", step.clone())];
        figures.steps.iter().map(move |(step, buckets)| (labels(step), buckets.clone()))
    });
    vec![
        family("auth_attempts_total", "Tries to sign in; an error is one that could not be made.", attempts),
        family("auth_success_status", "1 if the newest try of every check to sign in succeeded.", each(works)),
        family("auth_test_success", "As auth_success_status.", each(works)),
        family("auth_test_success_rate", "Share of services where signing in works, 0 to 1.", rate),
        family(
            "auth_last_success_timestamp",
            "When every try to sign in last succeeded, in seconds since the epoch.",
            each(|figures| figures.last_success),
        ),
        family(
            "auth_consecutive_failures",
            "Tries in a row that failed, of the check that fails longest.",
            each(|figures| Some(f64::from(figures.failures()))),
        ),
        histograms("auth_response_time_seconds", "The slowest request of each try to sign in.", &BUCKETS, responses),
        histograms("auth_monitor_step_duration_seconds", "What each step of a check took.", &BUCKETS, steps),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
fn accounts(ledger: &Ledger) -> Vec<MetricFamily> {
    vec![
        family(
            "auth_monitor_accounts_left",
            "Accounts that a check made and that could not be deleted yet.",
            [Sample::bare(ledger.left() as f64)],
        ),
        family(
            "auth_monitor_accounts_swept_total",
            "Accounts that an earlier run left and a later one deleted.",
            [Sample::bare(ledger.swept() as f64)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kit::clock::Stamp;
    use kit::metrics::Format;
    use monitor::probe::{CheckId, ReasonCode, Seen, StepSeen, StepState, Why};

    use super::*;

    fn observe(metrics: &AuthMetrics, check: &str, outcome: Outcome, took_ms: f64) {
        let step = |name: &str, took_ms| StepSeen { name: name.to_owned(), state: StepState::Passed, took_ms };
        let steps = vec![step("login", Some(took_ms)), step("logout", Some(1.0)), step("never", None)];
        let observation = Observation {
            check: CheckId::new("shop", check),
            started: Stamp::now(),
            took: Duration::from_secs(9),
            phases: Vec::new(),
            outcome,
            soft: Vec::new(),
            seen: Seen { steps, ..Seen::default() },
            why: Why::Schedule,
            trace_id: String::new(),
            is_recorded: false,
        };
        metrics.observed("sign-in", &observation);
    }

    #[test]
    fn a_service_works_only_while_every_way_to_sign_in_does() {
        let all = Metrics::new("auth-monitor", "0");
        let metrics = AuthMetrics::of(&all, Ledger::default());
        let fail = || Outcome::fail(ReasonCode::Status, "no");
        observe(&metrics, "a", Outcome::Pass, 50.0);
        observe(&metrics, "b", fail(), 60.0);
        observe(&metrics, "b", fail(), 700.0);
        observe(&metrics, "b", Outcome::local("no socket"), 1.0);
        observe(&metrics, "a", Outcome::Pass, 50.0);
        let has = |line: &str| {
            let text = all.encode(Format::Text);
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        };
        for (status, count) in [("success", 2), ("failure", 2), ("error", 1)] {
            has(&format!("auth_attempts_total{{service=\"shop\",status=\"{status}\"}} {count}"));
        }
        has("auth_success_status{service=\"shop\"} 0");
        has("auth_test_success{service=\"shop\"} 0");
        has("auth_test_success_rate 0");
        has("auth_consecutive_failures{service=\"shop\"} 2");
        has("auth_response_time_seconds_bucket{service=\"shop\",le=\"0.1\"} 4");
        has("auth_response_time_seconds_count{service=\"shop\"} 5");
        has("auth_monitor_step_duration_seconds_count{service=\"shop\",step=\"login\"} 5");
        has("auth_monitor_accounts_left 0");
        let text = all.encode(Format::Text);
        assert!(!text.contains("step=\"never\""), "{text}");
        observe(&metrics, "b", Outcome::Pass, 60.0);
        has("auth_success_status{service=\"shop\"} 1");
        has("auth_test_success_rate 1");
        has("auth_consecutive_failures{service=\"shop\"} 0");
    }
}
