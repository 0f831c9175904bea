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
    /// A queue is unsafe for its dead letters. Releases before this one told of it without its source.
    QueueUnsafe { source: Option<String>, kind: String, queue: String },
    /// The ledger is as large as it may be, or nearly so.
    LedgerFull,
    /// A source does not answer.
    SourceDown { source: String },
    /// What is put back into a source could be lost.
    SourceDisarmed { source: String },
    /// Redrives of a kind are held back. Releases before this one told of it without its source.
    BreakerOpen { source: Option<String>, queue: String, name: String },
    /// Jobs of a queue die in great numbers.
    Many { source: String, queue: String },
    /// What is put back into a queue fails again.
    Recur { source: String, queue: String },
    /// Of some letters nobody knows whether they were put back.
    Uncertain,
    /// Letters of a class wait for a person, and were taken in long ago.
    Old { class: String },
}

impl Subject {
    /// Its key: unlike a fingerprint of letters it has a slash.
    pub(super) fn key(&self) -> String {
        let list = |names: &[&str]| serde_json::json!(names);
        match self {
            Self::Missed { source, queue } => format!("missed/{}", list(&[source, queue])),
            Self::QueueUnsafe { source: Some(source), kind, queue } => {
                format!("unsafe/{}", list(&[source, kind, queue]))
            }
            Self::QueueUnsafe { source: None, kind, queue } => format!("queue/{kind}/{queue}"),
            Self::LedgerFull => "ledger/full".to_owned(),
            Self::SourceDown { source } => format!("down/{source}"),
            Self::SourceDisarmed { source } => format!("disarmed/{source}"),
            Self::BreakerOpen { source: Some(source), queue, name } => {
                format!("breaker/{}", list(&[source, queue, name]))
            }
            Self::BreakerOpen { source: None, queue, name } => format!("breaker/{}", list(&[queue, name])),
            Self::Many { source, queue } => format!("many/{}", list(&[source, queue])),
            Self::Recur { source, queue } => format!("recur/{}", list(&[source, queue])),
            Self::Uncertain => "letters/uncertain".to_owned(),
            Self::Old { class } => format!("old/{class}"),
        }
    }

    /// Returns what has this key; none of a fingerprint.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let (begin, rest) = key.split_once('/')?;
        let pair = || serde_json::from_str::<(String, String)>(rest).ok();
        let three = || serde_json::from_str::<(String, String, String)>(rest).ok();
        let owned = str::to_owned;
        match begin {
            "missed" => pair().map(|(source, queue)| Self::Missed { source, queue }),
            "unsafe" => three().map(|(source, kind, queue)| Self::QueueUnsafe { source: Some(source), kind, queue }),
            "queue" => {
                let (kind, queue) = rest.split_once('/')?;
                Some(Self::QueueUnsafe { source: None, kind: owned(kind), queue: owned(queue) })
            }
            "ledger" => Some(Self::LedgerFull),
            "down" => Some(Self::SourceDown { source: owned(rest) }),
            "disarmed" => Some(Self::SourceDisarmed { source: owned(rest) }),
            "breaker" => {
                let of_source = three().map(|(source, queue, name)| (Some(source), queue, name));
                let (source, queue, name) = of_source.or_else(|| pair().map(|(queue, name)| (None, queue, name)))?;
                Some(Self::BreakerOpen { source, queue, name })
            }
            "many" => pair().map(|(source, queue)| Self::Many { source, queue }),
            "recur" => pair().map(|(source, queue)| Self::Recur { source, queue }),
            "letters" => Some(Self::Uncertain),
            "old" => Some(Self::Old { class: owned(rest) }),
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
            Self::Many { .. } => "DeadLettersMany",
            Self::Recur { .. } => "DeadLettersRecur",
            Self::Uncertain => "DeadLettersUncertain",
            Self::Old { .. } => "DeadLettersOld",
        }
    }

    /// The labels of its alert, as the rule has them; but `source` says who tells, so where letters come from is `of_source`.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let labels: &[(&str, Option<&String>)] = match self {
            Self::Missed { source, queue } | Self::Many { source, queue } | Self::Recur { source, queue } => {
                &[("of_source", Some(source)), ("queue", Some(queue))]
            }
            Self::QueueUnsafe { source, kind, queue } => {
                &[("of_source", source.as_ref()), ("peril", Some(kind)), ("queue", Some(queue))]
            }
            Self::LedgerFull | Self::Uncertain => &[],
            Self::Old { class } => &[("class", Some(class))],
            Self::SourceDown { source } | Self::SourceDisarmed { source } => &[("of_source", Some(source))],
            Self::BreakerOpen { source, queue, name } => {
                &[("of_source", source.as_ref()), ("queue", Some(queue)), ("name", Some(name))]
            }
        };
        // An empty one is none.
        let labels =
            labels.iter().filter_map(|(label, value)| Some((*label, value.filter(|value| !value.is_empty())?)));
        labels.map(|(label, value)| (label.to_owned(), value.clone())).collect()
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

/// Cuts a name of a queue or a job that is longer than any that a person gives. PostgreSQL holds no NUL.
pub(super) fn short(name: &str) -> String {
    cut(&name.replace('\0', ""), LONGEST)
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
            Subject::QueueUnsafe { source: Some("jobs".to_owned()), kind: "workers".to_owned(), queue: odd() },
            Subject::QueueUnsafe { source: None, kind: "workers".to_owned(), queue: odd() },
            Subject::LedgerFull,
            Subject::SourceDown { source: "jobs".to_owned() },
            Subject::SourceDisarmed { source: "jobs".to_owned() },
            Subject::BreakerOpen { source: Some("jobs".to_owned()), queue: odd(), name: odd() },
            Subject::BreakerOpen { source: None, queue: odd(), name: odd() },
            Subject::Many { source: "jobs".to_owned(), queue: odd() },
            Subject::Recur { source: "jobs".to_owned(), queue: odd() },
            Subject::Uncertain,
            Subject::Old { class: "auth".to_owned() },
        ] {
            assert_eq!(Subject::of_key(&subject.key()), Some(subject.clone()));
            keys.push(subject.key());
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 12);
        assert_eq!(Subject::of_key("0af7651916cd43dd8448eb211c80319c"), None, "a fingerprint");
        // Written by releases before this one.
        let queue = "mails".to_owned();
        let before = Subject::QueueUnsafe { source: None, kind: "retention".to_owned(), queue: queue.clone() };
        assert_eq!(Subject::of_key("queue/retention/mails"), Some(before));
        let before = Subject::BreakerOpen { source: None, queue, name: "send".to_owned() };
        assert_eq!(Subject::of_key(r#"breaker/["mails","send"]"#), Some(before));
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
