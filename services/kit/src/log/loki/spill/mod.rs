//! Batches that wait in files, the oldest first, bounded in bytes, also beyond the end of the process. Blocks.
//!
//! A process that is killed loses nothing that was written; after a power cut what the system had not written yet is lost,
//! and so counted if its beginning is there. What Loki took just before the end may be sent again: it drops lines that it has.

mod frame;

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Error, Result};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::push::Batch;
use super::settings::SpillSettings;
use frame::{HEAD_BYTES, Head, TAKEN, framed, scan};

/// How the files end that hold batches; before that is a number, higher for newer ones.
const ENDING: &str = "batches";
/// Into how many files the whole is cut, at least: one is deleted as soon as Loki has taken all that is in it.
const PIECES: u64 = 8;

/// The files.
#[derive(Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    most: u64,
    segments: VecDeque<Segment>,
    bytes: u64,
    /// Keeps other processes away for as long as it is open.
    _lock: File,
}

/// One file.
#[derive(Debug)]
struct Segment {
    number: u64,
    file: File,
    length: u64,
    /// Where the first batch begins that waits.
    next: u64,
    /// Lines that wait.
    lines: u64,
}

impl Spill {
    /// Opens the folder, which is made, and looks what an earlier process has left; also returns how many lines cannot be read.
    pub(super) fn open(settings: &SpillSettings) -> Result<(Self, u64)> {
        let SpillSettings { folder, most } = settings;
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = private().create(true).truncate(false).open(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::other("another process keeps its lines there")),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut numbers: Vec<u64> =
            std::fs::read_dir(folder)?.filter_map(|entry| number(&entry.ok()?.path())).collect();
        numbers.sort_unstable();
        let mut spill = Self { folder: folder.clone(), most: *most, segments: VecDeque::new(), bytes: 0, _lock: lock };
        let mut lost = 0;
        for number in numbers {
            let mut file = private().open(spill.path(number))?;
            let length = file.metadata()?.len();
            let found = scan(&mut file, length)?;
            if found.end < length {
                file.set_len(found.end)?;
            }
            lost += found.lost;
            spill.bytes += found.end;
            let (length, next, lines) = (found.end, found.next, found.lines);
            spill.segments.push_back(Segment { number, file, length, next, lines });
            if next == length {
                spill.drop_last();
            }
        }
        Ok((spill, lost))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.iter().all(|segment| segment.next >= segment.length)
    }

    /// Adds a batch; false if there is no room.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<bool> {
        let Some(frame) = framed(batch).filter(|frame| self.bytes + frame.len() as u64 <= self.most) else {
            return Ok(false);
        };
        if self.segments.back().is_none_or(|last| last.length >= self.most / PIECES) {
            let number = self.segments.back().map_or(0, |last| last.number) + 1;
            let file = private().create_new(true).open(self.path(number))?;
            self.segments.push_back(Segment { number, file, length: 0, next: 0, lines: 0 });
        }
        let Some(last) = self.segments.back_mut() else { return Ok(false) };
        if let Err(error) = last.file.write_all_at(&frame, last.length) {
            // What is half is found at the next start otherwise.
            let _as_it_is = last.file.set_len(last.length);
            return Err(error);
        }
        last.length += frame.len() as u64;
        last.lines += batch.lines;
        self.bytes += frame.len() as u64;
        Ok(true)
    }

    /// Reads the oldest batch that waits, if there is one; also returns how many lines before it cannot be read.
    pub(super) fn front(&mut self) -> (Option<Batch>, u64) {
        let mut lost = 0;
        while let Some(first) = self.segments.front_mut() {
            if first.next >= first.length {
                self.drop_first();
                continue;
            }
            match first.read() {
                Ok((head, body)) if head.is_of(&body) => {
                    return (Some(Batch { body: body.into(), lines: head.lines.into() }), lost);
                }
                Ok((head, _damaged)) => {
                    lost += u64::from(head.lines);
                    first.skip(&head);
                }
                // Nobody can say where the next one begins.
                Err(_) => {
                    lost += first.lines;
                    first.next = first.length;
                }
            }
        }
        (None, lost)
    }

    /// Notes that the oldest batch, of so many lines, need not wait any more. Returns how many lines after it cannot be read.
    ///
    /// # Errors
    /// It cannot be written: a later process will send the batch again.
    pub(super) fn accept(&mut self, lines: u64) -> Result<u64> {
        let Some(first) = self.segments.front_mut().filter(|first| first.next < first.length) else { return Ok(0) };
        let accepted = match first.head() {
            Ok(head) => {
                let marked = first.file.write_all_at(&[TAKEN], first.next);
                first.skip(&head);
                marked.map(|()| 0)
            }
            // Nobody can say where the next one begins.
            Err(_) => {
                first.next = first.length;
                Ok(first.lines.saturating_sub(lines))
            }
        };
        if first.next >= first.length {
            self.drop_first();
        }
        accepted
    }

    fn drop_first(&mut self) {
        let first = self.segments.pop_front();
        self.delete(first);
    }

    fn drop_last(&mut self) {
        let last = self.segments.pop_back();
        self.delete(last);
    }

    fn delete(&mut self, segment: Option<Segment>) {
        let Some(segment) = segment else { return };
        self.bytes = self.bytes.saturating_sub(segment.length);
        // What is left is all taken.
        let _stays = std::fs::remove_file(self.path(segment.number));
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.{ENDING}"))
    }
}

impl Segment {
    fn head(&self) -> Result<Head> {
        let mut bytes = [0; HEAD_BYTES];
        self.file.read_exact_at(&mut bytes, self.next)?;
        Head::read(&bytes).ok_or_else(|| Error::other("no batch begins here"))
    }

    fn read(&self) -> Result<(Head, Vec<u8>)> {
        let head = self.head()?;
        let mut body = vec![0; usize::try_from(head.length).map_err(Error::other)?];
        self.file.read_exact_at(&mut body, self.next + HEAD_BYTES as u64)?;
        Ok((head, body))
    }

    fn skip(&mut self, head: &Head) {
        self.next += head.frame_bytes();
        self.lines = self.lines.saturating_sub(head.lines.into());
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn number(path: &Path) -> Option<u64> {
    path.extension().filter(|ending| *ending == ENDING)?;
    path.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
