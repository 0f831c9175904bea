//! What is written, by the real subscriber into a file. One logger is for a whole process: each test has one of its own
//! (cargo nextest).

use std::fs::File;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn log(format: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor.log");
    std::fs::write(&path, "before\n").unwrap();
    let file = File::options().append(true).open(&path).unwrap();
    assert!(start("test", Output::File(file.try_clone().unwrap()), Some("loud"), None).is_err());
    start("test", Output::File(file), None, Some(format)).unwrap();
    (folder, path)
}

fn last(path: &PathBuf) -> Value {
    serde_json::from_str(std::fs::read_to_string(path).unwrap().lines().last().unwrap()).unwrap()
}

#[test]
fn a_file_takes_lines_without_colours_at_its_end() {
    let (_folder, path) = log("human");
    tracing::info!(answer = 42, "hello");
    tracing::error!(user.password = "hunter2", name = "a\x1bb", error = %"said\x1b", "\x1b[2J");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 3 && lines[0] == "before" && lines[1].ends_with("Z  INFO hello answer=42"), "{text:?}");
    let shown = r#" ERROR \u{1b}[2J user.password=[redacted] name="a\u{1b}b" error=said\u{1b}"#;
    assert!(lines[2].ends_with(shown), "{text}");
}

#[test]
fn a_json_line_has_what_all_have_and_its_own_and_no_secret() {
    let (_folder, path) = log("json");
    crate::secrets::know([r#"hunter2"hunter2"#]);
    let error = std::io::Error::other("token=abc of postgres://app:s3cret@db/x");
    let held = secrecy::SecretString::from("unknown-to-all");
    tracing::warn!(
        check.id = "web/a",
        duration_ms = 7_u128,
        ratio = 0.5,
        is_late = true,
        error = &error as &dyn std::error::Error,
        service = "other",
        api_key = 17,
        ?held,
        given = r#"hunter2"hunter2"#,
        "asked with Bearer abc.def-123"
    );
    let mut line = last(&path);
    let at = line["timestamp"].take();
    let at = at.as_str().unwrap();
    assert!(at.len() == "2026-01-01T00:00:00.000000Z".len() && at.parse::<jiff::Timestamp>().is_ok(), "{at}");
    let expected = json!({
        "timestamp": null, "level": "WARN", "service": "test", "target": "kit::log::start::tests",
        "message": "asked with Bearer [redacted]", "check.id": "web/a", "duration_ms": 7, "ratio": 0.5, "is_late": true,
        "error": "token=[redacted] of postgres://app:[redacted]@db/x", "field.service": "other", "api_key": "[redacted]",
        "held": "SecretBox<str>([REDACTED])", "given": "[redacted]",
    });
    assert_eq!(line, expected);
}

#[test]
fn a_text_without_end_is_cut() {
    let (_folder, path) = log("json");
    tracing::info!(text = "é".repeat(50_000));
    let line = last(&path);
    let text = line["text"].as_str().unwrap();
    assert!(text.len() < 17 * 1024 && text.ends_with("é…"), "{}", text.len());
}

#[test]
fn what_would_say_whole_messages_of_others_is_not_heard() {
    let (_folder, path) = log("json");
    tracing::info!("before");
    tracing::warn!(target: "lapin::returned_messages", message = "BasicReturnMessage { .. data: [104, 117] }");
    tracing::error!(target: "lapin", "the same");
    assert_eq!(last(&path)["message"], "before");
}
