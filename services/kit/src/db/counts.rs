//! How many statements this process has run, over all its databases.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::MetricFamily;

use crate::metrics::{Sample, family};

/// Begins of statements; of all others the last stands.
const OPERATIONS: [&str; 5] = ["select", "insert", "update", "delete", "other"];

/// By operation: those that succeeded, those that failed.
static COUNTS: [[AtomicU64; 2]; OPERATIONS.len()] = [const { [const { AtomicU64::new(0) }; 2] }; OPERATIONS.len()];

/// Counts a statement.
pub(super) fn ran(sql: &str, succeeded: bool) {
    let is_begin = |operation: &str| {
        let begin = sql.trim_start().get(..operation.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(operation))
    };
    let found = OPERATIONS.iter().zip(&COUNTS).find(|(operation, _)| is_begin(operation));
    let ((Some((_, [success, error])), _) | (None, [.., [success, error]])) = (found, &COUNTS);
    if succeeded { success } else { error }.fetch_add(1, Ordering::Relaxed);
}

/// Returns the family, under the name that is promised; nothing before the first statement.
pub(crate) fn collect() -> Option<MetricFamily> {
    let samples = OPERATIONS.iter().zip(&COUNTS).flat_map(|(operation, counts)| {
        ["success", "error"].into_iter().zip(counts).map(|(status, count)| {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let count = count.load(Ordering::Relaxed) as f64;
            Sample::of([("operation", *operation), ("status", status)], count)
        })
    });
    let samples: Vec<Sample> = samples.collect();
    let has_any = samples.iter().any(|sample| sample.value > 0.0);
    has_any.then(|| family("database_operations_total", "Statements that a database was asked to run.", samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_by_their_first_word_and_by_how_they_ended() {
        for (sql, succeeded) in
            [("SELECT 1", true), ("\n  select 1", false), ("WITH x AS (SELECT 1)", true), ("é", true)]
        {
            ran(sql, succeeded);
        }
        let family = collect().unwrap();
        let values: Vec<f64> = family.get_metric().iter().map(|metric| metric.get_counter().get_value()).collect();
        assert_eq!(values, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
    }
}
