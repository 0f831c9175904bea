//! How far each stream of events was read, and what was found in it; the place is kept, so that a restart looks at the
//! newest hour again and knows what it knew.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::attack::{Detector, Event, LONGEST_WINDOW_MS};
use crate::folder::{self, Folder};

/// The folder within the daemon's data folder.
const FOLDER: &str = "events";
/// Between two places that are remembered: a restart reads at most so much more than it must.
const MARK_EVERY_MS: i64 = 60_000;

/// All streams, by the check that reads them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Streams {
    folder: Folder,
    streams: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<Stream>>>>>,
}

/// One stream.
pub(crate) struct Stream {
    file: PathBuf,
    /// The newest event that was read; 0 before the first.
    pub(crate) cursor: i64,
    /// Older places, about one a minute for the newest hour: number and time.
    marks: VecDeque<(i64, i64)>,
    kept: i64,
    pub(crate) detector: Detector,
}

impl Streams {
    /// From now on places are kept in this data folder.
    pub(crate) fn open(&self, data: &Path) {
        self.folder.open(data.join(FOLDER));
    }

    /// Returns the stream that a check reads, as far as it was read by an earlier run or daemon.
    pub(crate) fn of(&self, check: &str) -> Arc<tokio::sync::Mutex<Stream>> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || Arc::new(tokio::sync::Mutex::new(Stream::at(self.folder.file_of(check))));
        streams.entry(check.to_owned()).or_insert_with(begin).clone()
    }
}

impl Stream {
    fn at(file: PathBuf) -> Self {
        // A place that cannot be read is the beginning: then more is read than needed, and nothing is missed.
        let kept = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Self { file, cursor: kept, marks: VecDeque::new(), kept, detector: Detector::default() }
    }

    /// Begins anew: the stream is another one.
    pub(crate) fn reset(&mut self) {
        (self.cursor, self.kept, self.detector) = (0, 0, Detector::default());
        self.marks.clear();
    }

    /// Takes in an event that follows those before.
    pub(crate) fn take(&mut self, event: &Event, now_ms: i64) {
        self.cursor = event.number;
        self.detector.take(event, now_ms);
        if self.marks.back().is_none_or(|(_, at_ms)| event.at_ms >= at_ms + MARK_EVERY_MS) {
            self.marks.push_back((event.number, event.at_ms));
        }
    }

    /// Keeps the newest place before which nothing matters any more.
    ///
    /// # Errors
    /// When it is not on the disk; the earlier place stays.
    pub(crate) async fn keep(&mut self, now_ms: i64) -> io::Result<()> {
        let mut place = self.kept;
        while let Some((number, _)) = self.marks.pop_front_if(|(_, at_ms)| *at_ms < now_ms - LONGEST_WINDOW_MS) {
            place = number;
        }
        if place == self.kept {
            return Ok(());
        }
        let file = self.file.clone();
        let writing = tokio::task::spawn_blocking(move || folder::write(&file, format!("{place}\n").as_bytes()));
        writing.await.map_err(io::Error::other)??;
        self.kept = place;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(number: i64, minute: i64) -> Event {
        let at = jiff::Timestamp::from_millisecond(minute * 60_000).unwrap().to_string();
        Event::read(&json!({ "number": number, "at": at, "kind": "login", "email": "a@example.com" })).unwrap()
    }

    #[tokio::test]
    async fn a_restart_reads_the_newest_hour_again_and_nothing_before() {
        let data = tempfile::tempdir().unwrap();
        let streams = Streams::default();
        streams.open(data.path());
        let stream = streams.of("platform/events");
        let mut stream = stream.lock().await;
        for minute in 0..180 {
            (0..3).for_each(|number| stream.take(&event(minute * 3 + number + 1, minute), minute * 60_000));
            stream.keep(minute * 60_000).await.unwrap();
        }
        assert_eq!(stream.cursor, 540);
        let again = Streams::default();
        again.open(data.path());
        let place = again.of("platform/events").lock().await.cursor;
        assert_eq!(place, 118 * 3 + 1, "the first event of the last minute that is too old");
    }
}
