//! Lines that wait on the disk while Loki is away, and disks that do not take them.

use testkit::{Disk, Loki, eventually};

use crate::{LIMIT, Log, QUEUE_BYTES, SMALL, all_dropped, dropped, numbers, on_disk, sent, waiting, work};

/// Waits until nothing waits any more, and returns what Loki holds.
async fn arrived(loki: &Loki, log: Log) -> Vec<u64> {
    loki.come_back().await;
    eventually("nothing to wait", LIMIT, async || (waiting() + on_disk() == 0).then_some(())).await;
    log.exporting.finish().await;
    let held = loki.held().await;
    assert_eq!(sent(), held["entries"].as_array().unwrap().len() as u64);
    numbers(&held)
}

/// Writes so many lines, never more than memory takes until the disk has taken them.
async fn work_slowly(lines: u64) {
    for fifty in 0..lines / 50 {
        work(fifty * 50..(fifty + 1) * 50);
        eventually("room", LIMIT, async || (waiting() <= QUEUE_BYTES / 2).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_the_disk_arrives_in_order_and_nothing_is_lost() {
    let (loki, folder) = (Loki::start().await, tempfile::tempdir().unwrap());
    loki.go().await;
    let spill = ("LOKI_SPILL_DIR", folder.path().to_str().unwrap());
    let log = Log::start(&loki.url(), &[SMALL[0], SMALL[1], spill]);
    work_slowly(10_000).await;
    println!("{} bytes on the disk of 10000 lines", on_disk());
    assert!(on_disk() > 0 && all_dropped() == 0);
    assert_eq!((arrived(&loki, log).await, all_dropped()), ((0..10_000).collect(), 0));
    let left: Vec<_> = folder.path().join("test").read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_bounded_and_what_they_took_arrives_in_order() {
    let (loki, folder) = (Loki::start().await, tempfile::tempdir().unwrap());
    loki.go().await;
    let spill = [("LOKI_SPILL_DIR", folder.path().to_str().unwrap()), ("LOKI_SPILL_BYTES", "32KiB")];
    let log = Log::start(&loki.url(), &[SMALL, spill].concat());
    for hundred in 0..200 {
        work(hundred * 100..(hundred + 1) * 100);
        tokio::task::yield_now().await;
        assert!(on_disk() <= 32 * 1024 && waiting() <= QUEUE_BYTES, "{} {}", on_disk(), waiting());
    }
    let found = arrived(&loki, log).await;
    assert!(found.is_sorted() && all_dropped() > 0 && all_dropped() == dropped("queue_full"));
    assert_eq!(found.len() as u64 + all_dropped(), 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_line_that_memory_holds() {
    let (loki, folder) = (Loki::start().await, tempfile::tempdir().unwrap());
    let mount = folder.path().join("disk");
    let disk = Disk::mount(&mount, "64k");
    disk.fill();
    loki.go().await;
    let log = Log::start(&loki.url(), &[SMALL[0], SMALL[1], ("LOKI_SPILL_DIR", mount.to_str().unwrap())]);
    work(0..2000);
    eventually("it to be noticed", LIMIT, async || {
        (!log.own().is_empty() && log.own().iter().any(|line| line.contains("in memory"))).then_some(())
    })
    .await;
    let found = arrived(&loki, log).await;
    assert_eq!(found.len() as u64 + all_dropped(), 2000);
    assert!(found.is_sorted() && found[..100] == (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_what_loki_did_not_take_goes_to_the_disk() {
    let (loki, folder) = (Loki::start().await, tempfile::tempdir().unwrap());
    loki.go().await;
    let log = Log::start(&loki.url(), &[("LOKI_SPILL_DIR", folder.path().to_str().unwrap())]);
    work(0..100);
    log.exporting.finish().await;
    assert!(on_disk() > 0 && waiting() == 0 && all_dropped() == 0, "{} {}", on_disk(), waiting());
}
