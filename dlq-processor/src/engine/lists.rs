//! Puts what becomes of letters into the lists of their source, if it is to have some. It follows the ledger: what is away holds
//! it up, and it holds nothing up.

use std::time::Duration;

use jiff::Timestamp;
use kit::chain::Chain;
use kit::secrets::redact_line;
use serde_json::json;

use super::{AWAY, Engine, Trouble};
use crate::failpoint;
use crate::ledger::Unlisted;
use crate::source::{List, Lists};

/// Letters at once, at most: entries have a kilobyte or two, and never more than nine.
const PART: usize = 200;
/// Characters of a name in an entry, at most.
const NAME_CHARS: usize = 200;
/// Between two looks, while there is nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) async fn list_for_ever(&self) {
        let Some(lists) = self.source.lists() else { return };
        let failures = self.figures.list_failures.with_label_values(&[&self.name]);
        let mut in_a_row = 0;
        loop {
            match self.list_some(lists).await {
                Ok(listed) => {
                    if std::mem::take(&mut in_a_row) > 0 {
                        tracing::info!(source = self.name, "lists are written again");
                    }
                    if listed < PART {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
                Err(trouble) => {
                    if in_a_row == 0 {
                        tracing::warn!(source = self.name, error = %Chain(&trouble), "lists cannot be written; they will be");
                    }
                    in_a_row += 1;
                    failures.inc();
                    tokio::time::sleep(AWAY.delay(in_a_row, rand::random())).await;
                }
            }
        }
    }

    /// Returns how many letters there were.
    async fn list_some(&self, lists: &Lists) -> Result<usize, Trouble> {
        let letters = self.ledger.unlisted(&self.name, PART).await?;
        if letters.is_empty() {
            return Ok(0);
        }
        let of_letter = |letter: &Unlisted| {
            let entry = entry(letter);
            lists_of(&letter.state).iter().map(move |list| (*list, entry.clone())).collect::<Vec<_>>()
        };
        let entries: Vec<(List, String)> = letters.iter().flat_map(of_letter).collect();
        failpoint::at("before_lists");
        lists.put(&entries).await?;
        for (list, _) in &entries {
            self.figures.listed.with_label_values(&[&self.name, list.word()]).inc();
        }
        failpoint::at("after_lists");
        self.ledger.listed(&letters).await?;
        Ok(letters.len())
    }
}

/// Returns those that a letter in this state belongs into. What is escalated is also an alert, as it was.
fn lists_of(state: &str) -> &'static [List] {
    match state {
        "escalated" => &[List::Escalations, List::Alerts],
        "parked" | "quarantined" | "uncertain" => &[List::Alerts],
        "discarded" => &[List::Discarded],
        "resolved" | "withdrawn" | "expired" => &[List::Archive],
        _ => &[],
    }
}

/// Whoever writes jobs chooses what they are called: a list is no place for more than this.
fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

/// An entry: what the first daemon wrote, but for what the job held, and what is ours.
fn entry(letter: &Unlisted) -> String {
    let failed_at = Timestamp::from_millisecond(letter.failed_at_ms).map(|at| at.to_string());
    json!({
        "originalQueue": cut(&letter.queue),
        "originalJobId": cut(&letter.job),
        "originalJobName": cut(&letter.name),
        "failureReason": redact_line(&letter.message),
        "failedAt": failed_at.unwrap_or_default(),
        "attempts": letter.attempts,
        "letterId": letter.id,
        "state": letter.state,
        "class": letter.class,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LetterState;

    #[test]
    fn every_letter_that_waits_or_is_over_is_in_a_list() {
        for state in LetterState::ALL {
            let expected = match state {
                LetterState::Parked | LetterState::Quarantined | LetterState::Uncertain => "alerts",
                LetterState::Escalated => "escalations alerts",
                LetterState::Discarded => "discarded",
                LetterState::Resolved | LetterState::Withdrawn | LetterState::Expired => "archive",
                // Nobody is needed, or its job's next letter says more.
                LetterState::Observed
                | LetterState::Scheduled
                | LetterState::Intended
                | LetterState::Redriven
                | LetterState::Recurred => "",
            };
            let found: Vec<&str> = lists_of(state.word()).iter().map(|list| list.word()).collect();
            assert_eq!(found.join(" "), expected, "{state:?}");
        }
    }
}
