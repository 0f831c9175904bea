//! Starts logging, as the environment says.

use std::str::FromStr;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::layer::Lines;
use super::line::Format;
use super::output::Output;

/// Crates whose debug lines are about themselves.
pub(super) const NOISY: [&str; 8] =
    ["hyper", "hyper_util", "h2", "rustls", "tower", "tower_http", "sqlx", "hickory_proto"];
/// Crates whose lines have whole messages of other people in them; what matters is in the errors that they return.
const SILENT: [&str; 1] = ["lapin"];

/// Starts logging for the program of this name. `LOG_LEVEL` is error, warn, info, debug or trace in any case (INFO in
/// existing deployments); `LOG_FORMAT` is human or json, by default json unless the output is a terminal. A second start
/// (tests) does nothing.
///
/// # Errors
/// One sentence when a variable has another value.
pub fn start(service: &'static str, output: Output, level: Option<&str>, format: Option<&str>) -> Result<(), String> {
    let level = match level.map(str::trim).filter(|text| !text.is_empty()) {
        None => LevelFilter::INFO,
        // Python's names, which existing deployments use.
        Some("WARNING" | "warning") => LevelFilter::WARN,
        Some("CRITICAL" | "critical") => LevelFilter::ERROR,
        Some(text) => LevelFilter::from_str(&text.to_ascii_lowercase())
            .map_err(|_| format!("LOG_LEVEL is {text:?}; write error, warn, info, debug or trace"))?,
    };
    let format = match format.map(str::trim).filter(|text| !text.is_empty()) {
        None if output.is_terminal() => Format::Human,
        None => Format::Json,
        Some(text) if text.eq_ignore_ascii_case("human") => Format::Human,
        Some(text) if text.eq_ignore_ascii_case("json") => Format::Json,
        Some(text) => return Err(format!("LOG_FORMAT is {text:?}; write human or json")),
    };
    let quiet = level.min(LevelFilter::WARN);
    let quiet = NOISY.map(|name| (name, quiet)).into_iter().chain(SILENT.map(|name| (name, LevelFilter::OFF)));
    let filter = Targets::new().with_default(level).with_targets(quiet);
    let has_colours = output.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = Lines { service, output, format, has_colours };
    // A second start (tests) keeps the first.
    let _already_started = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    Ok(())
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
