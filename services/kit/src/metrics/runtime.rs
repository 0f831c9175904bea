//! Tokio's own figures, over all runtimes of a process: how busy their threads are, and what waits for one.

use std::time::Duration;

use prometheus::proto::MetricFamily;
use tokio::runtime::RuntimeMetrics;

use super::family::{Sample, family};

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point; the figures stay far below 2^53")]
pub(super) fn collect(runtimes: &[RuntimeMetrics]) -> Vec<MetricFamily> {
    let sum = |figure: fn(&RuntimeMetrics) -> usize| Sample::bare(runtimes.iter().map(figure).sum::<usize>() as f64);
    let workers =
        || runtimes.iter().flat_map(|runtime| (0..runtime.num_workers()).map(move |worker| (runtime, worker)));
    let busy: Duration = workers().map(|(runtime, worker)| runtime.worker_total_busy_duration(worker)).sum();
    let parks: u64 = workers().map(|(runtime, worker)| runtime.worker_park_count(worker)).sum();
    vec![
        family("tokio_workers", "Threads that run tasks.", [sum(RuntimeMetrics::num_workers)]),
        family("tokio_alive_tasks", "Tasks that have not ended.", [sum(RuntimeMetrics::num_alive_tasks)]),
        family(
            "tokio_global_queue_depth",
            "Tasks that could go on and that no thread has taken yet.",
            [sum(RuntimeMetrics::global_queue_depth)],
        ),
        family(
            "tokio_busy_seconds_total",
            "Time in which threads ran tasks: as many seconds a second as there are threads is full load.",
            [Sample::bare(busy.as_secs_f64())],
        ),
        family("tokio_parks_total", "How often a thread had nothing to do.", [Sample::bare(parks as f64)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tasks_of_all_runtimes_are_counted() {
        let task = tokio::spawn(std::future::pending::<()>());
        let here = tokio::runtime::Handle::current().metrics();
        let families = collect(&[here.clone(), here]);
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            family.get_metric()[0].get_gauge().get_value()
        };
        assert_eq!((value("tokio_workers"), value("tokio_alive_tasks")), (2.0, 2.0));
        task.abort();
    }
}
