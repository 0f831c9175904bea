//! Finds the line of a program's last output that says why it ended. Pure.
//!
//! Programs of many languages end with a stack, a hint or a version after the line that matters; that line is what the
//! first line of an alert should say.

use serde_json::Value;

use super::redact;

/// Longest line that is told, in characters: a title has to fit into a subject.
const MAX_CHARS: usize = 160;

/// Beginnings of lines that only say where, or what to do about it.
const NOISE: [&str; 22] = [
    "begin failed--",
    "at ",
    "file \"",
    "goroutine ",
    "note: ",
    "node.js v",
    "stack backtrace:",
    "traceback",
    "exit status ",
    "created by ",
    "throw ",
    "npm ",
    "node:internal",
    "hint:",
    "during handling of",
    "the above exception",
    "for more information",
    "usage:",
    "try '",
    "disconnected from",
    "shutting down",
    "database system is shut down",
];

/// Words of lines that say what went wrong; the first group says most.
const STRONG: [&str; 26] = [
    "panicked at",
    "panic:",
    "fatal",
    "error",
    "exception",
    "emerg",
    "segmentation fault",
    "out of memory",
    "address already in use",
    "no space left",
    "permission denied",
    "no such file",
    "not found",
    "cannot ",
    "can't ",
    "could not",
    "couldn't",
    "unable to",
    "failed",
    "invalid",
    "refused",
    "denied",
    "unbound variable",
    "must be set",
    "is required",
    "terminate called",
];

/// Returns the line that says why, clipped and without secrets; none if nothing was written.
pub fn telling_line(lines: &[String]) -> Option<String> {
    let cleaned: Vec<String> = lines.iter().map(|line| clean(line)).collect();
    let said = root_cause(&cleaned)
        .or_else(|| panic_message(&cleaned))
        .or_else(|| strong_line(&cleaned))
        .or_else(|| cleaned.iter().rev().find(|line| is_telling(line)).cloned())?;
    let said = redact(&said);
    let clipped: String = said.chars().take(MAX_CHARS).collect();
    Some(if clipped.len() < said.len() { format!("{}…", clipped.trim_end()) } else { clipped })
}

/// Takes colours and, of structured logs, all but the message away.
fn clean(line: &str) -> String {
    let plain = without_colours(line);
    let trimmed = plain.trim();
    match trimmed.find('{').and_then(|from| serde_json::from_str::<Value>(trimmed.get(from..)?).ok()) {
        Some(Value::Object(fields)) => {
            let text = |keys: &[&str]| keys.iter().find_map(|key| fields.get(*key)?.as_str().map(str::to_owned));
            let error = fields.get("err").and_then(|error| error.get("message")).and_then(Value::as_str);
            let error = error.map(str::to_owned).or_else(|| text(&["error", "err", "exception", "cause"]));
            let message = text(&["message", "msg", "event", "log"])
                .or_else(|| fields.get("fields")?.get("message")?.as_str().map(str::to_owned));
            let level = text(&["level", "severity", "lvl"]).unwrap_or_default().to_lowercase();
            let prefix =
                if matches!(level.as_str(), "error" | "fatal" | "panic" | "critical") { "error: " } else { "" };
            match (message, error) {
                (Some(message), Some(error)) if !message.contains(&error) => format!("{prefix}{message}: {error}"),
                (Some(message), _) => format!("{prefix}{message}"),
                (None, Some(error)) => format!("{prefix}{error}"),
                (None, None) => trimmed.to_owned(),
            }
        }
        _ => without_time(trimmed).to_owned(),
    }
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // A sequence of ECMA-48 ends with a letter.
            '\u{1b}' => {
                let _sequence = letters.by_ref().find(char::is_ascii_alphabetic);
            }
            letter if letter.is_control() && letter != '\t' => {}
            letter => plain.push(letter),
        }
    }
    plain
}

