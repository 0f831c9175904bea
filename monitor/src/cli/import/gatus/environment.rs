//! Variables of the environment: `$NAME` and `${NAME}` there (Go's os.Expand), `${NAME}` here; `$$` is a dollar there.

use std::collections::BTreeSet;

use kit::config::Node;

/// Returns the tree with its variables written as ours are; their names are added to `found`.
pub(super) fn ours(node: &Node, found: &mut BTreeSet<String>) -> Node {
    let names = std::cell::RefCell::new(found);
    node.map_texts(&|text| text.contains('$').then(|| rewrite(text, &mut names.borrow_mut())))
}

fn rewrite(text: &str, found: &mut BTreeSet<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some(tail) = after.strip_prefix('$') {
            // What follows is a text to both of us.
            out.push_str(if tail.starts_with('{') { "$$" } else { "$" });
            rest = tail;
            if let Some(tail) = tail.strip_prefix('{') {
                out.push('{');
                rest = tail;
            }
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
        let bare = after.split_at(end);
        match (braced, bare) {
            (Some((name, tail)), _) if !name.is_empty() && name.chars().all(is_word) => {
                found.insert(name.to_owned());
                out.push_str(&format!("${{{name}}}"));
                rest = tail;
            }
            (None, (name, tail)) if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                found.insert(name.to_owned());
                out.push_str(&format!("${{{name}}}"));
                rest = tail;
            }
            _ => {
                out.push_str(if after.starts_with('{') { "$$" } else { "$" });
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_written_as_ours() {
        let mut found = BTreeSet::new();
        for (theirs, ours) in [
            ("${A}/$B_2.x", "${A}/${B_2}.x"),
            ("a$$b", "a$b"),
            ("$${A}", "$${A}"),
            ("5 $ or $.", "5 $ or $."),
            ("${}", "$${}"),
        ] {
            assert_eq!(rewrite(theirs, &mut found), ours, "{theirs}");
        }
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["A", "B_2"]);
    }
}
