//! The ledger's words as people read them, and how they look. The words themselves stay: they are the same in metrics, answers
//! and on the command line.

use kit::page::Tone;
use kit::secrets::redact_line;

/// Longest line of a message in a list, in characters.
const LINE_CHARS: usize = 240;

/// How a letter's state looks.
pub(super) fn of_letter(state: &str) -> Tone {
    match state {
        "escalated" => Tone::Bad,
        "parked" | "quarantined" => Tone::Warn,
        "uncertain" => Tone::Blind,
        "scheduled" | "intended" | "redriven" => Tone::Busy,
        "resolved" => Tone::Good,
        _ => Tone::Off,
    }
}

/// What a letter's state means.
pub(super) fn letter_state(state: &str) -> &'static str {
    match state {
        "observed" => "only seen: its queue has no mode: act",
        "scheduled" => "is redriven when it is due",
        "parked" => "waits for a person",
        "quarantined" => "waits until a person releases it",
        "escalated" => "waits for a person, who was told at once",
        "intended" => "is about to be redriven",
        "redriven" => "is back in its queue",
        "resolved" => "was done after all",
        "recurred" => "failed again, which is another letter",
        "withdrawn" => "somebody else put it back or removed it",
        "uncertain" => "nobody can say whether it was redriven",
        "discarded" => "a person has given it up",
        "expired" => "nobody dealt with it for a long time",
        _ => "",
    }
}

/// How a plan's state looks.
pub(super) fn of_plan(state: &str) -> Tone {
    match state {
        "running" => Tone::Busy,
        "paused" => Tone::Warn,
        "stopped" => Tone::Bad,
        "done" => Tone::Good,
        _ => Tone::Off,
    }
}

/// What a plan's state means.
pub(super) fn plan_state(state: &str) -> &'static str {
    match state {
        "dry" => "nothing was done yet: it is known what would be",
        "running" => "it is being carried out",
        "paused" => "it goes on when somebody says so",
        "stopped" => "too many of its letters failed again",
        "cancelled" => "somebody has ended it",
        "done" => "all of it is done",
        _ => "",
    }
}

/// Why nothing is put back into a queue.
pub(super) fn pressure(word: &str) -> &'static str {
    match word {
        "paused" => "paused: its workers take nothing",
        "no_workers" => "nobody works there",
        "backlog" => "too much waits there already",
        "memory" => "its server has little memory left",
        "absent" => "it is not there, and letters are due in it: redrive them into another",
        _ => "busy",
    }
}

/// Says why a queue is redriven into more slowly than it may be.
pub(super) fn slowed_to(share: f64) -> String {
    format!(
        "at {:.0} % of its rate: whoever does its jobs says that too much is asked",
        (share * 100.0).clamp(1.0, 99.0)
    )
}

/// Says of which failures no more are redriven unasked, and when that ends.
pub(super) fn capped(fingerprint: &str, left: &str) -> String {
    format!("letters of {fingerprint}: too many were redriven in vain; they go on {left}, or when somebody asks")
}

/// Words of a failure, in one line, without what nobody should see.
pub(super) fn line(message: &str) -> String {
    let message = redact_line(message.trim());
    let line: String = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" · ");
    match line.is_empty() {
        true => "no words of its own".to_owned(),
        false => kit::page::words::clip(&line, LINE_CHARS),
    }
}

/// Writes a number so that its size is seen: `12,345`.
pub(super) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut written = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// Writes how many, and of what: `1 letter`, `1,204 letters`.
pub(super) fn count(count: i64, one: &str) -> String {
    format!("{} {one}{}", number(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LetterState;

    #[test]
    fn every_state_is_explained() {
        for state in LetterState::ALL.map(LetterState::word) {
            assert!(!letter_state(state).is_empty(), "{state}");
        }
        for state in ["dry", "running", "paused", "stopped", "cancelled", "done"] {
            assert!(!plan_state(state).is_empty(), "{state}");
        }
    }

    #[test]
    fn numbers_are_parted_and_messages_are_one_line() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([count(1, "letter"), count(0, "letter")], ["1 letter", "0 letters"]);
        assert_eq!(line("Error: a\n   at b"), "Error: a · at b");
        assert_eq!(line(" \n"), "no words of its own");
        assert!(!line("login with password=hunter2hunter2 failed").contains("hunter2"));
    }
}
