//! Reads `jobs:`, `rules:`, `retries:` and `max_age:`; `canaries:` is read beside what it comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use kit::config::{Cursor, Fields, Mistakes, Node};
use regex::{Regex, RegexBuilder};

use super::builtin::RULES;
use super::canary::decode_canaries;
use super::class::Class;
use super::decide::Policy;
use super::facts::JobFacts;
use super::pattern::Pattern;
use super::retry::{Jitter, Retry};
use super::rule::{Rule, When};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Largest compiled pattern, in bytes: patterns of a person's are far below.
const PATTERN_BYTES: usize = 1 << 20;

/// Reads what decides. Own rules come before the built-in ones, which `builtin_rules: false` leaves out.
pub fn decode_policy(fields: &Fields<'_>) -> Policy {
    let items = |key| fields.get(key).map(|cursor| cursor.items()).unwrap_or_default();
    let jobs = items("jobs").iter().filter_map(decode_job).collect();
    let mut rules: Vec<Rule> = Vec::new();
    for item in items("rules") {
        let Some(rule) = decode_rule(&item) else { continue };
        if rules.iter().any(|known| known.id == rule.id) {
            item.mistake(format!("there is a rule {:?} already; give each an id of its own", rule.id));
        }
        rules.push(rule);
    }
    if fields.get("builtin_rules").and_then(|cursor| cursor.bool()).unwrap_or(true) {
        let own: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
        // One's own stands in for the built-in one of its id.
        rules.extend(builtin().into_iter().filter(|rule| !own.contains(&rule.id)));
    }
    let max_age = fields.get("max_age").and_then(|cursor| cursor.duration(MINUTE..=365 * DAY)).unwrap_or(HOUR);
    Policy { jobs, rules, retries: decode_retries(fields), canaries: decode_canaries(fields), max_age }
}

fn builtin() -> Vec<Rule> {
    let node =
        Node::parse("built-in rules", RULES).unwrap_or_else(|(place, message)| unreachable!("{place}: {message}"));
    let mistakes = Mistakes::default();
    Cursor::top(&node, &mistakes).items().iter().filter_map(decode_rule).collect()
}

fn decode_job(cursor: &Cursor<'_>) -> Option<JobFacts> {
    let fields = cursor.fields()?;
    let flag = |key| fields.get(key).and_then(|cursor| cursor.bool());
    let (queue, name) = (pattern(&fields, "queue"), pattern(&fields, "name"));
    let (critical, idempotent) = (flag("critical"), flag("idempotent"));
    let order_key = fields.get("order_key").and_then(|cursor| {
        let pointer = cursor.text()?;
        if !pointer.starts_with('/') {
            cursor.mistake(format!("{pointer:?} is not a JSON pointer; write it like /workspaceId"));
        }
        Some(pointer)
    });
    let stuck = fields.get("stuck").and_then(|cursor| {
        if order_key.is_none() {
            cursor.mistake("\"stuck\" says what waits in an order, and there is none; write order_key, too");
        }
        cursor.one_of(&[("block", true), ("skip", false)])
    });
    if critical.is_none() && idempotent.is_none() && order_key.is_none() {
        cursor.mistake("nothing is said of these jobs; write critical, idempotent or order_key");
    }
    fields.end();
    Some(JobFacts { queue, name, critical, idempotent, order_key, waits_for_stuck: stuck })
}

fn decode_rule(cursor: &Cursor<'_>) -> Option<Rule> {
    let fields = cursor.fields()?;
    let id = fields.require("id").and_then(|cursor| cursor.text());
    let (queue, name) = (pattern(&fields, "queue"), pattern(&fields, "name"));
    let when = fields.require("when").and_then(|cursor| decode_when(&cursor));
    let words = Class::ALL.map(|class| (class.word(), class));
    let class = fields.require("class").and_then(|cursor| cursor.one_of(&words));
    fields.end();
    Some(Rule { id: id?, queue, name, when: when?, class: class? })
}

fn decode_when(cursor: &Cursor<'_>) -> Option<When> {
    let fields = cursor.fields()?;
    let texts = |key| fields.get(key).map(|cursor| cursor.texts()).unwrap_or_default();
    let expression = |key| fields.get(key).and_then(|cursor| decode_expression(&cursor));
    let http = fields.get("http").map(|cursor| cursor.items()).unwrap_or_default();
    let when = When {
        classes: texts("class"),
        class_matches: expression("class_matches"),
        codes: texts("code"),
        http: http.iter().filter_map(|cursor| cursor.whole(100..=599u16)).collect(),
        contains: texts("contains"),
        matches: expression("matches"),
        stalls: fields.get("stalls").and_then(|cursor| cursor.whole(1..=1000u32)),
    };
    let keys = ["class", "class_matches", "code", "http", "contains", "matches", "stalls"];
    if !keys.iter().any(|key| fields.has(key)) {
        cursor.mistake(format!("it would know no failure; write one of {}", keys.join(", ")));
    }
    fields.end();
    Some(when)
}

fn decode_expression(cursor: &Cursor<'_>) -> Option<Regex> {
    let text = cursor.text()?;
    let built = RegexBuilder::new(&text).case_insensitive(true).size_limit(PATTERN_BYTES).build();
    built.map_err(|error| cursor.mistake(format!("not a regular expression: {}", last_line(&error.to_string())))).ok()
}

