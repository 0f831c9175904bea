//! Reads failures whole, wherever they were told or listed, and hands them over to be written.

use super::{Engine, Trouble};
use crate::source::{self, Episode, Found, SourceError};

/// Failures that are read at once, at most; and bytes of them, but for one that is larger: what is read is copied some times until
/// it is written.
const READ: usize = 100;
const READ_BYTES: u64 = 4 << 20;

impl Engine {
    /// Reads failures, and hands over what is still there. What is too much at once is read by halves, however large payloads
    /// are.
    pub(super) async fn read_in(&self, failures: &[Episode]) -> Result<(), Trouble> {
        let mut parts = Vec::new();
        for part in failures.chunks(READ) {
            parts.extend(by_size(part, &self.source.sizes(part).await?));
        }
        parts.reverse();
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

/// Parts failures so that no part is too large.
fn by_size<'f>(failures: &'f [Episode], sizes: &[u64]) -> Vec<&'f [Episode]> {
    let (mut parts, mut left, mut count, mut bytes) = (Vec::new(), failures, 0, 0);
    for size in sizes.iter().take(failures.len()) {
        if count > 0 && bytes + size > READ_BYTES {
            let (part, rest) = left.split_at(count);
            parts.push(part);
            (left, count, bytes) = (rest, 0, 0);
        }
        count += 1;
        bytes += size;
    }
    parts.push(left);
    parts
}

/// A failure whose names every database takes: else one with a NUL would keep all others from being written.
fn as_text(found: Found) -> Found {
    let found_in = found.found_in.map(|queue| source::as_text(&queue).into_owned());
    Found { episode: found.episode.as_text(), found_in, ..found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_read_in_small_parts_and_nothing_is_left_out() {
        let failures: Vec<Episode> = (0..5)
            .map(|number| Episode { queue: "mails".to_owned(), job: number.to_string(), failed_at_ms: 1 })
            .collect();
        let parts = |sizes: &[u64]| by_size(&failures, sizes).iter().map(|part| part.len()).collect::<Vec<_>>();
        let most = READ_BYTES;
        for (sizes, expected) in [
            (vec![], vec![5]),
            (vec![1; 5], vec![5]),
            (vec![most / 2; 5], vec![2, 2, 1]),
            (vec![most; 5], vec![1; 5]),
            (vec![most * 9, 1, 1, most * 9, 1], vec![1, 2, 1, 1]),
            (vec![1, 1, most * 9, 1, 1], vec![2, 1, 2]),
        ] {
            assert_eq!(parts(&sizes), expected, "{sizes:?}");
        }
        assert_eq!(by_size(&failures, &[most; 5]).concat(), failures);
    }
}
