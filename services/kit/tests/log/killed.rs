//! A program that is killed with SIGKILL while lines wait on the disk, and the one that comes after it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{Loki, eventually};

use crate::{LIMIT, Log, QUEUE_BYTES, SMALL, dropped, numbers, on_disk, sent, waiting, work};

/// Set for the programs that are to be killed: the folder they leave lines in, and the Loki that is gone.
const FOLDER: &str = "KIT_LOG_KILLED_FOLDER";
const URL: &str = "KIT_LOG_KILLED_URL";
const TEST: &str = "killed::what_was_on_the_disk_when_a_program_was_killed_arrives_in_order";

/// Writes lines until it is killed; says how many bytes are on the disk.
fn write(folder: &str) -> ! {
    let url = std::env::var(URL).unwrap();
    let _log = Log::start(&url, &[SMALL[0], SMALL[1], ("LOKI_SPILL_DIR", folder)]);
    for fifty in 0.. {
        work(fifty * 50..(fifty + 1) * 50);
        // Never more than memory takes until the disk has taken it.
        while waiting() > QUEUE_BYTES / 2 {
            std::thread::yield_now();
        }
        println!("@ {}", on_disk());
    }
    unreachable!("it is killed")
}

/// Starts a program, kills it when so much is on the disk.
fn kill_at(bytes: u64, folder: &Path, url: &str) {
    // It must not outlive a test that failed.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe().unwrap()).args([TEST, "--exact", "--nocapture"]);
    let mut child = command.env(FOLDER, folder).env(URL, url).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.filter_map(|line| line.unwrap().strip_prefix("@ ")?.parse::<u64>().ok());
    assert!(told.into_iter().any(|now| now >= bytes), "it writes until it is killed");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_the_disk_when_a_program_was_killed_arrives_in_order() {
    if let Ok(folder) = std::env::var(FOLDER) {
        write(&folder);
    }
    let (loki, folder) = (Loki::start().await, tempfile::tempdir().unwrap());
    loki.go().await;
    kill_at(20_000, folder.path(), &loki.url());
    let mut files: Vec<_> = folder.path().join("test").read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some() && path.metadata().unwrap().len() > 0);
    files.sort();
    // As if the kill had come in the middle of a write.
    let last = std::fs::File::options().write(true).open(files.last().unwrap()).unwrap();
    last.set_len(last.metadata().unwrap().len() - 1).unwrap();
    loki.come_back().await;
    let log = Log::start(&loki.url(), &[SMALL[0], SMALL[1], ("LOKI_SPILL_DIR", folder.path().to_str().unwrap())]);
    eventually("nothing to wait", LIMIT, async || (sent() > 100 && waiting() + on_disk() == 0).then_some(())).await;
    tracing::info!(number = u64::MAX, "of the one after it");
    log.exporting.finish().await;
    let held = loki.held().await;
    let found = numbers(&held);
    let (last, before) = found.split_last().unwrap();
    assert_eq!((*last, before), (u64::MAX, (0..before.len() as u64).collect::<Vec<_>>().as_slice()));
    assert_eq!((sent(), held["duplicates"].as_u64()), (held["entries"].as_array().unwrap().len() as u64, Some(0)));
    let lost = dropped("unreadable");
    println!("{} lines of the killed program arrived, {lost} were cut", before.len());
    assert!(before.len() > 500 && (1..100).contains(&lost), "{lost}");
}
