//! Conditions on an answer as a whole: texts, what a socket says, records of DNS.

use serde_json::json;

use super::condition::{Comparison, Condition, Operand};
use super::expectation::Expected;
use super::glob;

/// A note if a pattern has slashes, which Gatus takes out of both sides.
pub(super) fn slashes(pattern: &str) -> Option<String> {
    pattern.contains('/').then(|| "slashes count now; Gatus takes them out of pattern and answer".into())
}

/// The regular expression of everything that fits a pattern.
pub(super) fn whole_regex(pattern: &str) -> Result<String, String> {
    match glob::regex(pattern) {
        Some(regex) => Ok(format!(r"(?s)\A{regex}\z")),
        None => Err("the pattern is malformed, and never matches".into()),
    }
}

/// `[BODY]` as a whole, without the space around it.
pub(super) fn whole(expected: &mut Expected, condition: &Condition) -> Result<(), String> {
    let regex = match &condition.right {
        _ if !condition.comparison.is_equality() => return Err("a body is no number; name a path of it".into()),
        Operand::Pattern(pattern) => {
            expected.notes.extend(slashes(pattern));
            if let (Some(text), Comparison::Equal) = (glob::inner(pattern), condition.comparison) {
                expected.contains.push(text.to_owned());
                return Ok(());
            }
            let inner = glob::regex(pattern).ok_or("the pattern is malformed, and never matches")?;
            format!(r"(?s)\A\s*{inner}\s*\z")
        }
        Operand::Literal(text) if text.contains("${") => return Err("it has a variable in it; write an expr".into()),
        Operand::Literal(text) => format!(r"\A\s*{}\s*\z", regex::escape(text)),
        Operand::Any(texts) => format!(r"\A\s*(?:{})\s*\z", alternatives(texts)),
        _ => return Err("two things of an answer are compared; write an expr".into()),
    };
    match condition.comparison {
        Comparison::Equal => expected.matches.push(regex),
        _ => {
            expected.notes.push("an answer of more than 256 KiB is a fail now".into());
            expected.terms.push(format!("!body.matches({})", json!(regex)));
        }
    }
    Ok(())
}

fn alternatives(texts: &[String]) -> String {
    texts.iter().map(|text| regex::escape(text)).collect::<Vec<_>>().join("|")
}

/// What a socket says: waited for, whatever follows.
pub(super) fn heard(expected: &mut Expected, condition: &Condition) -> Result<(), String> {
    let is_whole = matches!(&condition.left, Operand::Body(path) if path.is_empty());
    if !is_whole || condition.comparison != Comparison::Equal {
        return Err("of a socket only [BODY] == …, with pat() or any(), can be expected".into());
    }
    let regex = match &condition.right {
        Operand::Pattern(pattern) => {
            expected.notes.extend(slashes(pattern));
            match glob::inner(pattern) {
                Some(text) => regex::escape(text),
                None => format!(r"(?s)\A\s*{}", glob::regex(pattern).ok_or("the pattern is malformed")?),
            }
        }
        Operand::Literal(text) => format!(r"\A\s*{}", regex::escape(text)),
        Operand::Any(texts) => format!(r"\A\s*(?:{})", alternatives(texts)),
        _ => return Err("two things of an answer are compared".into()),
    };
    if !expected.matches.is_empty() {
        return Err("only one condition on what a socket says; join them in expect_matches".into());
    }
    expected.matches.push(regex);
    Ok(())
}

/// Records: Gatus looks at the last one only.
pub(super) fn records(expected: &mut Expected, condition: &Condition) -> Result<(), String> {
    const LAST: &str = "any of the records may be it; Gatus looked at the last one only";
    match (&condition.left, &condition.right, condition.comparison) {
        (Operand::Body(path), Operand::Literal(text), Comparison::Equal) if path.is_empty() => {
            expected.answers.push(text.clone());
        }
        (Operand::Body(path), Operand::Any(texts), Comparison::Equal)
            if path.is_empty() && expected.answers.is_empty() =>
        {
            expected.answers.extend(texts.iter().cloned());
            expected.any_answer = true;
        }
        (Operand::Body(path), Operand::Pattern(pattern), Comparison::Equal) if path.is_empty() => {
            let regex = json!(whole_regex(pattern)?);
            expected.terms.push(format!("json.answers.exists(a, a.data.matches({regex}))"));
        }
        (Operand::Body(path), Operand::Literal(text), Comparison::NotEqual) if path.is_empty() => {
            expected.terms.push(format!("!json.answers.exists(a, a.data == {})", json!(text)));
            return Ok(());
        }
        // An answer without records is a fail anyway.
        (Operand::Length(_), Operand::Literal(text), Comparison::More) if text == "0" => return Ok(()),
        (Operand::Has(_), Operand::Literal(text), Comparison::Equal) if text == "true" => return Ok(()),
        _ => return Err("of a DNS answer only [BODY] == or != can be expected".into()),
    }
    expected.notes.push(LAST.into());
    Ok(())
}
