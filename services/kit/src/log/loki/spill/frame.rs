//! A batch in a file: a head that says how long it is and what it comes to, then the body of its request. What a process
//! that was killed wrote half is told from what is whole.

use std::io::{Read, Result, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use super::super::push::Batch;

/// Bytes of a head: state, length and lines (little endian), digest of the body, digest of the length, lines and digest.
pub(super) const HEAD_BYTES: usize = 1 + 4 + 4 + 8 + 4;
/// State of a batch that waits.
const WAITS: u8 = 0;
/// State of one that Loki has taken; written in its place, hence part of no digest.
pub(super) const TAKEN: u8 = 1;

/// What stands before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) is_taken: bool,
    pub(super) length: u32,
    pub(super) lines: u32,
    digest: [u8; 8],
}

/// What is in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where the first batch begins that waits.
    pub(super) next: u64,
    /// Where the last one ends that is whole.
    pub(super) end: u64,
    /// Lines that wait.
    pub(super) lines: u64,
    /// Lines of what is not whole, at least.
    pub(super) lost: u64,
}

/// Returns the batch as it stands in a file; none if it is longer than anything that is sent.
pub(super) fn framed(batch: &Batch) -> Option<Vec<u8>> {
    let (length, lines) = (u32::try_from(batch.body.len()).ok()?, u32::try_from(batch.lines).ok()?);
    let head = Head { is_taken: false, length, lines, digest: start_of(&batch.body) };
    let mut frame = Vec::with_capacity(HEAD_BYTES + batch.body.len());
    frame.push(WAITS);
    frame.extend(head.checked());
    frame.extend(start_of::<4>(&head.checked()));
    frame.extend_from_slice(&batch.body);
    Some(frame)
}

impl Head {
    /// Reads one; none if it is not what was written.
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (state, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (lines, rest) = rest.split_first_chunk()?;
        let (digest, check) = rest.split_first_chunk()?;
        let (length, lines) = (u32::from_le_bytes(*length), u32::from_le_bytes(*lines));
        let head = Self { is_taken: *state == TAKEN, length, lines, digest: *digest };
        (start_of::<4>(&head.checked()) == check).then_some(head)
    }

    /// Returns whether that is the body it speaks of.
    pub(super) fn is_of(&self, body: &[u8]) -> bool {
        start_of(body) == self.digest
    }

    /// Returns how much it and its body take in a file.
    pub(super) fn frame_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.length)
    }

    fn checked(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let parts = self.length.to_le_bytes().into_iter().chain(self.lines.to_le_bytes()).chain(self.digest);
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }
}

/// Reads the heads of a file of so many bytes, to its end or to what is not whole. Whether a body is what was written is
/// seen when it is read.
pub(super) fn scan(file: &mut (impl Read + Seek), length: u64) -> Result<Scan> {
    let mut scan = Scan::default();
    while scan.end < length {
        let mut bytes = [0; HEAD_BYTES];
        let is_whole = length - scan.end >= HEAD_BYTES as u64;
        if is_whole {
            file.seek(SeekFrom::Start(scan.end))?;
            file.read_exact(&mut bytes)?;
        }
        let Some(head) = Head::read(&bytes).filter(|_| is_whole) else {
            scan.lost += 1;
            break;
        };
        if length - scan.end < head.frame_bytes() {
            scan.lost += u64::from(head.lines);
            break;
        }
        scan.end += head.frame_bytes();
        if head.is_taken {
            scan.next = scan.end;
            scan.lines = 0;
        } else {
            scan.lines += u64::from(head.lines);
        }
    }
    Ok(scan)
}

/// The beginning of a SHA-256: enough against accidents, and no further crate.
fn start_of<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut start = [0; N];
    start.iter_mut().zip(Sha256::digest(bytes)).for_each(|(byte, digest)| *byte = digest);
    start
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn batch(body: &[u8]) -> Batch {
        Batch { body: Bytes::copy_from_slice(body), lines: body.len() as u64 + 1 }
    }

    proptest! {
        #[test]
        fn of_a_file_that_ends_anywhere_what_is_whole_is_known_and_what_is_not_is_lost(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let frames: Vec<Vec<u8>> = bodies.iter().map(|body| framed(&batch(body)).unwrap()).collect();
            let file = frames.concat();
            let cut = cut.index(file.len() + 1);
            let mut expected = Scan::default();
            for (frame, body) in frames.iter().zip(&bodies) {
                let (end, lines) = (expected.end + frame.len() as u64, body.len() as u64 + 1);
                if end > cut as u64 {
                    let has_head = cut as u64 - expected.end >= HEAD_BYTES as u64;
                    let is_begun = cut as u64 > expected.end;
                    expected.lost = if has_head { lines } else { u64::from(is_begun) };
                    break;
                }
                expected = Scan { next: 0, end, lines: expected.lines + lines, lost: 0 };
            }
            prop_assert_eq!(scan(&mut Cursor::new(&file[..cut]), cut as u64).unwrap(), expected);
        }

        #[test]
        fn a_byte_that_changed_is_seen(body in prop::collection::vec(any::<u8>(), 1..50), at in any::<prop::sample::Index>()) {
            let mut frame = framed(&batch(&body)).unwrap();
            // The first is the state.
            let at = 1 + at.index(frame.len() - 1);
            frame[at] ^= 1;
            let (head, body) = frame.split_first_chunk().unwrap();
            prop_assert!(Head::read(head).is_none_or(|head| !head.is_of(body)));
        }
    }

    #[test]
    fn what_was_taken_does_not_wait() {
        let mut file = [batch(b"a"), batch(b"bc"), batch(b"def")].map(|batch| framed(&batch).unwrap()).concat();
        let frame = HEAD_BYTES as u64 + 1;
        file[0] = TAKEN;
        let length = file.len() as u64;
        let expected = Scan { next: frame, end: length, lines: 3 + 4, lost: 0 };
        assert_eq!(scan(&mut Cursor::new(file), length).unwrap(), expected);
    }
}
