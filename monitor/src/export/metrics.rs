//! The gauges of the monitor, read off the board at each scrape, so that a removed check leaves nothing behind. What is
//! counted as probes end is in `probe_metrics`; a new metric belongs into one of the two, or beside what it tells of.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use kit::clock::Stamp;
use kit::metrics::{Metrics, Sample, family};
use prometheus::proto::MetricFamily;

use super::shared::Shared;
use super::status::overall;
use crate::heal::{HealResult, Ward};
use crate::judge::{Board, Health, ServiceEntry, Verdict};

/// Adds the gauges that are read off the shared state at each scrape.
pub fn read_metrics_from(metrics: &Metrics, shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    metrics.collect(move || shared.upgrade().map(|shared| collect(&shared)).unwrap_or_default());
}

fn collect(shared: &Shared) -> Vec<MetricFamily> {
    let mut families = loop_families(shared);
    families.extend(store_families(shared));
    families.extend(super::alert_metrics::families(shared));
    families.extend(super::findings::families(shared));
    let catalogue = shared.catalogue.load();
    let board = shared.board();
    families.extend(service_families(&board));
    families.extend(check_families(&board));
    families.extend(workload_families(&board));
    families.extend(heal_families(&shared.ward()));
    families.push(discrepancy_family(&board));
    families.extend(contract_families(&board));
    families.extend(super::discovered::families(&catalogue));
    let (word, _) = overall(&board, &catalogue);
    let words = ["up", "degraded", "down", "unknown"];
    families.push(family(
        "monitor_overall",
        "1 for the overall state that holds.",
        words.map(|known| Sample::of([("state", known)], f64::from(u8::from(known == word)))),
    ));
    families
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point; the figures stay far below 2^53")]
fn loop_families(shared: &Shared) -> Vec<MetricFamily> {
    let figures = &shared.figures;
    let flag = |flag: bool| Sample::bare(f64::from(u8::from(flag)));
    vec![
        family(
            "monitor_scheduler_overruns_total",
            "Runs that took longer than their interval and so missed a turn.",
            [Sample::bare(figures.overruns.load(Relaxed) as f64)],
        ),
        family("monitor_probes_running", "Probes that run now.", [Sample::bare(figures.running.load(Relaxed) as f64)]),
        family(
            "monitor_gaps_total",
            "Times in which nobody looked: the machine slept or the process was stopped.",
            [Sample::bare(figures.gaps.load(Relaxed) as f64)],
        ),
        family(
            "monitor_config_restart_needed",
            "1 if the configuration on disk changes settings that only a restart takes.",
            [flag(figures.restart_needed.load(Relaxed))],
        ),
        family(
            "monitor_config_last_reload_successful",
            "1 if the configuration that is on disk is the one in use.",
            [flag(figures.reload_ok.load(Relaxed))],
        ),
        family(
            "monitor_config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken, in seconds since the epoch.",
            [Sample::bare(figures.reloaded_secs.load(Relaxed) as f64)],
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point; the figures stay far below 2^53")]
fn store_families(shared: &Shared) -> Vec<MetricFamily> {
    let writers = [("history", &shared.stores.history.figures), ("state", &shared.stores.state.figures)];
    let figures = writers.map(|(store, figures)| (store, figures.read(), figures.error().is_none()));
    let each = |value: fn(&(u64, std::time::Duration, u64, u64)) -> f64| {
        figures.iter().map(|(store, read, _)| Sample::of([("store", store)], value(read))).collect::<Vec<_>>()
    };
    vec![
        family("monitor_store_commits_total", "Commits that succeeded.", each(|read| read.0 as f64)),
        family(
            "monitor_store_commit_seconds_total",
            "Time spent in commits that succeeded.",
            each(|read| read.1.as_secs_f64()),
        ),
        family("monitor_store_failures_total", "Commits that failed and are tried again.", each(|read| read.2 as f64)),
        family(
            "monitor_store_dropped_total",
            "News that was dropped because the store failed for too long.",
            each(|read| read.3 as f64),
        ),
        family(
            "monitor_store_healthy",
            "0 while the store cannot be written and memory stands in.",
            figures.iter().map(|(store, _, healthy)| Sample::of([("store", store)], f64::from(u8::from(*healthy)))),
        ),
    ]
}

fn service_families(board: &Board) -> Vec<MetricFamily> {
    let of_verdicts = board.wholes().flat_map(|service| {
        Verdict::ALL.map(|verdict| {
            let holds = f64::from(u8::from(verdict == service.verdict));
            Sample::of([("service", &service.spec.name), ("verdict", verdict.as_str())], holds)
        })
    });
    let each = |value: fn(&ServiceEntry) -> bool| {
        let sample = move |service: &ServiceEntry| {
            Sample::of([("service", &service.spec.name)], f64::from(u8::from(value(service))))
        };
        board.wholes().map(sample).collect::<Vec<_>>()
    };
    let replicas = board.wholes().filter_map(|service| Some((service, service.spec.replicas.as_ref()?)));
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
    let replicas = replicas.flat_map(|(service, replicas)| {
        let count =
            |number: usize, what| Sample::of([("count", what), ("service", &*service.spec.name)], number as f64);
        let work = board.working_replicas(service);
        [count(replicas.names.len(), "all"), count(replicas.quorum, "quorum"), count(work, "working")]
    });
    vec![
        family("monitor_service_verdict", "1 for the verdict that holds.", of_verdicts),
        family(
            "monitor_service_blocked",
            "1 if a hard need that failed first explains the failure.",
            each(|s| s.blocked_by.is_some()),
        ),
        family(
            "monitor_service_running_unchecked",
            "1 if nothing functional checks the service.",
            each(ServiceEntry::is_unchecked),
        ),
        family("monitor_service_replicas", "Replicas of a service: all, those that work, and how many must.", replicas),
    ]
}

fn check_families(board: &Board) -> Vec<MetricFamily> {
    let now = Stamp::now();
    let checks = || board.services().iter().flat_map(|service| &service.checks);
    let labels = |check: &crate::judge::CheckEntry| {
        vec![("check", check.id.check.to_string()), ("service", check.id.service.to_string())]
    };
    let healths = checks().flat_map(|check| {
        Health::ALL.map(|health| {
            let mut labels = labels(check);
            labels.insert(1, ("health", health.as_str().to_owned()));
            Sample { labels, value: f64::from(u8::from(health == check.health)) }
        })
    });
    let flag = |value: bool| f64::from(u8::from(value));
    let phases = checks().flat_map(|check| {
        let phases = check.last.as_ref().map(|last| last.phases.clone()).unwrap_or_default();
        let labels = labels(check);
        phases.into_iter().map(move |(phase, took)| {
            let mut labels = labels.clone();
            labels.insert(1, ("phase", phase.as_str().to_owned()));
            Sample { labels, value: took.as_secs_f64() }
        })
    });
    let steps = checks().flat_map(|check| {
        let steps = check.last.as_ref().map(|last| last.seen.steps.clone()).unwrap_or_default();
        let labels = labels(check);
        steps.into_iter().filter_map(move |step| {
            let mut labels = labels.clone();
            labels.push(("step", step.name));
            Some(Sample { labels, value: step.took_ms? / 1000.0 })
        })
    });
    let ages = checks().filter_map(|check| {
        let last = check.last.as_ref()?;
        Some(Sample { labels: labels(check), value: now.at.since(last.started.at).as_secs_f64() })
    });
    let expiries = checks().filter_map(|check| {
        let expires = check.last.as_ref()?.seen.cert_expires?;
        Some(Sample { labels: labels(check), value: expires.as_duration().as_secs_f64() })
    });
    vec![
        family("monitor_check_health", "1 for the health that holds.", healths),
        family(
            "monitor_check_flapping",
            "1 while the check changes state again and again.",
            checks().map(|check| Sample { labels: labels(check), value: flag(check.state.flap.is_flapping()) }),
        ),
        family(
            "monitor_check_blind",
            "1 if the check has been unknown or stale for too long.",
            checks().map(|check| Sample { labels: labels(check), value: flag(check.is_blind(now.at)) }),
        ),
        family("monitor_check_phase_seconds", "What each phase of the newest probe took.", phases),
        family(
            "monitor_check_step_seconds",
            "What each step of the newest journey took; none of one that was not reached.",
            steps,
        ),
        family("monitor_check_age_seconds", "Age of the newest observation.", ages),
        family(
            "monitor_check_certificate_expiry_timestamp_seconds",
            "Earliest expiry in the chain that the newest probe saw, in seconds since the epoch.",
            expiries,
        ),
    ]
}

fn workload_families(board: &Board) -> Vec<MetricFamily> {
    let now = Stamp::now();
    let assessed = board.services().iter().filter_map(|service| {
        let workload = service.workload.as_ref()?;
        Some((&service.spec.name, workload, workload.assessment(now.at)))
    });
    let assessed: Vec<_> = assessed.collect();
    #[expect(clippy::cast_precision_loss, reason = "at most the ledger's 256 runs")]
    let exits = assessed
        .iter()
        .map(|(name, workload, _)| Sample::of([("service", name)], workload.ledger.unplanned_ends() as f64));
    #[expect(clippy::cast_precision_loss, reason = "at most the ledger's 256 runs")]
    let anonymous = assessed
        .iter()
        .map(|(name, _, assessment)| Sample::of([("service", name)], assessment.anonymous_restarts as f64));
    vec![
        family("monitor_workload_unplanned_exits", "Unplanned exits in the ledger (its newest 256 runs).", exits),
        family(
            "monitor_workload_restart_level",
            "Level of the leaky bucket; 3 is a crash loop, 8 is given up.",
            assessed.iter().map(|(name, _, assessment)| Sample::of([("service", name)], assessment.level)),
        ),
        family(
            "monitor_workload_recurring_crash",
            "1 while it dies of like cause again and again, slowly.",
            assessed.iter().map(|(name, _, assessment)| {
                Sample::of([("service", name)], f64::from(u8::from(assessment.recurring_crash.is_some())))
            }),
        ),
        family("monitor_workload_anonymous_restarts", "Restarts in the last hour that nobody announced.", anonymous),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
fn heal_families(ward: &Ward) -> Vec<MetricFamily> {
    let totals = ward.totals().filter(|(result, _)| *result != HealResult::Pending);
    let held = ward.patients().filter_map(|(service, patient)| {
        let reason = patient.hold.as_ref()?.name();
        Some(Sample::of([("reason", reason), ("service", service)], 1.0))
    });
    vec![
        family(
            "monitor_heals_total",
            "Heals by what came of them; one that worked and did not last counts again as relapsed.",
            totals.map(|(result, count)| Sample::of([("result", result.as_str())], count as f64)),
        ),
        family("monitor_heal_held", "1 for what keeps a broken service from being restarted.", held),
    ]
}

fn discrepancy_family(board: &Board) -> MetricFamily {
    let found = board.services().iter().filter_map(|service| {
        let (kind, _) = service.discrepancy?;
        Some(Sample::of([("kind", kind.as_str()), ("service", &service.spec.name)], 1.0))
    });
    family("monitor_discrepancy", "1 where a runtime and the checks of a service disagree.", found)
}

/// The names that existing dashboards query (design/contract.md 3.10).
#[expect(clippy::cast_precision_loss, reason = "counts of services")]
fn contract_families(board: &Board) -> Vec<MetricFamily> {
    let healthy =
        |service: &ServiceEntry| matches!(service.verdict, Verdict::Up | Verdict::Degraded | Verdict::Completed);
    let value = |service: &ServiceEntry| f64::from(u8::from(healthy(service)));
    let count = board.wholes().filter(|service| healthy(service)).count();
    let auth = board.service("platform-services").map(|service| Sample::bare(value(service)));
    vec![
        family(
            "service_health",
            "1 if the service works.",
            board.wholes().map(|service| Sample::of([("service", &service.spec.name)], value(service))),
        ),
        family("auth_service_status", "1 if platform-services, which does the sign-in, works.", auth),
        family("services_healthy_count", "Services that work.", [Sample::bare(count as f64)]),
        family("services_total_count", "Services that are watched.", [Sample::bare(board.wholes().count() as f64)]),
        family(
            "monitoring_last_update",
            "The newest look at anything, in seconds since the epoch.",
            [Sample::bare(newest(board).as_duration().as_secs_f64().floor())],
        ),
    ]
}

fn newest(board: &Board) -> Timestamp {
    let checks = board.services().iter().flat_map(|service| &service.checks);
    checks.filter_map(|check| Some(check.last.as_ref()?.started.wall)).max().unwrap_or_default()
}
