//! How often this process did each of a few things, and how often that failed: counted where it is done, without a registry.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::MetricFamily;

use super::{Sample, family};

/// Counters of `N` operations, for a `static`.
pub(crate) struct Operations<const N: usize> {
    name: &'static str,
    help: &'static str,
    names: [&'static str; N],
    /// Those that succeeded, those that failed.
    counts: [[AtomicU64; 2]; N],
}

impl<const N: usize> Operations<N> {
    /// Counts under `name`, whose labels are `operation` with one of `names`, and `status`.
    pub(crate) const fn new(name: &'static str, help: &'static str, names: [&'static str; N]) -> Self {
        Self { name, help, names, counts: [const { [const { AtomicU64::new(0) }; 2] }; N] }
    }

    /// Counts one by its place among the names.
    pub(crate) fn count(&self, place: usize, succeeded: bool) {
        if let Some([success, error]) = self.counts.get(place) {
            if succeeded { success } else { error }.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the place of the name that `is_it` is true for.
    pub(crate) fn place(&self, is_it: impl FnMut(&&'static str) -> bool) -> Option<usize> {
        self.names.iter().position(is_it)
    }

    /// Returns the family; nothing before the first.
    pub(crate) fn collect(&self) -> Option<MetricFamily> {
        let samples = self.names.iter().zip(&self.counts).flat_map(|(operation, counts)| {
            ["success", "error"].into_iter().zip(counts).map(|(status, count)| {
                #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
                let count = count.load(Ordering::Relaxed) as f64;
                Sample::of([("operation", *operation), ("status", status)], count)
            })
        });
        let samples: Vec<Sample> = samples.collect();
        let has_any = samples.iter().any(|sample| sample.value > 0.0);
        has_any.then(|| family(self.name, self.help, samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_counted_by_how_it_ended_and_nothing_is_said_before() {
        let operations = Operations::new("x_operations_total", "What was done.", ["put", "take"]);
        assert_eq!(operations.collect(), None);
        operations.count(0, true);
        operations.count(1, false);
        operations.count(1, false);
        operations.count(7, true);
        let family = operations.collect().unwrap();
        let values: Vec<f64> = family.get_metric().iter().map(|metric| metric.get_counter().get_value()).collect();
        assert_eq!(values, [1.0, 0.0, 0.0, 2.0]);
    }
}
