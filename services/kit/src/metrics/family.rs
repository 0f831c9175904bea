//! Families that are built at each scrape, from values that something else keeps.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Names and values.
pub type Labels = Vec<(&'static str, String)>;

/// One value and its labels.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Label names (sorted by the caller or not) and values.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// A value without labels.
    pub fn bare(value: f64) -> Self {
        Self { labels: Vec::new(), value }
    }

    /// A value with labels.
    pub fn of<const N: usize>(labels: [(&'static str, &str); N], value: f64) -> Self {
        Self { labels: labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect(), value }
    }
}

/// Builds a family. A name that ends in `_total` is a counter; one that ends in `_count` is untyped, since that suffix
/// belongs to histograms and only names promised to existing dashboards have it; all others are gauges.
pub fn family(name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) -> MetricFamily {
    let is_counter = name.ends_with("_total");
    let metrics = samples.into_iter().map(|sample| {
        let mut metric = labelled(sample.labels);
        if is_counter {
            let mut counter = Counter::default();
            counter.set_value(sample.value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(sample.value);
            metric.set_gauge(gauge);
        }
        metric
    });
    let kind = match name {
        name if name.ends_with("_total") => MetricType::COUNTER,
        name if name.ends_with("_count") => MetricType::UNTYPED,
        _ => MetricType::GAUGE,
    };
    whole(name, help, kind, metrics.collect())
}

/// Builds a family of histograms, each with its labels.
pub fn histograms<const N: usize>(
    name: &str,
    help: &str,
    bounds: &[f64; N],
    series: impl IntoIterator<Item = (Labels, Buckets<N>)>,
) -> MetricFamily {
    let metrics = series.into_iter().map(|(labels, buckets)| {
        let mut metric = labelled(labels);
        metric.set_histogram(buckets.told(bounds));
        metric
    });
    whole(name, help, MetricType::HISTOGRAM, metrics.collect())
}

/// Values of one series, counted by bucket: for thousands of series. One in a registry takes a kilobyte and a half,
/// with its names; this takes 8 bytes a bucket.
#[derive(Debug, Clone)]
pub struct Buckets<const N: usize> {
    /// Values up to each bound and above the one before.
    within: [u64; N],
    /// Values above every bound.
    beyond: u64,
    sum: f64,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { within: [0; N], beyond: 0, sum: 0.0 }
    }
}

impl<const N: usize> Buckets<N> {
    /// Counts a value; `bounds` are upper bounds, ascending, and a value that equals one is within it.
    pub fn observe(&mut self, bounds: &[f64; N], value: f64) {
        let bucket = bounds.iter().zip(&mut self.within).find(|(bound, _)| value <= **bound);
        *bucket.map_or(&mut self.beyond, |(_, count)| count) += 1;
        self.sum += value;
    }

    fn told(&self, bounds: &[f64; N]) -> Histogram {
        let mut count = 0;
        let buckets = bounds.iter().zip(&self.within).map(|(bound, within)| {
            count += within;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(count + self.beyond);
        histogram.set_sample_sum(self.sum);
        histogram
    }
}

fn labelled(labels: Labels) -> Metric {
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    });
    Metric::from_label(pairs.collect())
}

fn whole(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_metric(metrics);
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_bucket_that_it_does_not_exceed_and_in_all_above() {
        let bounds = [0.1, 1.0];
        let mut buckets = Buckets::default();
        for value in [0.05, 0.1, 0.5, 7.0] {
            buckets.observe(&bounds, value);
        }
        let family = histograms("d_seconds", "How long.", &bounds, [(vec![("check", "a".to_owned())], buckets)]);
        let histogram = family.get_metric()[0].get_histogram();
        let counts: Vec<u64> = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count()).collect();
        assert_eq!((counts, histogram.get_sample_count()), (vec![2, 3], 4));
        assert!((histogram.get_sample_sum() - 7.65).abs() < 1e-9);
    }
}
