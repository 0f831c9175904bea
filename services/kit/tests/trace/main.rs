//! Spans on their way to a collector: one that works, and every kind that does not. One export is for a whole process: each
//! test has one of its own (cargo nextest).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod away;
mod delivered;
mod jobs;
mod requests;

use kit::config::Environment;
use kit::metrics::{Format, Metrics};
use kit::trace::{Exporting, Kind, Span, TraceSettings, start};

/// Starts the export with a short queue and these variables.
fn export<const N: usize>(endpoint: &str, more: [(&str, &str); N]) -> Exporting {
    let base = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    let pairs = base.into_iter().chain(more);
    let environment = pairs.fold(Environment::default(), |all, (name, value)| all.with(name, value));
    start(TraceSettings::read(&environment, "test", "1.2").unwrap())
}

/// Ends so many spans.
fn end_spans(number: usize) {
    (0..number).for_each(|_| drop(Span::step(Kind::Internal, "work")));
}

/// Returns how many spans were sent, and how many dropped for this reason and for others.
fn figures(reason: &str) -> [u64; 3] {
    let text = Metrics::new("test", "1").encode(Format::Text);
    let sum = |start: &str| {
        let values = text.lines().filter_map(|line| line.strip_prefix(start)?.rsplit_once(' '));
        values.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    };
    let dropped: u64 = sum("telemetry_spans_dropped_total{");
    let counted: u64 = sum(&format!("telemetry_spans_dropped_total{{reason=\"{reason}\"}}"));
    [sum("telemetry_spans_sent_total"), counted, dropped - counted]
}
