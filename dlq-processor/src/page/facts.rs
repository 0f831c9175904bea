//! All that is known of a letter, as a list of names and values, and what happened to it, in order.

use kit::page::Tone;
use kit::page::words::clip;

use super::moment::{Moment, When};
use super::spoken::{count, number, of_letter};
use crate::ledger::{Details, Entry, Listed};

/// Longest value, in characters.
const MOST_CHARS: usize = 500;

/// Something that happened to a letter.
pub(super) struct Happened {
    pub(super) at: When,
    pub(super) tone: Tone,
    pub(super) word: String,
    pub(super) text: String,
}

/// A name, its value, and whether the value is an id.
pub(super) type Fact = (&'static str, String, bool);

/// Returns the facts that there are.
pub(super) fn facts(letter: &Listed, details: &Details, moment: &Moment) -> Vec<Fact> {
    let full = |ms: i64| moment.when(ms).full;
    let due = letter.due_at_ms.filter(|_| letter.state == "scheduled").map(|ms| moment.ahead(ms));
    let of_error =
        [letter.error_class.clone(), details.error_code.clone(), details.http.map(|it| format!("HTTP {it}"))];
    let of_error: Vec<String> = of_error.into_iter().flatten().collect();
    let wakes = match &*details.alarm {
        "page" => Some("somebody at once".to_owned()),
        "ticket" => Some("somebody, once for all that are alike".to_owned()),
        _ => None,
    };
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let facts = [
        ("Source", some(letter.source.clone()), false),
        ("Job", some(letter.job.clone()), true),
        ("Found in", letter.found_in.clone(), false),
        ("Goes to queue", letter.to_queue.clone(), false),
        ("Put back as job", letter.new_job.clone(), true),
        ("Put in", details.put_in_at_ms.map(full), false),
        ("Failed", Some(full(letter.failed_at_ms)), false),
        ("Taken in", Some(full(letter.seen_at_ms)), false),
        ("Tries", (details.attempts > 0).then(|| number(details.attempts)), false),
        ("Lost workers", (details.stalls > 0).then(|| number(details.stalls)), false),
        ("Error", some(of_error.join(", ")), false),
        ("Redrives, unasked", (letter.redrives > 0).then(|| number(letter.redrives)), false),
        ("Due", due.map(|due| format!("{} ({})", due.full, due.left)), false),
        ("Tries end", details.until_ms.filter(|_| letter.action == "redrive").map(full), false),
        ("One after another", details.order_value.clone(), true),
        ("Wakes", wakes, false),
        ("Put away in", letter.cold.clone(), true),
        ("Id", Some(letter.id.clone()), true),
    ];
    let facts = facts.into_iter().filter_map(|(name, value, is_id)| Some((name, clip(&value?, MOST_CHARS), is_id)));
    facts.collect()
}

/// Returns what happened, the last first. `audit` is empty for whoever may not see it.
pub(super) fn timeline(letter: &Listed, audit: &[Entry], moment: &Moment) -> Vec<Happened> {
    let happened = |at_ms, tone, word: &str, text: String| {
        (at_ms, Happened { at: moment.when(at_ms), tone, word: word.to_owned(), text })
    };
    let mut all = vec![
        happened(letter.failed_at_ms, Tone::Bad, "failed", format!("job {} of {}", letter.job, letter.queue)),
        happened(letter.seen_at_ms, Tone::Off, "taken in", taken_in(letter)),
    ];
    for Entry { at_ms, who, what, why, .. } in audit.iter().rev() {
        all.push(happened(*at_ms, Tone::Busy, &what.replace('.', " "), format!("{who}: {}", clip(why, MOST_CHARS))));
    }
    if letter.changed_at_ms > letter.seen_at_ms {
        all.push(happened(
            letter.changed_at_ms,
            of_letter(&letter.state),
            &letter.state,
            super::spoken::letter_state(&letter.state).to_owned(),
        ));
    }
    all.sort_by_key(|(at_ms, _)| *at_ms);
    all.into_iter().rev().map(|(_, happened)| happened).collect()
}

fn taken_in(letter: &Listed) -> String {
    let rule = letter.rule.as_ref().map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
    let redrives = match letter.redrives {
        0 => String::new(),
        redrives => format!(", {} before", count(redrives, "redrive")),
    };
    format!("class {} ({rule}){redrives}", letter.class)
}
