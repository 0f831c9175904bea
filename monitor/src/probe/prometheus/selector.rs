//! Tells a selector (`up{job="shop"}`) from what is computed: only the samples of a selector have a time of their own.

/// True for a metric's name, matchers in braces, or both, and nothing else.
pub(super) fn is_selector(text: &str) -> bool {
    let text = text.trim();
    let end = text.find(|c: char| !is_of_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    match rest.strip_prefix('{') {
        Some(matchers) => is_one_group(matchers),
        None => !name.is_empty() && rest.is_empty(),
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// True if the brace that closes is the last character. Braces within quotes close nothing.
fn is_one_group(matchers: &str) -> bool {
    let mut quote = None;
    let mut characters = matchers.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', Some('"' | '\'')) => drop(characters.next()),
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'' | '`', None) => quote = Some(c),
            ('}', None) => return characters.as_str().is_empty(),
            (_, None) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_computes_nothing_is_a_selector() {
        for text in
            ["up", " up ", "job:up:sum", "up{}", "up {job=\"a\"}", "{__name__=~\"a.*\"}", r#"up{a="}\"}",b='}'}"#]
        {
            assert!(is_selector(text), "{text}");
        }
        for text in [
            "",
            "1",
            "1e3",
            "rate(up[5m])",
            "up[5m]",
            "up offset 1h",
            "up{a=\"b\"} > 1",
            "up{a=\"b\"",
            "sum(up)",
            "up + up",
            "-up",
        ] {
            assert!(!is_selector(text), "{text}");
        }
    }
}
