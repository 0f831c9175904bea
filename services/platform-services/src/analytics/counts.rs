//! Numbers that only grow: calls, tokens, and money in whole micro-dollars, so that sums are exact in whatever order.

use kit::db::{Bind, Transaction};

/// The most that a row counts of anything, where it stops: 10¹² calls or tokens, a million dollars a day. So the sum of nine
/// million rows fits into 64 bits.
const MOST: i64 = 1_000_000_000_000;
const MICROS: i64 = 1_000_000;

/// What something used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Counts {
    pub(super) calls: i64,
    pub(super) tokens: i64,
    pub(super) cost_micros: i64,
}

/// The columns of [`Counts`], summed.
pub(super) const SUMS: &str = "CAST(coalesce(sum(calls), 0) AS BIGINT) AS calls,
    CAST(coalesce(sum(tokens), 0) AS BIGINT) AS tokens, CAST(coalesce(sum(cost_micros), 0) AS BIGINT) AS cost_micros";

impl Counts {
    /// Of amounts of 0 or more: tokens are rounded to whole ones, money to whole micro-dollars, each to the nearest one and
    /// from half way to the even one.
    pub(super) fn of(calls: i64, tokens: f64, dollars: f64) -> Self {
        Self { calls, tokens: scaled(tokens, 0), cost_micros: scaled(dollars, 6) }
    }

    /// Returns them with their columns.
    pub(super) fn columns(self) -> [(&'static str, i64); 3] {
        [("calls", self.calls), ("tokens", self.tokens), ("cost_micros", self.cost_micros)]
    }

    /// Returns both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
        }
    }

    /// Returns the money in dollars, as near as a float comes.
    pub(super) fn dollars(self) -> f64 {
        float(format!("{}.{:06}", self.cost_micros / MICROS, self.cost_micros % MICROS))
    }

    /// Returns the dollars for each of so many; for none it is 0.
    pub(super) fn dollars_per(self, count: i64) -> f64 {
        if count == 0 { 0.0 } else { self.dollars() / float(count.to_string()) }
    }
}

/// Returns a number in units of so many decimal places. Written out, so that no factor adds an error of its own.
fn scaled(number: f64, places: usize) -> i64 {
    let digits: String = format!("{number:.places$}").chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(MOST).min(MOST)
}

fn float(written: String) -> f64 {
    written.parse().unwrap_or(f64::INFINITY)
}

/// Adds to the counters of one row, or makes it; `keys` and `counters` are columns with their values.
pub(super) async fn raise(
    transaction: &mut Transaction,
    table: &str,
    keys: &[(&str, Bind<'_>)],
    counters: &[(&str, i64)],
) -> Result<(), sqlx::Error> {
    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).chain(counters.iter().map(|(name, _)| *name)).collect();
    let places: Vec<String> = (1..=names.len()).map(|place| format!("${place}")).collect();
    let key: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    let added = |(name, _): &(&str, i64)| {
        let sum = format!("{table}.{name} + excluded.{name}");
        format!("{name} = CASE WHEN {sum} > {MOST} THEN {MOST} ELSE {sum} END")
    };
    let added: Vec<String> = counters.iter().map(added).collect();
    let [names, places, key, added] = [names.join(", "), places.join(", "), key.join(", "), added.join(", ")];
    let sql = format!("INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT ({key}) DO UPDATE SET {added}");
    let binds: Vec<Bind<'_>> =
        keys.iter().map(|(_, key)| *key).chain(counters.iter().map(|(_, number)| (*number).into())).collect();
    transaction.change(&sql, &binds).await.map(|_one_row| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_rounded_to_the_nearest_and_stop_at_the_most() {
        let micros = |dollars| Counts::of(0, 0.0, dollars).cost_micros;
        assert_eq!([0.0, 0.1, 0.000_000_4, 0.000_000_6, 12.345_678].map(micros), [0, 100_000, 0, 1, 12_345_678]);
        assert_eq!([999_999.999_999, 1e6, 1e7, f64::MAX].map(micros), [MOST - 1, MOST, MOST, MOST]);
        let tokens = |number| Counts::of(0, number, 0.0).tokens;
        assert_eq!([0.4, 0.5, 1.5, 1234.0, 1e300].map(tokens), [0, 0, 2, 1234, MOST]);
    }

    #[test]
    fn dollars_per_nothing_are_none() {
        let counts = Counts::of(4, 2.0, 0.5);
        assert_eq!((counts.dollars_per(4), counts.dollars_per(0)), (0.125, 0.0));
    }

    proptest! {
        #[test]
        fn micro_dollars_come_back_as_they_went(micros in 0..=MOST) {
            let counts = Counts { cost_micros: micros, ..Counts::default() };
            prop_assert_eq!(Counts::of(0, 0.0, counts.dollars()), counts);
        }
    }
}