/// Takes a time at the beginning away, as most logs have it.
fn without_time(line: &str) -> &str {
    let is_time = |word: &str| {
        let word = word.trim_matches(['[', ']', ',']);
        word.starts_with(|c: char| c.is_ascii_digit())
            && word.chars().filter(char::is_ascii_digit).count() >= 4
            && word.contains([':', '-', '/'])
            && !word.contains("://")
            && word.chars().all(|c| c.is_ascii_digit() || ":.-/TZ+,".contains(c))
    };
    let mut rest = line;
    while let Some((_, after)) = rest.split_once(' ').filter(|(word, _)| is_time(word)) {
        rest = after.trim_start();
    }
    rest
}

fn is_telling(line: &str) -> bool {
    let lower = line.to_lowercase();
    line.chars().any(char::is_alphanumeric) && !NOISE.iter().any(|noise| lower.starts_with(noise)) && !is_frame(line)
}

/// Whether it is only a place in a program: `main.go:12 +0x1d`, `   3: core::panicking`, `^^^^`.
fn is_frame(line: &str) -> bool {
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    let numbered = digits > 0 && line.get(digits..).is_some_and(|rest| rest.starts_with(": ") && rest.contains("::"));
    let placed = line.contains("+0x") || line.ends_with("()") && line.contains('/');
    numbered || placed
}

/// Java and anyhow write what lies behind an error below it; the last of these is the root.
fn root_cause(lines: &[String]) -> Option<String> {
    let behind = |line: &String| line.strip_prefix("Caused by: ").map(str::to_owned);
    if let Some(cause) = lines.iter().rev().find_map(behind) {
        return Some(cause);
    }
    let at = lines.iter().rposition(|line| line == "Caused by:")?;
    let error = lines.get(..at)?.iter().rev().find(|line| line.starts_with("Error: "));
    let causes = lines.get(at + 1..)?.iter().take_while(|line| !line.is_empty() && !line.starts_with("Stack"));
    let numberless =
        |line: &String| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':').trim().to_owned();
    let root = causes.last().map(numberless)?;
    Some(error.map_or(root.clone(), |error| format!("{}: {root}", error.trim_start_matches("Error: "))))
}

/// Rust writes a panic's message on the line after its place.
fn panic_message(lines: &[String]) -> Option<String> {
    let at = lines.iter().position(|line| line.contains("panicked at "))?;
    let (line, next) = (lines.get(at)?, lines.get(at + 1));
    let message = next.filter(|next| line.ends_with(':') && is_telling(next));
    Some(message.map_or_else(|| line.clone(), |message| format!("panicked: {message}")))
}

/// The last line that says something went wrong; Go's and Python's first ones count more than what follows them.
fn strong_line(lines: &[String]) -> Option<String> {
    let go = |line: &&String| line.starts_with("panic: ") || line.starts_with("fatal error: ");
    if let Some(line) = lines.iter().find(go) {
        return Some(line.clone());
    }
    let is_strong = |line: &&String| {
        let lower = line.to_lowercase();
        is_telling(line) && STRONG.iter().any(|word| lower.contains(word))
    };
    // Below the line that names an exception there may be fields of it, which are indented or end with a brace.
    let named = |line: &&String| is_telling(line) && is_exception(line);
    lines.iter().rev().find(named).or_else(|| lines.iter().rev().find(is_strong)).cloned()
}

/// Whether it begins with the name of an exception: `ValueError: …`, `java.io.IOException: …`, `Error [ERR_X]: …`.
fn is_exception(line: &str) -> bool {
    let line = line.trim_start_matches("Uncaught ").trim_start_matches("Exception in thread \"main\" ");
    let Some((name, _)) = line.split_once(": ").or_else(|| line.strip_suffix(':').map(|name| (name, ""))) else {
        return line.ends_with("Error") && !line.contains(' ');
    };
    let name = name.split_once(" [").map_or(name, |(name, _)| name);
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "._".contains(c));
    is_name && (name.ends_with("Error") || name.ends_with("Exception") || name.ends_with("Exit"))
}
