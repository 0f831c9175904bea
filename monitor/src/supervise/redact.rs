//! Takes secrets out of a program's output: values that we know, and what looks like one.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, and credentials in URLs.
static PATTERNS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    let build = |pattern| Regex::new(pattern).expect("tested below");
    [
        build(
            r#"(?i)((?:[a-z0-9_.-]*(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)[a-z0-9_-]*)["']?\s*[:=]\s*["']?)([^\s"',;&]+)"#,
        ),
        build(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}"),
        build(r"([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?:@)"),
    ]
});

/// What is said of a file that keeps a secret, and has a name like one (`strerror(3)`): no secret begins like that.
const SAID_OF_FILES: [&str; 6] = [
    "no such file or directory",
    "permission denied",
    "operation not permitted",
    "is a directory",
    "not a directory",
    "read-only file system",
];

/// Returns the line with every known secret, and every value that looks like one, replaced.
pub fn redact(line: &str) -> String {
    let [named, scheme, url] = &*PATTERNS;
    let line = kit::secrets::redact(line);
    let line = named.replace_all(&line, |found: &Captures<'_>| hide(found, &line));
    let line = scheme.replace_all(&line, "${1}[redacted]");
    url.replace_all(&line, "${1}[redacted]@").into_owned()
}

/// Writes the name, and of the value what may be shown.
fn hide(found: &Captures<'_>, line: &str) -> String {
    let (name, value) = (found.get(1), found.get(2));
    let rest = value.and_then(|value| line.get(value.start()..)).unwrap_or_default().to_ascii_lowercase();
    let is_said_of_it = SAID_OF_FILES.iter().any(|words| rest.starts_with(words));
    let shown = value.filter(|_| is_said_of_it).map_or("[redacted]", |value| value.as_str());
    format!("{}{shown}", name.map_or("", |name| name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_everything_else_stays() {
        for (line, shown) in [
            ("DB_PASSWORD=hunter2 host=db", "DB_PASSWORD=[redacted] host=db"),
            (r#"{"api_key": "abc123", "n": 1}"#, r#"{"api_key": "[redacted]", "n": 1}"#),
            ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
            ("postgres://app:s3cret@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
            ("listening on http://127.0.0.1:8000", "listening on http://127.0.0.1:8000"),
            ("error: port already in use", "error: port already in use"),
            ("/etc/passwd: Permission denied", "/etc/passwd: Permission denied"),
            (
                "open /run/secrets/db_token: no such file or directory",
                "open /run/secrets/db_token: no such file or directory",
            ),
            ("secret/db/password: permission", "secret/db/password: [redacted]"),
        ] {
            assert_eq!(redact(line), shown);
        }
    }
}
