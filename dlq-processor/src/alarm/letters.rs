//! The alert of letters that wait for somebody and are alike.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kit::alert::{Alert, Severity};
use kit::trace::Context;
use url::Url;

use super::subject::{service_of, short, words};
use crate::ledger::Waiting;

/// The alert's name.
pub(super) const LETTERS: &str = "DeadLetters";

/// Returns the labels of the alert of letters with this fingerprint.
pub(super) fn labels(fingerprint: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("fingerprint".to_owned(), fingerprint.to_owned())])
}

/// Returns the alert of what waits, with links that lead below `page`.
pub(super) fn alert(group: &Waiting, page: Option<&Url>) -> Alert {
    let Waiting { fingerprint, queue, name, class, message, sample, another, letters, since_ms, pages, .. } = group;
    let how_many =
        if *letters == 1 { "a dead letter waits".to_owned() } else { format!("{letters} dead letters wait") };
    let (queue, name, message) = (short(queue), short(name), words(message));
    let said = if message.is_empty() { "no words of its own" } else { &message };
    let samples: BTreeSet<&String> = [sample, another].into();
    let commands = samples.into_iter().map(|id| format!("dlq-processor show {id}"));
    let all = page.and_then(|page| page.join(&format!("letters?fingerprint={fingerprint}")).ok());
    let seen: Vec<String> = commands.chain(all.map(String::from)).collect();
    let trace_id = group.traceparent.as_deref().and_then(Context::parse).map(|context| context.trace_id());
    Alert {
        name: LETTERS.to_owned(),
        service: service_of(&queue).to_owned(),
        severity: if *pages > 0 { Severity::Page } else { Severity::Ticket },
        summary: format!("{how_many} in {queue}: {name} ({class})"),
        description: format!("{said}. To see more: {}", seen.join(" · ")),
        labels: labels(fingerprint),
        annotations: trace_id.map(|id| ("trace_id".to_owned(), id)).into_iter().collect(),
        starts_at: Timestamp::from_millisecond(*since_ms).unwrap_or_else(|_| Timestamp::now()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_names_the_trace_that_put_a_job_in_if_that_is_one() {
        let trace_of = |traceparent: Option<&str>| {
            let text = |text: &str| text.to_owned();
            let group = Waiting {
                fingerprint: text("f1"),
                queue: text("mails"),
                name: text("send"),
                class: text("unknown"),
                message: String::new(),
                sample: text("a"),
                another: text("a"),
                traceparent: traceparent.map(text),
                letters: 1,
                since_ms: 0,
                pages: 0,
            };
            let alert = alert(&group, None);
            assert_eq!(alert.description, "no words of its own. To see more: dlq-processor show a");
            alert.annotations.get("trace_id").cloned()
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_of(Some(&format!("00-{trace}-b7ad6b7169203331-01"))).as_deref(), Some(trace));
        assert_eq!([trace_of(None), trace_of(Some("nonsense"))], [None, None]);
    }
}
