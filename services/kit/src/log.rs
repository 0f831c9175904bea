//! Logging: human lines on a terminal, JSON elsewhere; level by `LOG_LEVEL`. To standard error, so that standard output
//! stays for results, or to a file while something else is drawn on the terminal.

use std::fs::File;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Arc;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// Crates whose debug lines are about themselves.
const NOISY: [&str; 8] = ["hyper", "hyper_util", "h2", "rustls", "tower", "tower_http", "sqlx", "hickory_proto"];

/// Starts logging. `LOG_LEVEL` is error, warn, info, debug or trace in any case (INFO in existing deployments);
/// `LOG_FORMAT` is human or json, by default json unless standard error is a terminal.
///
/// # Errors
/// One sentence when a variable has another value.
pub fn start(level: Option<&str>, format: Option<&str>) -> Result<(), String> {
    begin(None, level, format)
}

/// As [`start`], but lines go to the end of `file`, without colours.
///
/// # Errors
/// As [`start`].
pub fn start_in(file: File, level: Option<&str>, format: Option<&str>) -> Result<(), String> {
    begin(Some(file), level, format)
}

fn begin(file: Option<File>, level: Option<&str>, format: Option<&str>) -> Result<(), String> {
    let level = match level.map(str::trim).filter(|text| !text.is_empty()) {
        None => LevelFilter::INFO,
        // Python's names, which existing deployments use.
        Some("WARNING" | "warning") => LevelFilter::WARN,
        Some("CRITICAL" | "critical") => LevelFilter::ERROR,
        Some(text) => LevelFilter::from_str(&text.to_ascii_lowercase())
            .map_err(|_| format!("LOG_LEVEL is {text:?}; write error, warn, info, debug or trace"))?,
    };
    let format = match format.map(str::trim).filter(|text| !text.is_empty()) {
        None if std::io::stderr().is_terminal() => Format::Human,
        None => Format::Json,
        Some(text) if text.eq_ignore_ascii_case("human") => Format::Human,
        Some(text) if text.eq_ignore_ascii_case("json") => Format::Json,
        Some(text) => return Err(format!("LOG_FORMAT is {text:?}; write human or json")),
    };
    let quiet = level.min(LevelFilter::WARN);
    let filter = Targets::new().with_default(level).with_targets(NOISY.map(|name| (name, quiet)));
    let has_colours = file.is_none() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let writer = match file {
        Some(file) => BoxMakeWriter::new(Arc::new(file)),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    // It would be told to standard error, which panics if that is what cannot be written.
    let lines = fmt::layer().log_internal_errors(false).with_ansi(has_colours).with_writer(writer);
    let layer = match format {
        Format::Human => lines.with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // A second start (tests) keeps the first.
    let _already_started = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_lines_without_colours_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.log");
        std::fs::write(&path, "before\n").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        assert!(start_in(file.try_clone().unwrap(), Some("loud"), None).is_err());
        start_in(file, None, Some("human")).unwrap();
        tracing::info!(answer = 42, "hello");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("before\n") && text.ends_with("INFO hello answer=42\n"), "{text:?}");
    }
}
