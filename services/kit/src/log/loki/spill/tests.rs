use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// A folder for so many bytes.
fn settings(folder: &TempDir, most: u64) -> SpillSettings {
    SpillSettings { folder: folder.path().join("logs/monitor"), most }
}

fn batch(text: &str) -> Batch {
    Batch { body: text.as_bytes().to_vec().into(), lines: 2 }
}

/// Takes everything out.
fn drain(spill: &mut Spill) -> Vec<String> {
    let mut bodies = Vec::new();
    while let (Some(batch), 0) = spill.front() {
        bodies.push(String::from_utf8(batch.body.to_vec()).unwrap());
        spill.accept(1).unwrap();
    }
    bodies
}

#[test]
fn what_is_put_in_comes_out_in_order_also_after_a_restart_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, 1000);
    let texts: Vec<String> = (0..12).map(|number| format!("{number:040}")).collect();
    let (mut spill, _) = Spill::open(&settings).unwrap();
    for text in &texts {
        assert!(spill.append(&batch(text)).unwrap());
    }
    assert_eq!(spill.front().0, Some(batch(&texts[0])));
    spill.accept(1).unwrap();
    assert!(Spill::open(&settings).unwrap_err().to_string().contains("another process"));
    let files: Vec<u32> = settings
        .folder
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert!(files.len() > 4 && files.iter().all(|mode| *mode == 0o600), "{files:?}");
    assert_eq!(settings.folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    drop(spill);
    let (mut spill, lost) = Spill::open(&settings).unwrap();
    assert!(spill.append(&batch("last")).unwrap());
    let expected: Vec<&str> = texts[1..].iter().map(String::as_str).chain(["last"]).collect();
    assert_eq!((drain(&mut spill), lost), (expected.iter().map(|text| (*text).to_owned()).collect(), 0));
    assert!(spill.is_empty() && spill.bytes() == 0 && settings.folder.read_dir().unwrap().count() == 1);
}

#[test]
fn there_is_never_more_than_may_be_and_room_again_once_a_file_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spill, _) = Spill::open(&settings(&folder, 300)).unwrap();
    let put = |spill: &mut Spill| (0..).take_while(|_| spill.append(&batch("ten bytes.")).unwrap()).count();
    let on_disk = || -> u64 {
        let files = folder.path().join("logs/monitor").read_dir().unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    assert_eq!((put(&mut spill), spill.bytes(), on_disk()), (9, 9 * 31, 9 * 31));
    assert_eq!(put(&mut spill), 0);
    while put(&mut spill) == 0 {
        spill.front();
        spill.accept(1).unwrap();
    }
    assert!(spill.bytes() <= 300 && spill.bytes() == on_disk(), "{}", spill.bytes());
}

#[test]
fn what_was_written_half_or_is_damaged_is_counted_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, 10_000);
    let (mut spill, _) = Spill::open(&settings).unwrap();
    for text in ["one", "two", "three"] {
        spill.append(&batch(text)).unwrap();
    }
    let path = spill.path(1);
    drop(spill);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    file.write_all_at(b"X", HEAD_BYTES as u64).unwrap();
    let (mut spill, lost) = Spill::open(&settings).unwrap();
    assert_eq!((lost, spill.front()), (2, (Some(batch("two")), 2)));
    spill.accept(1).unwrap();
    assert_eq!(spill.front(), (None, 0));
}
