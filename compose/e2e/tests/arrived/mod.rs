//! What the stack says of itself arrives: spans at the collector, lines at Loki; and from a figure of requests one gets to
//! the trace of one of them.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::eventually;

use crate::around::Around;
use crate::asked::encoded;
use crate::shown::list;
use crate::stack::{LIMIT, PARTS};
use crate::watched::Watched;

/// Waits until spans and lines of each part have come, and each has counted what it sent.
pub(crate) async fn of_each_part(around: &Around, watched: &Watched) {
    let parts: BTreeSet<&str> = PARTS.into_iter().map(|(part, _)| part).collect();
    let spans = async || {
        let spans = around.collector.spans().await;
        spans
            .iter()
            .filter_map(|span| span["service"].as_str())
            .collect::<BTreeSet<_>>()
            .is_superset(&parts)
            .then_some(())
    };
    eventually("spans of each", LIMIT, spans).await;
    let lines = async || {
        let held = around.loki.held().await;
        assert_eq!(list(&held["refusals"]), [] as [Value; 0], "what Loki did not take");
        let entries = list(&held["entries"]).iter();
        let services: BTreeSet<&str> = entries.filter_map(|entry| entry["labels"]["service"].as_str()).collect();
        services.is_superset(&parts).then_some(())
    };
    eventually("lines of each", LIMIT, lines).await;
    for counted in ["telemetry_spans_sent_total", "telemetry_log_entries_sent_total"] {
        let sent = async || {
            let path = format!("/api/v1/query?query={}", encoded(&format!("{counted} > 0")));
            let answer = watched.json(&watched.addresses()[0], &path).await?;
            let series = list(&answer["data"]["result"]).iter();
            let jobs: BTreeSet<&str> = series.filter_map(|one| one["metric"]["job"].as_str()).collect();
            jobs.is_superset(&parts).then_some(())
        };
        eventually(&format!("{counted} of each"), LIMIT, sent).await;
    }
}

/// Waits until Prometheus has examples of how long requests and probes took, and the trace of each has come.
pub(crate) async fn traces_of_examples(around: &Around, watched: &Watched) {
    for histogram in ["http_request_duration_seconds_bucket", "monitor_probe_duration_seconds_bucket"] {
        traces_of(around, watched, histogram).await;
    }
}

async fn traces_of(around: &Around, watched: &Watched, histogram: &str) {
    let query = encoded(histogram);
    let are_there = async || {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let path = format!("/api/v1/query_exemplars?query={query}&start={}&end={}", now - 600, now + 60);
        let answer = watched.json(&watched.addresses()[0], &path).await?;
        let examples = list(&answer["data"]).iter().flat_map(|series| list(&series["exemplars"]));
        let examples: BTreeSet<&str> =
            examples.map(|example| example["labels"]["trace_id"].as_str().unwrap()).collect();
        let spans = around.collector.spans().await;
        let traces: BTreeSet<&str> = spans.iter().filter_map(|span| span["trace"].as_str()).collect();
        (!examples.is_empty() && examples.is_subset(&traces)).then_some(())
    };
    eventually(&format!("the trace of each example in {histogram}"), LIMIT, are_there).await;
}
