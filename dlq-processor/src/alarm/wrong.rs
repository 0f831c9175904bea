//! What is said of each thing that is wrong. Pure.

use std::time::Duration;

use kit::alert::Severity;
use kit::cli::quoted;
use kit::config::show_duration;

use super::fullness::LedgerFacts;
use super::subject::{Subject, short, words};
use crate::source::Peril;

/// Something that is so, and must be so for some time before it is told.
pub(super) struct Wrong {
    pub(super) subject: Subject,
    pub(super) severity: Severity,
    pub(super) summary: String,
    pub(super) description: String,
    /// How long it must be so.
    pub(super) patience: Duration,
}

impl Wrong {
    fn new(subject: Subject, patience: Duration, summary: String, description: String) -> Self {
        Self { severity: subject.severity(), subject, summary, description, patience }
    }

    pub(super) fn source_down(source: &str, why: &str, patience: Duration) -> Self {
        let (length, why) = (show_duration(patience), words(why));
        Self::new(
            Subject::SourceDown { source: source.to_owned() },
            patience,
            format!("cannot read failed jobs of {source}"),
            format!(
                "{source} has not answered for {length} ({why}): what fails there meanwhile may be removed unread."
            ),
        )
    }

    pub(super) fn source_disarmed(source: &str, why: &str, patience: Duration) -> Self {
        Self::new(
            Subject::SourceDisarmed { source: source.to_owned() },
            patience,
            format!("nothing is redriven in {source}, since it could be lost"),
            format!("For {}: {}.", show_duration(patience), words(why)),
        )
    }

    pub(super) fn breaker_open(source: &str, queue: &str, name: &str, patience: Duration) -> Self {
        let (queue, name) = (short(queue), short(name));
        let close = [("source", source), ("queue", &queue), ("name", &name)];
        let close = close.map(|(option, value)| format!("--{option} {}", quoted(value))).join(" ");
        Self::new(
            Subject::BreakerOpen { source: Some(source.to_owned()), queue: queue.clone(), name: name.clone() },
            patience,
            format!("redrives of {name} in {queue} are held back"),
            format!(
                "For {} they have been held back, since they fail. Who knows that this is over: \
                 dlq-processor breaker close {close} --reason '…'",
                show_duration(patience)
            ),
        )
    }

    pub(super) fn queue_unsafe(source: &str, Peril { queue, kind, why }: &Peril) -> Self {
        let (queue, why) = (short(queue), words(why));
        Self::new(
            Subject::QueueUnsafe {
                source: Some(source.to_owned()),
                kind: kind.word().to_owned(),
                queue: queue.clone(),
            },
            Duration::ZERO,
            format!("dead letters of {queue} are not safe: nothing is redriven there"),
            format!("{why}. Who knows better writes accept: [{}] for this queue.", kind.word()),
        )
    }

    pub(super) fn ledger_full(facts: LedgerFacts, severity: Severity) -> Self {
        let summary = match severity {
            Severity::Page => "the ledger is full: dead letters are not taken in",
            Severity::Ticket | Severity::Notice => "the ledger is nearly full",
        };
        let description = format!(
            "It has {} % of the size that it may have. Raise max_ledger, or have letters kept for less long (retention).",
            facts.percent()
        );
        Self { severity, ..Self::new(Subject::LedgerFull, Duration::ZERO, summary.to_owned(), description) }
    }

    /// Jobs of a queue that died, so many within that time.
    pub(super) fn many(source: &str, queue: &str, count: u64, within: Duration) -> Self {
        let (queue, length) = (short(queue), show_duration(within));
        Self::new(
            Subject::Many { source: source.to_owned(), queue: queue.clone() },
            Duration::ZERO,
            format!("jobs of {queue} die in great numbers"),
            format!("{count} jobs of {queue} ({source}) have died within {length}."),
        )
    }

    /// Letters of a queue that were put back, `recurred` of `ended` in vain within that time.
    pub(super) fn recur(source: &str, queue: &str, (recurred, ended): (u64, u64), within: Duration) -> Self {
        let (queue, length) = (short(queue), show_duration(within));
        Self::new(
            Subject::Recur { source: source.to_owned(), queue: queue.clone() },
            Duration::ZERO,
            format!("trying again does not help in {queue}"),
            format!(
                "{recurred} of {ended} letters of {queue} ({source}) that were put back within {length} have failed again."
            ),
        )
    }

    pub(super) fn uncertain(count: u64) -> Self {
        Self::new(
            Subject::Uncertain,
            Duration::ZERO,
            "of some letters nobody knows whether they ran".to_owned(),
            format!(
                "{count} may have been put back or not: a person decides. They are shown by: \
                 dlq-processor ls --state uncertain"
            ),
        )
    }

    pub(super) fn old(class: &str, age: Duration) -> Self {
        // What is shown may as well be the same for an hour: each change is another message.
        let age = show_duration(Duration::from_secs(age.as_secs() / 3600 * 3600));
        Self::new(
            Subject::Old { class: class.to_owned() },
            Duration::ZERO,
            "dead letters wait for a person".to_owned(),
            format!(
                "The oldest parked letter of the class {class} was taken in {age} ago, and waits. They are shown by: \
                 dlq-processor ls --state parked --class {class}"
            ),
        )
    }

    /// Failures of a queue that were missed, so many within that time.
    pub(super) fn missed(source: &str, queue: &str, count: u64, within: Duration) -> Self {
        let (queue, length) = (short(queue), show_duration(within));
        let (jobs, were) = if count == 1 { ("job", "was") } else { ("jobs", "were") };
        Self::new(
            Subject::Missed { source: source.to_owned(), queue: queue.clone() },
            Duration::ZERO,
            format!("failed jobs of {queue} were gone before they were read"),
            format!(
                "{count} failed {jobs} of {queue} ({source}) {were} removed within {length} before they could be read: \
                 that work is lost."
            ),
        )
    }
}
