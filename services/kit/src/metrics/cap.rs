//! The most series that a family may have: labels come from closed sets, and a mistake in that must not take Prometheus down.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::family::{Sample, family};

/// Series of one family, at most: 10,000 checks with each of their five states.
pub const MAX_SERIES: usize = 50_000;

/// How many series were left out, by family: the most at once, so that each counts once.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<String, u64>);

impl LeftOut {
    /// Cuts each family down to its most, always the same ones, and returns the family that says so.
    pub(super) fn cap(&mut self, families: &mut [MetricFamily]) -> Option<MetricFamily> {
        for family in families.iter_mut().filter(|family| family.get_metric().len() > MAX_SERIES) {
            let mut series = family.take_metric();
            series.sort_by_cached_key(|metric| {
                metric.get_label().iter().map(|label| label.value().to_owned()).collect::<Vec<_>>()
            });
            let beyond = series.split_off(MAX_SERIES).len();
            let most = self.0.entry(family.name().to_owned()).or_default();
            *most = (*most).max(beyond as u64);
            family.set_metric(series);
        }
        #[expect(clippy::cast_precision_loss, reason = "metrics are floating point; the figures stay far below 2^53")]
        let samples = self.0.iter().map(|(name, count)| Sample::of([("family", name)], *count as f64));
        let help = "Series left out of answers because a family had too many.";
        (!self.0.is_empty()).then(|| family("telemetry_series_dropped_total", help, samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_without_end_is_cut_at_the_same_series_each_time_and_that_is_counted() {
        let numbers = |numbers: &mut dyn Iterator<Item = usize>| {
            let sample = |number: usize| Sample::of([("user", &*format!("{number:06}"))], 1.0);
            [family("x_total", "How many.", numbers.map(sample)), family("y", "How much.", [Sample::bare(1.0)])]
        };
        let mut left_out = LeftOut::default();
        assert!(left_out.cap(&mut numbers(&mut (0..MAX_SERIES))).is_none());
        for _scrape in 0..2 {
            let mut families = numbers(&mut (0..MAX_SERIES + 7).rev());
            let told = left_out.cap(&mut families).unwrap();
            assert_eq!(families[0].get_metric().len(), MAX_SERIES);
            assert_eq!(
                families[0].get_metric().last().unwrap().get_label()[0].value(),
                format!("{:06}", MAX_SERIES - 1)
            );
            assert_eq!(told.get_metric().len(), 1);
            assert_eq!(told.get_metric()[0].get_counter().get_value(), 7.0);
        }
    }
}
