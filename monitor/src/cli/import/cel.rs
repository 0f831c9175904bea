//! Parts of CEL expressions (github.com/google/cel-spec) that conditions come to.

/// Words that cannot stand behind a dot (cel-spec, "Syntax").
const RESERVED: [&str; 20] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "while",
];

/// A number as a double.
pub(super) fn number(number: f64) -> String {
    format!("{number:?}")
}

/// Where something stands in `json`: `a.b[0]` is `json.a.b[0]`.
///
/// # Errors
/// It is no path.
pub(super) fn path(path: &str) -> Result<String, String> {
    let wrong = || format!("{path:?} is no path; write it like a.b[0].c");
    let mut out = "json".to_owned();
    for (at, part) in path.split('.').enumerate() {
        let (key, indices) =
            part.split_once('[').map_or((part, ""), |(key, _)| (key, part.get(key.len()..).unwrap_or("")));
        match key {
            "" if at == 0 && !indices.is_empty() => {}
            "" => return Err(wrong()),
            key if is_word(key) => out.push_str(&format!(".{key}")),
            key => out.push_str(&format!("[{}]", serde_json::Value::from(key))),
        }
        if !indices.is_empty() && !indices.ends_with(']') {
            return Err(wrong());
        }
        for index in indices.split_terminator(']') {
            let index: u32 = index.strip_prefix('[').and_then(|index| index.parse().ok()).ok_or_else(wrong)?;
            out.push_str(&format!("[{index}]"));
        }
    }
    Ok(out)
}

fn is_word(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_expressions() {
        for (written, expression) in [
            ("a.b", "json.a.b"),
            ("a[0].b[1][2]", "json.a[0].b[1][2]"),
            ("[0].id", "json[0].id"),
            ("a-b.in", "json[\"a-b\"][\"in\"]"),
        ] {
            assert_eq!(path(written).as_deref(), Ok(expression));
        }
        for wrong in ["", "a..b", "a[-1]", "a[x]", "a[0"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
        assert_eq!(number(2.0), "2.0");
    }
}
