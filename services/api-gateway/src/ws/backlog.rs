//! What waits for a session while nobody listens: bounded, and not for ever. Pure.

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
pub(super) struct Backlog(Vec<(Topic, Instant, String)>);

impl Backlog {
    /// Adds a frame. If there are too many the oldest of the least priority goes, which may be this one.
    pub(super) fn add(&mut self, topic: Topic, frame: String, now: Instant) {
        self.0.retain(|(_, came, _)| now.saturating_duration_since(*came) < KEPT);
        self.0.push((topic, now, frame));
        while (self.0.len() > MOST || self.bytes() > MOST_BYTES)
            && let Some(least) = self.0.iter().map(|(topic, ..)| topic.priority()).min()
            && let Some(place) = self.0.iter().position(|(topic, ..)| topic.priority() == least)
        {
            self.0.remove(place);
        }
    }

    /// Returns how many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, _, frame)| frame.len()).sum()
    }

    /// Takes everything that is still of interest.
    pub(super) fn take(&mut self, now: Instant) -> Vec<String> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.filter(|(_, came, _)| now.saturating_duration_since(*came) < KEPT).map(|(_, _, frame)| frame).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first_and_nothing_waits_longer_than_an_hour() {
        let (mut backlog, start) = (Backlog::default(), Instant::now());
        backlog.add(Topic::SystemStatus, "status".to_owned(), start);
        for number in 0..MOST + 5 {
            backlog.add(Topic::ChatStream, number.to_string(), start);
        }
        backlog.add(Topic::Error, "error".to_owned(), start);
        assert_eq!(backlog.len(), MOST);
        let frames = backlog.take(start);
        assert_eq!(
            (frames.first().unwrap().as_str(), frames[1].as_str(), frames.last().unwrap().as_str()),
            ("status", "7", "error")
        );
        backlog.add(Topic::ChatStream, "old".to_owned(), start);
        backlog.add(Topic::ChatStream, "new".to_owned(), start + Duration::from_secs(1));
        assert_eq!(backlog.take(start + KEPT), ["new"]);
        assert_eq!(backlog.len(), 0);
        backlog.add(Topic::ChatStream, "x".repeat(MOST_BYTES + 1), start);
        assert_eq!(backlog.len(), 0, "what is larger than all that may wait does not");
    }
}
