//! What waits for a session while nobody listens: bounded, and not for ever. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::frame::Topic;

/// Frames of one session, at most.
const MOST: usize = 1000;
/// Their bytes, at most.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a frame waits.
const KEPT: Duration = Duration::from_secs(3600);

/// Frames in the order they came.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    frames: VecDeque<(Topic, Instant, String)>,
    bytes: usize,
}

impl Backlog {
    /// Adds a frame. If there are too many the oldest of the least priority goes, which may be this one. Returns how many
    /// have gone.
    pub(super) fn add(&mut self, topic: Topic, frame: String, now: Instant) -> usize {
        self.bytes += frame.len();
        self.frames.push_back((topic, now, frame));
        let mut gone = 0;
        while (self.frames.len() > MOST || self.bytes > MOST_BYTES)
            && let Some(least) = self.frames.iter().map(|(topic, ..)| topic.priority()).min()
            && let Some(place) = self.frames.iter().position(|(topic, ..)| topic.priority() == least)
            && let Some((.., frame)) = self.frames.remove(place)
        {
            self.bytes -= frame.len();
            gone += 1;
        }
        gone
    }

    /// Lets go of what has waited for too long. Returns how many that are.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut gone = 0;
        while let Some((.., frame)) =
            self.frames.pop_front_if(|(_, came, _)| now.saturating_duration_since(*came) >= KEPT)
        {
            self.bytes -= frame.len();
            gone += 1;
        }
        gone
    }

    /// Returns how many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> VecDeque<String> {
        std::mem::take(self).frames.into_iter().map(|(.., frame)| frame).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first_and_nothing_waits_longer_than_an_hour() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        backlog.add(Topic::SystemStatus, "status".to_owned(), start);
        let added = (0..MOST + 5).map(|number| backlog.add(Topic::ChatStream, number.to_string(), start));
        assert_eq!(added.sum::<usize>(), 6);
        assert_eq!(backlog.add(Topic::Error, "error".to_owned(), start), 1);
        assert_eq!(backlog.len(), MOST);
        let frames = backlog.take();
        assert_eq!(
            (frames[0].as_str(), frames[1].as_str(), frames[MOST - 1].as_str(), backlog.bytes()),
            ("status", "7", "error", 0)
        );
        backlog.add(Topic::ChatStream, "old".to_owned(), start);
        backlog.add(Topic::ChatStream, "newer".to_owned(), start + Duration::from_secs(1));
        assert_eq!((backlog.expire(start + KEPT), backlog.bytes()), (1, 5));
        assert_eq!(backlog.take(), ["newer"]);
        assert_eq!(backlog.add(Topic::ChatStream, "x".repeat(MOST_BYTES + 1), start), 1);
        assert_eq!((backlog.len(), backlog.bytes()), (0, 0), "what is larger than all that may wait does not");
    }
}
