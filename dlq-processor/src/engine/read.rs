//! Reads failures whole, wherever they were told or listed, and hands them over to be written.

use super::{Engine, Trouble};
use crate::source::{self, Episode, Found, SourceError};

/// Failures that are read at once, at most.
const READ: usize = 100;

impl Engine {
    /// Reads failures, and hands over what is still there. What is too much at once is read by halves, however large payloads
    /// are.
    pub(super) async fn read_in(&self, failures: &[Episode]) -> Result<(), Trouble> {
        let mut parts: Vec<&[Episode]> = failures.chunks(READ).rev().collect();
        while let Some(part) = parts.pop() {
            let _turn = self.intake.turn().await;
            match self.source.read(part).await {
                Err(SourceError::Late(_)) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                read => {
                    let read = read?;
                    let gone = part.iter().zip(&read).filter(|(_, found)| found.is_none());
                    let gone: Vec<Episode> = gone.map(|(episode, _)| episode.clone()).collect();
                    self.intake.hand_over(read.into_iter().flatten().map(as_text).collect()).await;
                    self.missed.suspect(gone, self.intake.handed_over());
                }
            }
        }
        Ok(())
    }
}

/// A failure whose names every database takes: else one with a NUL would keep all others from being written.
fn as_text(found: Found) -> Found {
    let found_in = found.found_in.map(|queue| source::as_text(&queue).into_owned());
    Found { episode: found.episode.as_text(), found_in, ..found }
}
