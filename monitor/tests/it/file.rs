//! Kind `file`: files that are there, old, small, or no files at all.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use monitor::probe::ReasonCode;

use crate::{ask, assert_fail, assert_pass, fail, soft};

/// Makes a file of this size that was written so many hours ago.
fn write(path: &Path, bytes: u64, hours: u64) {
    let file = File::create(path).unwrap();
    file.set_len(bytes).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
}

#[tokio::test]
async fn the_newest_match_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("a.dump"), 5_000_000, 50);
    write(&path("b.dump"), 10, 2);
    write(&path(".hidden.dump"), 10, 0);
    std::fs::create_dir(path("folder.dump")).unwrap();
    nix::unistd::mkfifo(&path("pipe.dump"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("nowhere", path("gone.dump")).unwrap();
    let at = folder.path().display();
    let check = |settings: &str| format!("file: {{ path: '{at}/*.dump'{settings} }}");
    let facts = "\nexpect: { json: { count: 2, size_bytes: 10 }, expr: 'json.age_secs >= 7200 && json.path.endsWith(\"/b.dump\")' }";
    let observation = ask(&format!("{}{facts}", check(", max_age: 3h, min_count: 2"))).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.note, Some(format!("{at}/b.dump is 2h old, 10 bytes")));
    let text =
        format!("{at}/b.dump is 2h old, 10 bytes: 2 matches, fewer than 3 and older than 1h and smaller than 1.0 MB");
    let settings = ", min_count: 3, max_age: 1h, min_size: 1MB";
    assert_fail(&ask(&check(settings)).await, ReasonCode::Limit, &text);
    let text = format!("{at}/b.dump is 2h old, 10 bytes: larger than 5 bytes");
    assert_fail(&ask(&check(", max_size: 5")).await, ReasonCode::Limit, &text);

    std::os::unix::fs::symlink("a.dump", path("latest")).unwrap();
    let link = ask(&format!("file: {{ path: '{at}/latest', min_size: 5MB, max_age: 51h }}")).await;
    assert_pass(&link);
    let ahead = File::options().write(true).open(path("b.dump")).unwrap();
    ahead.set_modified(SystemTime::now() + Duration::from_secs(3 * 3600 + 30)).unwrap();
    let observation = ask(&check(", max_age: 1h")).await;
    assert_pass(&observation);
    let soft = soft(&observation);
    assert!(soft[0].starts_with(&format!("{at}/b.dump is dated 3h")), "{soft:?}");
    assert!(soft[0].ends_with(" ahead of this machine's clock"), "{soft:?}");
}

#[tokio::test]
async fn what_is_not_there_or_no_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for (path, text) in [
        ("*.dump", format!("no file matches {at}/*.dump")),
        ("none/*", format!("there is no folder {at}/none")),
        ("none", format!("there is no file {at}/none")),
        ("pipe", format!("{at}/pipe is a pipe, not a file")),
        ("folder", format!("{at}/folder is a folder, not a file")),
    ] {
        assert_fail(&ask(&format!("file: {{ path: '{at}/{path}' }}")).await, ReasonCode::Limit, &text);
    }
    let (_, text) = fail(&ask("file: { path: /dev/null }").await);
    assert_eq!(text, "/dev/null is a device, not a file");
}
