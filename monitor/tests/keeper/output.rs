//! What a child prints, and what is left of a flood.

use std::time::Instant;

use monitor::supervise::cause::Exit;

use crate::kept::{Kept, order};

#[test]
fn both_streams_are_in_the_log_in_order_up_to_the_last_word() {
    let mut kept = Kept::start(order("echo one; echo two >&2; echo three; printf four; kill -9 $$"));
    kept.end();
    assert_eq!(kept.folder.last_lines(10, 1 << 10).unwrap(), ["one", "two", "three", "four"]);
}

#[test]
fn a_flood_of_200_mb_is_bounded_counted_and_does_not_hold_the_child_up() {
    const FLOOD: u64 = 200_000_000;
    let script = format!("yes 0123456789 | head -c {FLOOD}; echo; echo last words");
    let start = Instant::now();
    let mut kept = Kept::start(order(&script));
    let record = kept.end();
    println!("{FLOOD} bytes took {:?}", start.elapsed());
    assert_eq!(record.exit(), Exit::Code(0));
    let kept_bytes: u64 =
        ["log", "log.1"].map(|name| kept.folder.path().join(name).metadata().unwrap().len()).iter().sum();
    assert!(kept_bytes <= kept.order.log_limit_bytes, "{kept_bytes}");
    assert_eq!(record.log_bytes_dropped + kept_bytes, FLOOD + 1 + "last words\n".len() as u64);
    assert_eq!(kept.folder.last_lines(2, 1 << 10).unwrap()[1], "last words");
}

#[test]
fn a_child_whose_log_cannot_be_written_runs_on_and_ends_well() {
    let flag = tempfile::NamedTempFile::new().unwrap();
    let wait = format!("echo ready; while [ -e {} ]; do sleep 0.01; done", flag.path().display());
    let mut kept = Kept::start(order(&format!("{wait}; i=0; while [ $i -lt 9999 ]; do echo $i; i=$((i+1)); done")));
    kept.wait_for_line("ready");
    // From here on neither log nor record has a place.
    std::fs::remove_dir_all(kept.folder.path()).unwrap();
    flag.close().unwrap();
    let status = kept.keeper.wait().unwrap();
    assert_eq!(status.code(), Some(74), "the end could not be put on record, and the keeper says so");
}
