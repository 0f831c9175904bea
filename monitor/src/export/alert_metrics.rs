//! Gauges of alerts, read at each scrape: what is open, and what waits to be told.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use kit::metrics::{Sample, family};
use prometheus::proto::MetricFamily;

use super::shared::Shared;
use crate::alert::Severity;

/// The windows of which the pace is exported (Google SRE workbook, chapter 5).
const WINDOWS: [(&str, Duration); 5] = [
    ("5m", Duration::from_secs(300)),
    ("30m", Duration::from_secs(1800)),
    ("1h", Duration::from_secs(3600)),
    ("6h", Duration::from_secs(6 * 3600)),
    ("3d", Duration::from_secs(3 * 86_400)),
];

/// Returns them.
#[expect(clippy::cast_precision_loss, reason = "counts")]
pub(super) fn families(shared: &Shared) -> Vec<MetricFamily> {
    let open: Vec<Severity> = shared.alerts.desk().open().map(|incident| incident.severity).collect();
    let count = |severity: Severity| open.iter().filter(|known| **known == severity).count() as f64;
    let settings = shared.alerts.settings();
    let now = Timestamp::now();
    let (mut pending, mut oldest) = (Vec::new(), Vec::new());
    {
        let outbox = shared.alerts.outbox();
        for channel in &settings.channels {
            let created: Vec<Timestamp> = outbox.waiting(&channel.name).map(|delivery| delivery.created).collect();
            let age = created.iter().min().map_or(0.0, |first| elapsed(*first, now).as_secs_f64());
            pending.push(Sample::of([("channel", &channel.name)], created.len() as f64));
            oldest.push(Sample::of([("channel", &channel.name)], age));
        }
    }
    let drilled = shared.alerts.drills().succeeded;
    let (mut left, mut burns) = (Vec::new(), Vec::new());
    {
        let slos = shared.alerts.slos();
        for service in settings.services.keys() {
            for objective in slos.of(service) {
                let labels = [("objective", objective.what), ("service", service)];
                left.extend(objective.budget.left(now).map(|left| Sample::of(labels, left)));
                let windows = WINDOWS.iter().filter_map(|(window, length)| {
                    let labels = [("objective", objective.what), ("service", service), ("window", *window)];
                    Some(Sample::of(labels, objective.budget.burn(*length, now)?))
                });
                burns.extend(windows);
            }
        }
    }
    let suppression = shared.alerts.suppression();
    let silences = suppression.silences.iter().filter(|silence| silence.is_active(now)).count();
    let windows = suppression.windows.iter().filter(|window| window.open_until(now).is_some()).count();
    vec![
        family(
            "monitor_incidents_open",
            "Open incidents by how urgent they are.",
            Severity::ALL.map(|severity| Sample::of([("severity", severity.as_str())], count(severity))),
        ),
        family("monitor_alerts_pending", "Deliveries that wait for a channel.", pending),
        family("monitor_alerts_oldest_age_seconds", "Age of the oldest delivery that waits for a channel.", oldest),
        family(
            "monitor_alert_drill_last_success_timestamp_seconds",
            "When a drill was last accepted by every channel it went to, in seconds since the epoch.",
            drilled.map(|at| Sample::bare(at.as_second() as f64)),
        ),
        family(
            "monitor_dead_man_last_success_timestamp_seconds",
            "When a dead man's ping was last accepted, in seconds since the epoch.",
            settings.dead_man.as_ref().map(|_| Sample::bare(shared.figures.dead_man_secs.load(Relaxed) as f64)),
        ),
        family(
            "monitor_slo_error_budget_remaining_ratio",
            "Share of the 30 days' error budget that is left; below 0 if more was spent.",
            left,
        ),
        family(
            "monitor_slo_burn_rate",
            "How many times faster than evenly the error budget was spent over the window.",
            burns,
        ),
        family("monitor_silences_active", "Silences in force.", [Sample::bare(silences as f64)]),
        family("monitor_maintenance_active", "Maintenance windows that are open.", [Sample::bare(windows as f64)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::PACES;

    #[test]
    fn every_window_that_is_alerted_on_is_exported_under_its_name() {
        for window in PACES.iter().flat_map(|pace| [pace.long, pace.short]) {
            assert!(WINDOWS.iter().any(|(_, length)| *length == window), "{window:?}");
        }
        for (name, length) in WINDOWS {
            assert_eq!(kit::config::parse_duration(name), Ok(length), "{name}");
        }
    }
}
