//! Files of letters that were put away: a line of JSON for each, on the disk before the ledger lets go of it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::ledger::Away;
use crate::letter_line::away;

/// Appends letters to the file of the day in `folder`, and returns it once the disk has them.
///
/// # Errors
/// What the disk says; then a line may be there twice later, and none is lost.
pub(crate) fn put_away(folder: &Path, letters: &[Away], now: Timestamp) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(format!("{}.jsonl", now.strftime("%Y-%m-%d")));
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    let lines: String = letters.iter().map(away).collect();
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    // The name of a new file, too (fsync(2)).
    File::open(folder)?.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Whole;

    #[test]
    fn what_is_put_away_is_all_there_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let away = |number: i64| Away {
            number,
            id: number.to_string(),
            source: "jobs".to_owned(),
            queue: "mails".to_owned(),
            job: "7".to_owned(),
            name: "send".to_owned(),
            failed_at_ms: 1,
            message: "a\nb".to_owned(),
            data: vec![0, 255],
            kept: Vec::new(),
        };
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let folder = folder.path().join("cold");
        for number in [1, 2] {
            let path = put_away(&folder, &[away(number)], now).unwrap();
            assert_eq!(path, folder.join("2026-11-30.jsonl"));
        }
        let text = std::fs::read_to_string(folder.join("2026-11-30.jsonl")).unwrap();
        let [_, last] = [1, 2].map(|number| {
            let Away { number, id, source, queue, job, name, failed_at_ms, message, data, kept } = away(number);
            let (data, kept) = (Some(data), Some(kept));
            let rest = Whole::default();
            Whole { number, id, source, queue, job, name, failed_at_ms, message, data, kept, ..rest }
        });
        let lines: Vec<Whole> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[1]), (2, &last));
        assert!(!text.contains("null"), "what is put away says no more than it has: {text}");
    }
}
