//! Writes gathered families as Prometheus text 0.0.4 or OpenMetrics 1.0.0 with exemplars.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0 (openmetrics.io specification).
    OpenMetrics,
}

impl Format {
    /// Chooses by the `Accept` header, as Prometheus sends it.
    pub fn of_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// Returns the content type to answer with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// One example behind a histogram bucket.
#[derive(Debug, Clone)]
pub struct Exemplar {
    /// Trace that the value came from.
    pub trace_id: String,
    /// The observed value.
    pub value: f64,
    /// When, in seconds since the epoch.
    pub timestamp_secs: f64,
}

/// The last exemplar of each series: one a series keeps `/metrics` small, and the newest is the one worth opening.
#[derive(Debug, Default)]
pub struct Exemplars {
    /// Family → label values → exemplar.
    last: Mutex<HashMap<&'static str, HashMap<Vec<String>, Exemplar>>>,
}

impl Exemplars {
    /// Keeps `exemplar` for the series of `family` with these label values (in the order of their sorted names).
    pub fn put(&self, family: &'static str, label_values: &[&str], exemplar: Exemplar) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.entry(family).or_default().insert(owned(label_values), exemplar);
    }

    /// Forgets the series of `family` with these label values.
    pub fn remove(&self, family: &'static str, label_values: &[&str]) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let _may_not_exist = last.get_mut(family).and_then(|series| series.remove(&owned(label_values)));
    }

    fn of(&self, family: &str, metric: &Metric) -> Option<Exemplar> {
        let values: Vec<String> = metric.get_label().iter().map(|label| label.value().to_owned()).collect();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(family)?.get(&values).cloned()
    }
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

pub(super) fn encode(families: &[MetricFamily], exemplars: &Exemplars, format: Format) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for family in families {
        write_family(&mut out, family, exemplars, format);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_family(out: &mut String, family: &MetricFamily, exemplars: &Exemplars, format: Format) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::UNTYPED if format == Format::OpenMetrics => "unknown",
        MetricType::UNTYPED => "untyped",
        _ => "gauge",
    };
    let full = family.name();
    // OpenMetrics names a counter's family without the suffix of its samples.
    let name = if format == Format::OpenMetrics && kind == "counter" { full.trim_end_matches("_total") } else { full };
    let _infallible = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", escape(family.help(), false));
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::HISTOGRAM => write_histogram(out, full, metric, exemplars, format),
            MetricType::COUNTER => write_sample(out, full, metric.get_label(), None, metric.get_counter().get_value()),
            _ => write_sample(out, full, metric.get_label(), None, metric.get_gauge().get_value()),
        }
    }
}

fn write_histogram(out: &mut String, name: &str, metric: &Metric, exemplars: &Exemplars, format: Format) {
    let histogram = metric.get_histogram();
    let exemplar = if format == Format::OpenMetrics { exemplars.of(name, metric) } else { None };
    let bucket_name = format!("{name}_bucket");
    let mut below = f64::NEG_INFINITY;
    let bounds = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let infinite = std::iter::once((f64::INFINITY, histogram.get_sample_count()));
    for (bound, count) in bounds.filter(|(bound, _)| bound.is_finite()).chain(infinite) {
        let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        write_labels(out, &bucket_name, metric.get_label(), Some(("le", &le)));
        let _infallible = write!(out, " {count}");
        if let Some(example) = exemplar.as_ref().filter(|example| example.value > below && example.value <= bound) {
            let Exemplar { trace_id, value, timestamp_secs } = example;
            let _infallible = write!(out, " # {{trace_id=\"{trace_id}\"}} {value} {timestamp_secs:.3}");
        }
        out.push('\n');
        below = bound;
    }
    write_sample(out, &format!("{name}_sum"), metric.get_label(), None, histogram.get_sample_sum());
    #[expect(clippy::cast_precision_loss, reason = "the text format is floating point; counts stay far below 2^53")]
    write_sample(out, &format!("{name}_count"), metric.get_label(), None, histogram.get_sample_count() as f64);
}

fn write_sample(out: &mut String, name: &str, labels: &[LabelPair], extra: Option<(&str, &str)>, value: f64) {
    write_labels(out, name, labels, extra);
    let _infallible = match value {
        value if value.is_nan() => writeln!(out, " NaN"),
        value if value.is_infinite() => writeln!(out, " {}Inf", if value > 0.0 { '+' } else { '-' }),
        value => writeln!(out, " {value}"),
    };
}

fn write_labels(out: &mut String, name: &str, labels: &[LabelPair], extra: Option<(&str, &str)>) {
    out.push_str(name);
    let pairs = labels.iter().map(|label| (label.name(), label.value())).chain(extra);
    let mut separator = '{';
    for (key, value) in pairs {
        let _infallible = write!(out, "{separator}{key}=\"{}\"", escape(value, true));
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
}

fn escape(text: &str, quotes: bool) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { escaped.replace('"', "\\\"") } else { escaped }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounter, Registry};

    use super::*;

    fn families() -> (Registry, Exemplars) {
        let registry = Registry::new();
        let counter = IntCounter::new("x_total", "How many \\ x.").unwrap();
        counter.inc();
        let histogram =
            HistogramVec::new(HistogramOpts::new("d_seconds", "How long.").buckets(vec![0.1, 1.0]), &["service"])
                .unwrap();
        histogram.with_label_values(&["we\"b"]).observe(0.5);
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        let exemplars = Exemplars::default();
        exemplars.put(
            "d_seconds",
            &["we\"b"],
            Exemplar { trace_id: "abc".to_owned(), value: 0.5, timestamp_secs: 1.0 },
        );
        (registry, exemplars)
    }

    #[test]
    fn plain_text_has_suffixed_counters_and_no_exemplars() {
        let (registry, exemplars) = families();
        let text = encode(&registry.gather(), &exemplars, Format::Text);
        assert_eq!(
            text,
            "# HELP d_seconds How long.\n# TYPE d_seconds histogram\nd_seconds_bucket{service=\"we\\\"b\",le=\"0.1\"} 0\n\
             d_seconds_bucket{service=\"we\\\"b\",le=\"1\"} 1\nd_seconds_bucket{service=\"we\\\"b\",le=\"+Inf\"} 1\n\
             d_seconds_sum{service=\"we\\\"b\"} 0.5\nd_seconds_count{service=\"we\\\"b\"} 1\n\
             # HELP x_total How many \\\\ x.\n# TYPE x_total counter\nx_total 1\n"
        );
    }

    #[test]
    fn open_metrics_names_the_family_carries_the_exemplar_once_and_ends() {
        let (registry, exemplars) = families();
        let text = encode(&registry.gather(), &exemplars, Format::OpenMetrics);
        assert!(text.contains("# TYPE x counter\nx_total 1\n"), "{text}");
        assert_eq!(text.matches("# {trace_id=\"abc\"} 0.5 1.000").count(), 1, "{text}");
        assert!(text.contains("le=\"1\"} 1 # {trace_id"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
