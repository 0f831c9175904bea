//! What can be wrong besides that letters wait: the alert of each such thing, and the key by which the ledger remembers that
//! somebody was told of it.

use std::collections::BTreeMap;

use kit::alert::Severity;
use kit::secrets::redact_line;

use crate::app::SERVICE;

/// Longest name of a queue or a job in an alert, in characters: whoever writes jobs chooses them, and an alert has a bound.
const LONGEST: usize = 200;
/// Longest words of others in an alert, in characters: what people read at a glance. The whole is in the ledger.
const LONGEST_WORDS: usize = 400;

/// Something that can be wrong, what matters most first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// Failures were gone before they were read.
    Missed { source: String, queue: String },
    /// A queue is unsafe for its dead letters.
    QueueUnsafe { kind: String, queue: String },
    /// The ledger is as large as it may be, or nearly so.
    LedgerFull,
    /// A source does not answer.
    SourceDown { source: String },
    /// What is put back into a source could be lost.
    SourceDisarmed { source: String },
    /// Redrives of a kind are held back.
    BreakerOpen { queue: String, name: String },
}

impl Subject {
    /// Its key: unlike a fingerprint of letters it has a slash.
    pub(super) fn key(&self) -> String {
        let pair = |first: &str, second: &str| serde_json::json!([first, second]);
        match self {
            Self::Missed { source, queue } => format!("missed/{}", pair(source, queue)),
            Self::QueueUnsafe { kind, queue } => format!("queue/{kind}/{queue}"),
            Self::LedgerFull => "ledger/full".to_owned(),
            Self::SourceDown { source } => format!("down/{source}"),
            Self::SourceDisarmed { source } => format!("disarmed/{source}"),
            Self::BreakerOpen { queue, name } => format!("breaker/{}", pair(queue, name)),
        }
    }

    /// Returns what has this key; none of a fingerprint.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let (begin, rest) = key.split_once('/')?;
        let pair = || serde_json::from_str::<(String, String)>(rest).ok();
        let owned = str::to_owned;
        match begin {
            "missed" => pair().map(|(source, queue)| Self::Missed { source, queue }),
            "queue" => {
                let (kind, queue) = rest.split_once('/')?;
                Some(Self::QueueUnsafe { kind: owned(kind), queue: owned(queue) })
            }
            "ledger" => Some(Self::LedgerFull),
            "down" => Some(Self::SourceDown { source: owned(rest) }),
            "disarmed" => Some(Self::SourceDisarmed { source: owned(rest) }),
            "breaker" => pair().map(|(queue, name)| Self::BreakerOpen { queue, name }),
            _ => None,
        }
    }

    /// The name of its alert: that of the rule in `alerts/rules/dead-letters.yml`, if there is one.
    pub(super) fn alert_name(&self) -> &'static str {
        match self {
            Self::Missed { .. } => "DeadLettersMissed",
            Self::QueueUnsafe { .. } => "DeadLetterQueueUnsafe",
            Self::LedgerFull => "DeadLetterLedgerFull",
            Self::SourceDown { .. } => "DeadLetterSourceDown",
            Self::SourceDisarmed { .. } => "DeadLetterSourceDisarmed",
            Self::BreakerOpen { .. } => "DeadLetterBreakerOpen",
        }
    }

    /// The labels of its alert, as the rule has them; but `source` says who tells, so where letters come from is `of_source`.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels: &[(&str, &String)] = match self {
            Self::Missed { source, queue } => &[("of_source", source), ("queue", queue)],
            Self::QueueUnsafe { kind, queue } => &[("peril", kind), ("queue", queue)],
            Self::LedgerFull => &[],
            Self::SourceDown { source } | Self::SourceDisarmed { source } => &[("of_source", source)],
            Self::BreakerOpen { queue, name } => &[("queue", queue), ("name", name)],
        };
        labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).clone())).collect()
    }

    /// The service that its alert is about.
    pub(super) fn service(&self) -> &str {
        match self {
            Self::QueueUnsafe { queue, .. } => service_of(queue),
            _ => SERVICE,
        }
    }

    /// How soon a person should act, where nothing says that it is worse.
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Missed { .. } | Self::QueueUnsafe { .. } => Severity::Page,
            _ => Severity::Ticket,
        }
    }
}

/// Returns the service that an alert of a queue is about: a queue may have no name, an alert must.
pub(super) fn service_of(queue: &str) -> &str {
    if queue.is_empty() { SERVICE } else { queue }
}

/// Cuts a name of a queue or a job that is longer than any that a person gives.
pub(super) fn short(name: &str) -> String {
    cut(name, LONGEST)
}

/// Cuts words of others, without what looks like a secret in them.
pub(super) fn words(of_others: &str) -> String {
    cut(&redact_line(of_others), LONGEST_WORDS)
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_is_known_by_its_key_whatever_names_are_like() {
        let odd = || "a/b\"], \u{7}[ü".to_owned();
        let mut keys = Vec::new();
        for subject in [
            Subject::Missed { source: "jobs".to_owned(), queue: odd() },
            Subject::QueueUnsafe { kind: "workers".to_owned(), queue: odd() },
            Subject::LedgerFull,
            Subject::SourceDown { source: "jobs".to_owned() },
            Subject::SourceDisarmed { source: "jobs".to_owned() },
            Subject::BreakerOpen { queue: odd(), name: odd() },
        ] {
            assert_eq!(Subject::of_key(&subject.key()), Some(subject.clone()));
            keys.push(subject.key());
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6);
        assert_eq!(Subject::of_key("0af7651916cd43dd8448eb211c80319c"), None, "a fingerprint");
        // Written by releases before this one.
        let queue = "mails".to_owned();
        let before = Subject::QueueUnsafe { kind: "retention".to_owned(), queue };
        assert_eq!(Subject::of_key("queue/retention/mails"), Some(before));
    }

    #[test]
    fn names_and_words_that_are_too_long_are_cut_after_secrets_were_taken_out() {
        assert_eq!((short("send"), short(&"ü".repeat(LONGEST))), ("send".to_owned(), "ü".repeat(LONGEST)));
        assert_eq!(short(&"ü".repeat(LONGEST + 1)), format!("{}…", "ü".repeat(LONGEST)));
        let before = "ü".repeat(LONGEST_WORDS - 20);
        let said = words(&format!("{before} password=hunter2hunter2 and more"));
        assert!(said.starts_with(&before) && said.ends_with('…') && !said.contains("hunter2"), "{said}");
    }
}
