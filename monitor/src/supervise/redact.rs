//! Takes secrets out of a program's output: values that we know, and what looks like one.

use std::sync::LazyLock;

use regex::Regex;

/// `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, and credentials in URLs.
static PATTERNS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    let build = |pattern| Regex::new(pattern).expect("tested below");
    [
        build(
            r#"(?i)((?:[a-z0-9_.-]*(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)[a-z0-9_-]*)["']?\s*[:=]\s*["']?)[^\s"',;&]+"#,
        ),
        build(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}"),
        build(r"([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?:@)"),
    ]
});

/// Returns the line with every known secret, and every value that looks like one, replaced.
pub fn redact(line: &str) -> String {
    let [named, scheme, url] = &*PATTERNS;
    let line = kit::secrets::redact(line);
    let line = named.replace_all(&line, "${1}[redacted]");
    let line = scheme.replace_all(&line, "${1}[redacted]");
    url.replace_all(&line, "${1}[redacted]@").into_owned()
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
        ] {
            assert_eq!(redact(line), shown);
        }
    }
}