/// The first lines show the pattern, which is in the file.
fn last_line(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn pattern(fields: &Fields<'_>, key: &'static str) -> Pattern {
    fields.get(key).and_then(|cursor| cursor.text()).map_or_else(Pattern::any, Pattern::new)
}

/// What is redriven without being asked for, and how: by default as the table of classes says.
fn decode_retries(fields: &Fields<'_>) -> BTreeMap<Class, Retry> {
    let standard = |jitter, tries| Retry { base: MINUTE / 2, cap: HOUR, jitter, tries, within: DAY };
    let mut retries = BTreeMap::from([
        (Class::Transient, standard(Jitter::Full, 5)),
        (Class::TransientAmbiguous, standard(Jitter::Full, 3)),
        (Class::Throttled, standard(Jitter::Equal, 5)),
    ]);
    let Some(said) = fields.get("retries").and_then(|cursor| cursor.fields()) else { return retries };
    for (class, retry) in &mut retries {
        if let Some(cursor) = said.get(class.word()) {
            *retry = decode_retry(&cursor, retry).unwrap_or_else(|| retry.clone());
        }
    }
    said.end();
    retries
}

fn decode_retry(cursor: &Cursor<'_>, standard: &Retry) -> Option<Retry> {
    let fields = cursor.fields()?;
    let length = |key, standard| {
        let found = fields.get(key).and_then(|cursor| cursor.duration(Duration::from_secs(1)..=365 * DAY));
        found.unwrap_or(standard)
    };
    let words = [("full", Jitter::Full), ("equal", Jitter::Equal)];
    let retry = Retry {
        base: length("base", standard.base),
        cap: length("cap", standard.cap),
        jitter: fields.get("jitter").and_then(|cursor| cursor.one_of(&words)).unwrap_or(standard.jitter),
        tries: fields.get("tries").and_then(|cursor| cursor.whole(0..=100u32)).unwrap_or(standard.tries),
        within: length("within", standard.within),
    };
    if retry.cap < retry.base {
        cursor.mistake("cap is less than base; write the longest wait as cap");
    }
    fields.end();
    Some(retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn mistakes_of(yaml: &str) -> Vec<String> {
        let node = Node::parse("dlq.yml", yaml).unwrap();
        let mistakes = Mistakes::default();
        let fields = Cursor::top(&node, &mistakes).fields().unwrap();
        decode_policy(&fields);
        fields.end();
        mistakes.into_sorted().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_builtin_rules_are_without_mistakes() {
        assert_eq!(mistakes_of(&format!("rules:{}", RULES.replace("\n-", "\n  -"))), Vec::<String>::new());
        assert_eq!(builtin().len(), RULES.matches("id:").count());
    }

    #[test]
    fn every_mistake_is_told_with_what_to_write() {
        for (yaml, expected) in [
            ("jobs: [{ name: a }]", "jobs[0]: nothing is said of these jobs; write critical, idempotent or order_key"),
            ("jobs: [{ order_key: a }]", "jobs[0].order_key: \"a\" is not a JSON pointer; write it like /workspaceId"),
            ("jobs: [{ critical: yes, queu: a }]", "unknown key \"queu\"; did you mean \"queue\"?"),
            ("rules: [{ when: { http: 1 } }]", "rules[0]: \"class\" is missing"),
            (
                "rules: [{ id: a, when: { http: 42 }, class: auth }]",
                "expected a whole number from 100 to 599, found 42",
            ),
            (
                "rules: [{ id: a, when: {}, class: auth }]",
                "rules[0].when: it would know no failure; write one of class,",
            ),
            (
                "rules: [{ id: a, when: { matches: '(' }, class: auth }]",
                "matches: not a regular expression: unclosed group",
            ),
            ("rules: [{ id: a, when: { http: 500 }, class: transiet }]", "did you mean \"transient\"?"),
            ("retries: { poison: { tries: 3 } }", "retries: unknown key \"poison\""),
            ("retries: { transient: { base: 1h, cap: 1m } }", "retries.transient: cap is less than base"),
            ("canaries: { transient: {} }", "canaries.transient: transient has no canaries; write auth or unknown"),
            ("canaries: { auht: {} }", "canaries: unknown key \"auht\"; did you mean \"auth\"?"),
            ("canaries: { auth: { first: 1h, cap: 1m } }", "canaries.auth: cap is less than first"),
            ("canaries: { unknown: { first: 1ms } }", "canaries.unknown.first: "),
            ("canaries: { unknown: { tries: 0 } }", "canaries.unknown.tries: expected a whole number from 1 to 1000"),
            ("max_age: soon", "max_age: \"soon\" is not a duration; write a number with a unit"),
        ] {
            let found = mistakes_of(yaml);
            assert!(found.iter().any(|mistake| mistake.contains(expected)), "{yaml}: {found:?}");
        }
        let twice =
            "rules:\n  - { id: a, when: { http: 500 }, class: auth }\n  - { id: a, when: { http: 501 }, class: auth }";
        let expected = "dlq.yml:3:5: rules[1]: there is a rule \"a\" already; give each an id of its own";
        assert_eq!(mistakes_of(twice), [expected]);
        let expected = "dlq.yml:3:11: canaries.poison: poison has no canaries; write auth or unknown";
        assert_eq!(mistakes_of("canaries:\n  auth: {}\n  poison: {}\n"), [expected]);
    }
}
