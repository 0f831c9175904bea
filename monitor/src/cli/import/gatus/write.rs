//! Writes down what is expected of an endpoint.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::expectation::Expected;

/// Longest expression, in bytes (DESIGN section 6).
const MAX_EXPRESSION_BYTES: usize = 1024;

impl Expected {
    /// Returns `expect:`, and says what does not fit into it.
    pub(super) fn write(
        &mut self,
        is_http: bool,
        who: &str,
        left_out: &mut Vec<String>,
        changed: &mut Vec<String>,
    ) -> Map<String, Value> {
        let mut expect = Map::new();
        if is_http {
            let status = match &self.statuses {
                Some(statuses) => ranges(statuses),
                None => {
                    let note = "no condition asks for a status, so that any passes as before; write status: 2xx if it should not";
                    changed.push(format!("{who}: {note}"));
                    vec![json!("100-599")]
                }
            };
            expect.insert("status".to_owned(), status.into());
        }
        if !self.json.is_empty() {
            expect.insert("json".to_owned(), std::mem::take(&mut self.json).into());
        }
        for (key, list) in [("body_contains", &self.contains), ("body_matches", &self.matches)] {
            if !list.is_empty() {
                expect.insert(key.to_owned(), json!(list));
            }
        }
        let mut expression = String::new();
        for term in &self.terms {
            let and = if expression.is_empty() { "" } else { " && " };
            if expression.len() + and.len() + term.len() > MAX_EXPRESSION_BYTES {
                left_out.push(format!("{who}: {term}: an expr has at most {MAX_EXPRESSION_BYTES} bytes"));
            } else {
                expression.push_str(and);
                expression.push_str(term);
            }
        }
        if !expression.is_empty() {
            expect.insert("expr".to_owned(), expression.into());
        }
        expect
    }
}

/// Statuses as people write them: 200, 2xx, 200-299.
fn ranges(statuses: &BTreeSet<u16>) -> Vec<Value> {
    let mut spans: Vec<(u16, u16)> = Vec::new();
    for status in statuses {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *status => *last = *status,
            _ => spans.push((*status, *status)),
        }
    }
    let show = |(first, last): (u16, u16)| match (first == last, first % 100 == 0 && last == first + 99) {
        (true, _) => json!(first),
        (_, true) => json!(format!("{}xx", first / 100)),
        _ => json!(format!("{first}-{last}")),
    };
    spans.into_iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_written_as_people_write_them() {
        let set = |ranges: &[(u16, u16)]| ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
        assert_eq!(ranges(&set(&[(200, 200), (400, 499), (502, 504)])), [json!(200), json!("4xx"), json!("502-504")]);
    }
}
