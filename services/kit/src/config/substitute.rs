//! `${VAR}`, `${VAR:-default}` and `${VAR:?message}` on the leaves of a tree; `$${` stands for a literal `${`.

use super::load::Environment;
use super::mistakes::Mistakes;
use super::tree::{Node, Value};

/// Replaces variables in every text below `node`; what cannot be replaced is a mistake.
pub(super) fn substitute(node: &mut Node, path: &str, environment: &Environment, mistakes: &Mistakes) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => {
            let original = text.clone();
            match replace(&original, environment) {
                Ok((replaced, variables)) => {
                    // A leaf that is one variable takes its type from the value, as if it had been written there.
                    let whole = original.starts_with("${") && original.ends_with('}') && variables.len() == 1;
                    node.value = if whole { retype(replaced) } else { Value::Text(replaced) };
                    node.substituted = if variables.is_empty() { None } else { Some(variables.join(" and ")) };
                }
                Err(message) => {
                    mistakes.add(&node.place, path, message);
                    node.value = Value::Broken;
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(item, &format!("{path}[{index}]"), environment, mistakes);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                substitute(&mut entry.node, &below, environment, mistakes);
            }
        }
        _ => {}
    }
}

/// Types a variable's whole text: only what reads back the same is a number.
pub(super) fn retype(text: String) -> Value {
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    // "007" and "+5" are names or phone numbers, not numbers.
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Value::Int(number),
        _ => Value::Text(text),
    }
}

fn replace(text: &str, environment: &Environment) -> Result<(String, Vec<String>), String> {
    let mut out = String::with_capacity(text.len());
    let mut variables = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(kept) = before.strip_suffix('$') {
            out.push_str(kept);
            out.push_str("${");
            rest = from.strip_prefix("${").unwrap_or(from);
            continue;
        }
        out.push_str(before);
        let inner = from.strip_prefix("${").unwrap_or(from);
        let end = inner.find('}').ok_or("\"${\" is never closed; write ${NAME}, or $${ for a literal ${")?;
        let (expression, tail) = inner.split_at(end);
        out.push_str(&look_up(expression, environment, &mut variables)?);
        rest = tail.strip_prefix('}').unwrap_or(tail);
    }
    out.push_str(rest);
    Ok((out, variables))
}

fn look_up(expression: &str, environment: &Environment, variables: &mut Vec<String>) -> Result<String, String> {
    let (name, fallback) = match expression.find(":-").or_else(|| expression.find(":?")) {
        Some(at) => expression.split_at(at),
        None => (expression, ""),
    };
    let valid = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !valid {
        return Err(format!(
            "\"${{{expression}}}\" is not a variable; write ${{NAME}}, ${{NAME:-default}} or ${{NAME:?message}}"
        ));
    }
    variables.push(format!("${{{name}}}"));
    match environment.get(name).filter(|value| !value.is_empty()) {
        Some(value) => Ok(value.to_owned()),
        None if fallback.starts_with(":-") => Ok(fallback.chars().skip(2).collect()),
        None if fallback.starts_with(":?") => {
            Err(format!("environment variable {name} is not set: {}", fallback.chars().skip(2).collect::<String>()))
        }
        None => Err(format!("environment variable {name} is not set; set it or write ${{{name}:-default}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let environment = Environment::of([("HOST", "db"), ("PORT", "5432"), ("EMPTY", "")]);
        let result = replace(text, &environment).map(|(text, _)| text);
        assert_eq!(result.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn variables_defaults_messages_and_escapes() {
        check("http://${HOST}:${PORT}/", Ok("http://db:5432/"));
        check("${NONE:-x}${EMPTY:-y}", Ok("xy"));
        check("a $${HOST} b", Ok("a ${HOST} b"));
        check("${NONE:?say which}", Err("environment variable NONE is not set: say which"));
        check("${NONE}", Err("environment variable NONE is not set; set it or write ${NONE:-default}"));
        check("${open", Err("\"${\" is never closed; write ${NAME}, or $${ for a literal ${"));
        check("${a b}", Err("\"${a b}\" is not a variable; write ${NAME}, ${NAME:-default} or ${NAME:?message}"));
    }

    #[test]
    fn a_whole_leaf_takes_the_type_of_its_value_and_hides_it() {
        let mut node = Node::parse("a.yml", "port: ${PORT}\nurl: x${PORT}\n").unwrap();
        let mistakes = Mistakes::default();
        substitute(&mut node, "", &Environment::of([("PORT", "5432")]), &mistakes);
        assert!(mistakes.is_empty());
        assert_eq!(node.child("port").unwrap().value, Value::Int(5432));
        assert_eq!(node.child("port").unwrap().shown(), "the value of ${PORT}");
        assert_eq!(node.child("url").unwrap().value, Value::Text("x5432".to_owned()));
        let shown = format!("{node:?}");
        assert!(!shown.contains("5432") && shown.contains(r#"substituted: "${PORT}""#), "{shown}");
    }
}
