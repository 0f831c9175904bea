//! The output of one run, bounded: two files in turn, so that the last lines are always there.
//!
//! It never fails and never waits for anything but the disk: what cannot be kept is counted, and the child runs on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file that grows.
const CURRENT: &str = "log";
/// The file that was full before it.
const PREVIOUS: &str = "log.1";
/// A log smaller than this could not hold the lines an alert quotes.
const SMALLEST_FILE_BYTES: u64 = 4096;

/// Writes the log of one run.
#[derive(Debug)]
pub struct RunLog {
    folder: PathBuf,
    file: Option<File>,
    file_limit_bytes: u64,
    current_bytes: u64,
    previous_bytes: u64,
    dropped_bytes: u64,
}

impl RunLog {
    /// Opens an empty log in `folder` that never takes more than `limit_bytes` (at least 8 KiB) of disk.
    pub fn create(folder: &Path, limit_bytes: u64) -> Self {
        let file_limit_bytes = (limit_bytes / 2).max(SMALLEST_FILE_BYTES);
        let folder = folder.to_owned();
        let file = open_empty(&folder).ok();
        Self { folder, file, file_limit_bytes, current_bytes: 0, previous_bytes: 0, dropped_bytes: 0 }
    }

    /// Adds output.
    pub fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.current_bytes >= self.file_limit_bytes {
                self.turn();
            }
            let room = usize::try_from(self.file_limit_bytes - self.current_bytes).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.write(now);
            bytes = later;
        }
    }

    /// Returns how many bytes of output are no longer, or never were, on disk.
    pub const fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let written = match self.file.as_mut().map(|file| file.write(bytes)) {
                Some(Ok(count)) if count > 0 => count,
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                // No file, a full disk: nobody is helped if the child waits for it.
                _ => {
                    self.dropped_bytes += bytes.len() as u64;
                    return;
                }
            };
            self.current_bytes += written as u64;
            bytes = bytes.get(written..).unwrap_or_default();
        }
    }

    fn turn(&mut self) {
        self.dropped_bytes += self.previous_bytes;
        self.previous_bytes = match fs::rename(self.folder.join(CURRENT), self.folder.join(PREVIOUS)) {
            Ok(()) => self.current_bytes,
            Err(_) => {
                self.dropped_bytes += self.current_bytes;
                0
            }
        };
        self.current_bytes = 0;
        self.file = open_empty(&self.folder).ok();
    }
}

fn open_empty(folder: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(CURRENT))
}

/// Returns the last `lines` lines of the log in `folder`, read from at most its last `limit_bytes` bytes.
///
/// Bytes that are not UTF-8 become U+FFFD. A line cut by the limit is left out, unless it is all there is. While the
/// run goes on the two files may turn between two reads; then a few lines can be missing or doubled.
///
/// # Errors
/// When a file is there and cannot be read; a missing log is an empty one.
pub fn last_lines(folder: &Path, lines: usize, limit_bytes: u64) -> io::Result<Vec<String>> {
    let (mut bytes, mut cut) = tail(&folder.join(CURRENT), limit_bytes)?;
    if !cut {
        let (mut earlier, earlier_cut) = tail(&folder.join(PREVIOUS), limit_bytes - bytes.len() as u64)?;
        earlier.append(&mut bytes);
        (bytes, cut) = (earlier, earlier_cut);
    }
    let text = String::from_utf8_lossy(&bytes);
    let whole = match text.split_once('\n') {
        Some((_, rest)) if cut && !rest.is_empty() => rest,
        _ => &text,
    };
    let all: Vec<&str> = whole.lines().collect();
    Ok(all.iter().skip(all.len().saturating_sub(lines)).map(|&line| line.to_owned()).collect())
}

/// Returns the last `limit_bytes` bytes of a file, and whether there are more before them.
fn tail(path: &Path, limit_bytes: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        opened => opened?,
    };
    let skipped = file.metadata()?.len().saturating_sub(limit_bytes);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(limit_bytes).read_to_end(&mut bytes)?;
    Ok((bytes, skipped > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_bytes(folder: &Path) -> u64 {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn a_flood_keeps_the_last_lines_stays_in_bounds_and_counts_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RunLog::create(folder.path(), 20_000);
        let mut written = 0;
        for number in 0..100_000 {
            let line = format!("line {number}\n");
            written += line.len() as u64;
            log.append(line.as_bytes());
            assert!(number % 1000 != 0 || disk_bytes(folder.path()) <= 20_000);
        }
        assert_eq!(disk_bytes(folder.path()) + log.dropped_bytes(), written);
        assert_eq!(last_lines(folder.path(), 2, 1 << 16).unwrap(), ["line 99998", "line 99999"]);
        assert!(last_lines(folder.path(), usize::MAX, 1 << 16).unwrap().len() > 700, "both files are read");
    }

    #[test]
    fn the_last_lines_are_whole_lines_within_the_byte_limit() {
        let folder = tempfile::tempdir().unwrap();
        assert!(last_lines(folder.path(), 3, 100).unwrap().is_empty());
        let mut log = RunLog::create(folder.path(), 0);
        log.append(b"first\nsecond \xff\nthird");
        assert_eq!(last_lines(folder.path(), 9, 100).unwrap(), ["first", "second \u{fffd}", "third"]);
        assert_eq!(last_lines(folder.path(), 9, 16).unwrap(), ["second \u{fffd}", "third"]);
        assert_eq!(last_lines(folder.path(), 9, 3).unwrap(), ["ird"]);
        assert!(last_lines(folder.path(), 0, 100).unwrap().is_empty());
    }

    #[test]
    fn a_log_that_cannot_be_written_counts_everything_as_dropped() {
        let mut log = RunLog::create(Path::new("/nonexistent"), 8192);
        log.append(&[b'x'; 100_000]);
        assert_eq!(log.dropped_bytes(), 100_000);
    }
}
