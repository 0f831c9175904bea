//! Queues that are left out, since no server takes their names as text: each is said once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::super::as_text;

/// Queues that are named, at most: whoever writes to the server chooses their names.
const MOST: usize = 100;

/// Queues that were left out.
#[derive(Default)]
pub(super) struct LeftOut(Mutex<BTreeSet<String>>);

impl LeftOut {
    /// Returns whether a queue is left out, and says so if that is news.
    pub(super) fn leaves_out(&self, queue: &str) -> bool {
        let is_left_out = queue.contains('\0');
        if is_left_out && let Some(queue) = self.learn(queue) {
            tracing::warn!(
                queue,
                "a queue is left out: its name has a NUL (shown as \u{fffd}), which no server takes as text"
            );
        }
        is_left_out
    }

    /// Returns how it is shown, if it was not known and not too many are.
    fn learn(&self, queue: &str) -> Option<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.len() < MOST && known.insert(queue.to_owned());
        is_news.then(|| as_text(queue).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_with_a_nul_in_its_name_is_left_out_and_said_once() {
        let left_out = LeftOut::default();
        assert!(!left_out.leaves_out("mails"));
        assert_eq!(left_out.learn("a\0b").as_deref(), Some("a\u{fffd}b"));
        assert_eq!(left_out.learn("a\0b"), None);
        assert!(left_out.leaves_out("a\0b") && left_out.leaves_out("c\0"));
        assert_eq!(left_out.learn("c\0"), None, "it was said");
        assert_eq!((0..MOST).filter_map(|number| left_out.learn(&format!("\0{number}"))).count(), MOST - 2);
        assert!(left_out.leaves_out("\0beyond"), "though it is not said");
    }
}
