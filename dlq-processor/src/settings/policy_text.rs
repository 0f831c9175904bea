//! Checks a policy that somebody sends: of a whole configuration, or of its parts that decide, only those are read. No file,
//! variable or address that the text names is looked at.

use kit::config::{Cursor, Mistakes, Node, Value};

use super::{KEYS, POLICY_KEYS};
use crate::policy::{Policy, decode_policy};

/// What messages call the text.
const NAME: &str = "policy";
/// Rules of one text, at most: each may have patterns that take a mebibyte when they are compiled.
const MOST_RULES: usize = 100;

/// Returns what a text comes to.
///
/// # Errors
/// Every mistake, one line each, with its line and column and what to write instead.
pub(crate) fn read_policy(text: &str) -> Result<Policy, Vec<String>> {
    let mistakes = Mistakes::default();
    let policy = match Node::parse(NAME, text) {
        Ok(root) => decode(&root, &mistakes),
        Err((place, message)) => {
            mistakes.add(&place, "", message);
            None
        }
    };
    let found: Vec<String> = mistakes.into_sorted().iter().map(ToString::to_string).collect();
    policy.filter(|_| found.is_empty()).ok_or(found)
}

fn decode(root: &Node, mistakes: &Mistakes) -> Option<Policy> {
    let fields = Cursor::top(root, mistakes).fields()?;
    for key in POLICY_KEYS {
        root.child(key).into_iter().for_each(|node| refuse_variables(node, key, mistakes));
    }
    let rules = fields.get("rules").map(|cursor| cursor.items().len()).unwrap_or_default();
    if rules > MOST_RULES {
        let message = format!("{rules} rules are more than the {MOST_RULES} that are checked here; use check-config");
        root.child("rules").into_iter().for_each(|node| mistakes.add(&node.place, "rules", message.clone()));
        return None;
    }
    let policy = decode_policy(&fields);
    // The others are known, and not read.
    fields.end_knowing(&KEYS);
    Some(policy)
}

/// What stands in a variable is not for whoever sends a text.
fn refuse_variables(node: &Node, path: &str, mistakes: &Mistakes) {
    match &node.value {
        Value::Text(text) if text.contains("${") => {
            let message = "variables are not read here; write what it is, or use check-config";
            mistakes.add(&node.place, path, message);
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                refuse_variables(item, &format!("{path}[{index}]"), mistakes);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                refuse_variables(&entry.node, &format!("{path}.{}", entry.key), mistakes);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_decides_is_read_and_nothing_that_a_text_names() {
        let whole = "\
            sources: { jobs: { bullmq: { url_file: /etc/passwd } }, odd: { nonsense: true } }\n\
            operator_token_file: /etc/shadow\n\
            listen: ${LISTEN}\n\
            jobs: [{ name: send, idempotent: true }]\n\
            rules: [{ id: quota, when: { contains: [quota] }, class: throttled }]\n";
        let policy = read_policy(whole).unwrap();
        assert_eq!((policy.jobs.len(), policy.rules.first().map(|rule| rule.id.as_str())), (1, Some("quota")));
        assert_eq!(read_policy("builtin_rules: false").unwrap().rules.len(), 0);
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_column() {
        let many = format!("rules: [{}]", "{},".repeat(MOST_RULES + 1));
        for (text, expected) in [
            (
                "rules:\n  - { id: a, when: {}, class: auth }\nmax_age: soon\n",
                vec![
                    "policy:2:20: rules[0].when: it would know no failure; write one of class,",
                    "policy:3:10: max_age: \"soon\" is not a duration",
                ],
            ),
            ("rulez: []", vec!["policy:1:1: unknown key \"rulez\"; did you mean \"rules\"?"]),
            (
                "jobs: [{ name: '${HOME}', critical: true }]",
                vec!["policy:1:16: jobs[0].name: variables are not read here"],
            ),
            ("[]", vec!["policy:1:1: expected a mapping, found a list"]),
            ("a: [", vec!["this is not YAML"]),
            (&many, vec!["rules: 101 rules are more than the 100 that are checked here; use check-config"]),
        ] {
            let found = read_policy(text).unwrap_err();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(found, expected)| found.contains(expected)), "{found:?}");
        }
    }
}
