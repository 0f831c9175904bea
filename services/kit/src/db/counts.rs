//! How many statements this process has run, over all its databases.

use prometheus::proto::MetricFamily;

use crate::metrics::Operations;

/// By the begins of statements; of all others the last stands.
static STATEMENTS: Operations<5> = Operations::new(
    "database_operations_total",
    "Statements that a database was asked to run.",
    ["select", "insert", "update", "delete", "other"],
);
const OTHER: usize = 4;

/// Counts a statement.
pub(super) fn ran(sql: &str, succeeded: bool) {
    let place = STATEMENTS.place(|operation| {
        let begin = sql.trim_start().get(..operation.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(operation))
    });
    STATEMENTS.count(place.unwrap_or(OTHER), succeeded);
}

/// Returns the family, under the name that is promised; nothing before the first statement.
pub(crate) fn collect() -> Option<MetricFamily> {
    STATEMENTS.collect()
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
