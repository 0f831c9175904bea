//! The names of BullMQ's keys (docs.bullmq.io, and the scripts of versions 4 to 6).

use super::super::redis::glob::escaped;

/// The keys of one queue.
pub(super) struct Keys<'a> {
    prefix: &'a str,
    queue: &'a str,
}

impl<'a> Keys<'a> {
    pub(super) fn new(prefix: &'a str, queue: &'a str) -> Self {
        Self { prefix, queue }
    }

    /// Of the queue: `failed`, `meta` …; or of a job.
    pub(super) fn of(&self, what: &str) -> String {
        format!("{}:{}:{what}", self.prefix, self.queue)
    }

    /// Where is noted which holder of the lease was the last to act.
    pub(super) fn epoch(&self) -> String {
        self.of("dlq-epoch")
    }

    /// Where is noted that an order was carried out. Within the queue's keys, so that it is in their slot of a cluster.
    pub(super) fn guard(&self, order: &str) -> String {
        self.of(&format!("dlq-order:{order}"))
    }
}

/// What finds the `meta` of every queue.
pub(super) fn every_meta(prefix: &str) -> String {
    escaped(prefix) + ":*:meta"
}

/// The queue that a key of its `meta` is of; none if it is of something else.
pub(super) fn queue_of<'k>(prefix: &str, key: &'k str) -> Option<&'k str> {
    key.strip_prefix(prefix)?.strip_prefix(':')?.strip_suffix(":meta").filter(|queue| !queue.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_told_by_their_keys_under_any_prefix() {
        assert_eq!(Keys::new("{bull}", "mails").of("failed"), "{bull}:mails:failed");
        assert_eq!(every_meta("a*b[c]"), "a\\*b\\[c\\]:*:meta");
        assert_eq!(queue_of("bull", "bull:mails:meta"), Some("mails"));
        assert_eq!(queue_of("bull", "bull:a:b:meta"), Some("a:b"));
        assert_eq!(queue_of("bull", "bull::meta"), None);
        assert_eq!(queue_of("bull", "bullfrog:mails:meta"), None);
    }
}
