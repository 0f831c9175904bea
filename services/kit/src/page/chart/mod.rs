//! Charts as SVG, made of numbers by pure functions: no script, no picture library, sharp at every width.
//!
//! Each chart says in words what it shows, for those who cannot see it. Style comes from the page's sheet by class; what
//! is foreign text is escaped here.

mod counts;
mod days;
mod latency;
mod level;
mod phases;
mod runs;
mod scale;
mod series;

pub use counts::{Counted, counts};
pub use days::{Day, Look, days, looks};
pub use latency::Latency;
pub use level::level;
pub use phases::phases;
pub use runs::{Segment, runs};
pub use series::{Sample, Series};

/// Returns `part` of `whole` as a percentage with two decimals, as SVG positions are written.
fn percent(part: i64, whole: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of years stay far below 2^53")]
    let share = part as f64 / whole.max(1) as f64 * 100.0;
    format!("{share:.2}%")
}
