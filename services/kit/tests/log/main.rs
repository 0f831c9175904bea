//! A log on its way to Loki: one that works, and every kind that does not. One log is for a whole process: each test has one
//! of its own (cargo nextest).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod away;
mod delivered;
mod disk;
mod killed;
mod stalled;

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use kit::config::Environment;
use kit::log::{LokiSettings, Output, start, start_loki};
use kit::metrics::{Format, Metrics};
use kit::trace::Exporting;
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
/// Small enough to be full soon.
const SMALL: [(&str, &str); 2] = [("LOKI_BATCH_BYTES", "8KiB"), ("LOKI_QUEUE_BYTES", "64KiB")];
const QUEUE_BYTES: u64 = 64 * 1024;

/// A log in a file of its own, and to Loki.
struct Log {
    _folder: TempDir,
    path: PathBuf,
    exporting: Exporting,
    told: Mutex<Told>,
}

/// What the export said of itself, as far as the log was read.
#[derive(Default)]
struct Told {
    bytes: u64,
    messages: Vec<String>,
}

impl Log {
    /// Starts one that sends quickly, with these variables.
    fn start(url: &str, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        start("test", Output::File(File::create(&path).unwrap()), Some("debug"), Some("json")).unwrap();
        let pairs = [("LOKI_URL", url), ("LOKI_BATCH_WAIT", "10")].into_iter().chain(more.iter().copied());
        let environment = pairs.fold(Environment::default(), |all, (name, value)| all.with(name, value));
        let exporting = start_loki(LokiSettings::read(&environment, "test").unwrap());
        Self { _folder: folder, path, exporting, told: Mutex::default() }
    }

    /// Returns every line that was written, as JSON.
    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns what the export says of itself. A log may be long: only what is new in it is read.
    fn own(&self) -> Vec<String> {
        let mut told = self.told.lock().unwrap();
        let mut file = BufReader::new(File::open(&self.path).unwrap());
        file.seek(SeekFrom::Start(told.bytes)).unwrap();
        let mut line = String::new();
        while file.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            told.bytes += line.len() as u64;
            if line.contains("kit::log") {
                let line: Value = serde_json::from_str(&line).unwrap();
                assert!(line["target"].as_str().unwrap().starts_with("kit::log"), "{line}");
                told.messages.push(line["message"].as_str().unwrap().to_owned());
            }
            line.clear();
        }
        told.messages.clone()
    }
}

/// Writes a line for each number.
fn work(numbers: Range<u64>) {
    numbers.for_each(|number| tracing::info!(number, "work"));
}

/// Returns the numbers of the lines that Loki holds, in the order in which they came; none came out of its order.
fn numbers(held: &Value) -> Vec<u64> {
    let entries = held["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["is_behind"] == false), "{held}");
    let line = |entry: &Value| serde_json::from_str::<Value>(entry["line"].as_str().unwrap()).unwrap();
    entries.iter().filter_map(|entry| line(entry)["number"].as_u64()).collect()
}

/// Returns the sum of the metrics that begin so.
fn figure(start: &str) -> u64 {
    let text = Metrics::new("test", "1").encode(Format::Text);
    let values = text.lines().filter_map(|line| line.strip_prefix(start)?.rsplit_once(' '));
    values.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

fn sent() -> u64 {
    figure("telemetry_log_entries_sent_total")
}

fn dropped(reason: &str) -> u64 {
    figure(&format!("telemetry_log_entries_dropped_total{{reason=\"{reason}\"}}"))
}

fn all_dropped() -> u64 {
    figure("telemetry_log_entries_dropped_total{")
}

fn waiting() -> u64 {
    figure("telemetry_log_bytes_waiting")
}

fn on_disk() -> u64 {
    figure("telemetry_log_spill_bytes")
}
