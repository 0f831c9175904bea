//! Variables as Compose reads them: `.env` files, and `$VAR`, `${VAR:-x}` and their like on every text of a tree.

use std::collections::BTreeMap;

use kit::config::{Node, Place, Value};

/// Variables by name.
pub(super) type Variables = BTreeMap<String, String>;

/// Reads `KEY=VALUE` lines: comments, `export`, single quotes (taken as they are) and double quotes (with escapes). Other
/// values may name variables: those of lines before, and `known` ones, which come first.
pub(super) fn read_env_file(text: &str, known: &Variables) -> Vec<(u64, String, String)> {
    let mut found: Vec<(u64, String, String)> = Vec::new();
    let mut variables = known.clone();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim().to_owned(), value.trim());
        let is_literal = value.starts_with('\'');
        let mut value = unquoted(value);
        if !is_literal {
            value = Reading { variables: &variables, unset: Vec::new(), used: Vec::new() }.replace(&value, 0);
        }
        variables.entry(key.clone()).or_insert_with(|| value.clone());
        found.push((number, key, value));
    }
    found
}

fn unquoted(value: &str) -> String {
    if let Some((inside, _)) = value.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) {
        return inside.to_owned();
    }
    if let Some(rest) = value.strip_prefix('"') {
        let mut text = String::new();
        let mut chars = rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next() {
                    Some('n') => text.push('\n'),
                    Some(c) => text.push(c),
                    None => {}
                },
                _ => text.push(c),
            }
        }
        return text;
    }
    // A comment begins with white space before its sign: `a#b` is a value.
    value.split_once(" #").map_or(value, |(value, _)| value).trim_end().to_owned()
}

/// A variable that has neither value nor default, and where it is used.
pub(super) type UsedUnset = (Place, String);

/// Replaces the variables in every text below `node`.
pub(super) fn substitute(node: &mut Node, variables: &Variables, unset: &mut Vec<UsedUnset>) {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => {
            let mut reading = Reading { variables, unset: Vec::new(), used: Vec::new() };
            let replaced = reading.replace(text, 0);
            unset.extend(reading.unset.into_iter().map(|name| (node.place.clone(), name)));
            if !reading.used.is_empty() {
                node.substituted = Some(reading.used.join(" and "));
            }
            node.value = Value::Text(replaced);
        }
        Value::List(items) => items.iter_mut().for_each(|item| substitute(item, variables, unset)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| substitute(&mut entry.node, variables, unset)),
        _ => {}
    }
}

/// Defaults within defaults go no deeper than this.
const MAX_DEPTH: usize = 8;

struct Reading<'a> {
    variables: &'a Variables,
    unset: Vec<String>,
    used: Vec<String>,
}

impl Reading<'_> {
    fn replace(&mut self, text: &str, depth: usize) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((expression, after)) = after.strip_prefix('{').and_then(split_closed) {
                out.push_str(&self.look_up(expression, depth));
                rest = after;
            } else {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                let (name, after_name) = after.split_at(end);
                if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                    out.push('$');
                    rest = after;
                } else {
                    out.push_str(&self.look_up(name, depth));
                    rest = after_name;
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn look_up(&mut self, expression: &str, depth: usize) -> String {
        let end = expression.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(expression.len());
        let (name, operator) = expression.split_at(end);
        self.used.push(format!("${{{name}}}"));
        let value = self.variables.get(name).cloned();
        let (is_set, operator) = match operator.strip_prefix(':') {
            Some(operator) => (value.as_ref().is_some_and(|value| !value.is_empty()), operator),
            None => (value.is_some(), operator),
        };
        let words = operator.get(1..).unwrap_or_default();
        match operator.chars().next() {
            Some('-') if !is_set && depth < MAX_DEPTH => self.replace(words, depth + 1),
            Some('+') if is_set && depth < MAX_DEPTH => self.replace(words, depth + 1),
            Some('+') => String::new(),
            // Compose itself refuses to start without it, and says so.
            Some('?') if !is_set => String::new(),
            Some(_) => value.unwrap_or_default(),
            None => value.unwrap_or_else(|| {
                self.unset.push(name.to_owned());
                String::new()
            }),
        }
    }
}

/// Splits behind the brace that closes; braces within are counted.
fn split_closed(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (index, c) in text.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return Some((text.get(..index)?, text.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_variables_are_replaced() {
        let variables: Variables =
            [("A", "1"), ("E", "")].into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        for (text, expected) in [
            ("$A-${A}", "1-1"),
            ("${E:-x}${E-y}${N-z}", "xz"),
            ("${N:-${M:-deep}}", "deep"),
            ("${A:+yes}${E:+no}${E+set}", "yesset"),
            ("$$A ${N:?say} $5 $", "$A  $5 $"),
            ("${N}|", "|"),
        ] {
            let mut node = Node { place: Place::whole("c"), value: Value::Text(text.to_owned()), substituted: None };
            let mut unset = Vec::new();
            substitute(&mut node, &variables, &mut unset);
            assert_eq!(node.value, Value::Text(expected.to_owned()), "{text}");
            assert_eq!(unset.len(), usize::from(text == "${N}|"), "{text}");
        }
    }

    #[test]
    fn an_env_file_has_comments_and_quotes() {
        let known = Variables::from([("HOST".to_owned(), "db".to_owned())]);
        let text = "# no\nexport A=1 # one\nB='x # $y'\nC=\"a\\nb\" # c\nD=a#b\n\nE=\nno\nF=\"${HOST}:${A}$N\"\n";
        let read = read_env_file(text, &known);
        let shown: Vec<String> = read.iter().map(|(line, key, value)| format!("{line} {key}={value}")).collect();
        assert_eq!(shown, ["2 A=1", "3 B=x # $y", "4 C=a\nb", "5 D=a#b", "7 E=", "9 F=db:1"]);
    }
}
