//! How plans look on a terminal.

use kit::cli::{MINUTES, at, read, table, word};
use serde_json::Value;

use super::letters::{Shown, letters_table};
use super::render::{cell, counted, harmless, state, time};

/// Characters of the bar.
const BAR: usize = 30;

/// Returns what a plan would do: how many letters, of which queues, some of them, and how to have it done.
pub(super) fn made(answer: &Value) -> String {
    let plan = at(answer, "plan");
    let [id, act, state, hash] = ["id", "act", "state", "hash"].map(|key| harmless(word(plan, key)));
    let total = at(plan, "total").as_i64().unwrap_or_default();
    let into = at(plan, "to_queue").as_str().map(|to| format!(" into {}", harmless(to))).unwrap_or_default();
    let mut parts = vec![format!("{act} {}{into}   plan {id}, {state}, hash {hash}", counted(total, "letter"))];
    let queues = at(answer, "queues").as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |queue: &Value| {
        let of = |place: usize| queue.get(place).unwrap_or(&Value::Null);
        vec![cell(of(0).as_str().unwrap_or_default()), cell(of(1).as_i64().unwrap_or_default())]
    };
    if !queues.is_empty() {
        parts.push(table(&["QUEUE", "LETTERS"], queues.iter().map(row).collect()).to_string());
    }
    let samples: Vec<Shown> = read(at(answer, "samples")).unwrap_or_default();
    if !samples.is_empty() {
        let is_all = i64::try_from(samples.len()).is_ok_and(|shown| shown == total);
        let which = if is_all { "All of them".to_owned() } else { format!("The first {}", samples.len()) };
        parts.push(format!("{which}:\n{}", letters_table(&samples)));
    }
    if let Some(obstacle) = at(answer, "obstacle").as_str() {
        parts.push(format!("It cannot be carried out yet: {}.", harmless(obstacle)));
    }
    match at(answer, "apply").as_str() {
        Some(_) if total == 0 => parts.push("There is nothing to be done.".to_owned()),
        Some(apply) => parts.push(format!("Nothing is done yet; to do it:\n  {}", harmless(apply))),
        None => {}
    }
    parts.join("\n\n")
}

/// Returns plans as a table.
pub(super) fn listed(answer: &Value) -> String {
    let plans = at(answer, "plans").as_array().map(Vec::as_slice).unwrap_or_default();
    if plans.is_empty() {
        return "no plans".to_owned();
    }
    let row = |plan: &Value| {
        let [act, who, why, id] = ["act", "who", "why", "id"].map(|key| cell(word(plan, key)));
        let made = cell(time(at(plan, "at_ms").as_i64(), MINUTES));
        let total = cell(at(plan, "total").as_i64().unwrap_or_default());
        vec![made, act, state(word(plan, "state")), total, who, why, id]
    };
    let header = ["MADE", "ACT", "STATE", "LETTERS", "BY", "WHY", "ID"];
    table(&header, plans.iter().map(row).collect()).to_string()
}

/// Returns how far a plan has come, in a bar and in words.
pub(super) fn progress(answer: &Value) -> String {
    let (plan, progress) = (at(answer, "plan"), at(answer, "progress"));
    let count = |key| at(progress, key).as_i64().unwrap_or_default();
    let total = at(plan, "total").as_i64().unwrap_or_default();
    let (done, skipped) = (count("done"), count("skipped"));
    let states: Vec<(String, i64)> = read(at(progress, "states")).unwrap_or_default();
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {}", harmless(state))).collect();
    let skipped = if skipped > 0 { format!(", {skipped} left alone") } else { String::new() };
    let stands = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    let bar = bar(done + count("skipped"), total);
    let state = harmless(word(plan, "state"));
    format!(
        "{bar} {done} of {}{skipped}{stands}\nplan {} is {state}",
        counted(total, "letter"),
        harmless(word(plan, "id"))
    )
}

fn bar(part: i64, whole: i64) -> String {
    let percent = if whole > 0 { part.saturating_mul(100) / whole } else { 100 };
    let full = usize::try_from(percent).unwrap_or_default().min(100) * BAR / 100;
    format!("{}{} {percent:3} %", "█".repeat(full), "░".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_says_how_far_it_has_come_and_what_became_of_its_letters() {
        let progress = progress(&json!({
            "plan": { "id": "p", "state": "running", "total": 4 },
            "progress": { "waits": 1, "done": 2, "skipped": 1, "states": [["recurred", 1], ["resolved", 1]] },
        }));
        let full = format!("{}{}  75 %", "█".repeat(22), "░".repeat(8));
        let expected = format!("{full} 2 of 4 letters, 1 left alone: 1 recurred, 1 resolved\nplan p is running");
        assert_eq!(progress, expected);
        assert!(bar(0, 0).ends_with("100 %") && bar(9, 4).starts_with(&"█".repeat(BAR)));
    }

    #[test]
    fn a_plan_without_letters_has_nothing_to_be_applied() {
        let shown = made(&json!({
            "plan": { "id": "p", "act": "park", "state": "dry", "hash": "h", "total": 0 },
            "queues": [], "samples": [], "apply": "dlq-processor plan apply p",
        }));
        assert_eq!(shown, "park 0 letters   plan p, dry, hash h\n\nThere is nothing to be done.");
    }
}
