//! A program whose standard output nobody reads for a while.

use std::io::Read;
use std::process::{Command, Stdio};

use kit::log::{Output, flush, start};
use testkit::eventually;

use crate::LIMIT;

/// Set for the program: the file that it makes when it has written everything.
const DONE: &str = "KIT_LOG_STALLED_DONE";
const TEST: &str = "stalled::who_does_not_read_standard_output_holds_nobody_up_and_gets_every_line_later";
/// Far more than a pipe holds, which is 64 KiB (pipe(7)), and less than what may wait.
const LINES: usize = 5000;

fn write(done: &str) {
    start("test", Output::Standard, Some("info"), Some("json")).unwrap();
    for number in 0..LINES {
        tracing::info!(number, "a line");
    }
    std::fs::write(done, "").unwrap();
    flush(LIMIT);
}

#[tokio::test]
async fn who_does_not_read_standard_output_holds_nobody_up_and_gets_every_line_later() {
    if let Ok(done) = std::env::var(DONE) {
        return write(&done);
    }
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe().unwrap()).args([TEST, "--exact", "--nocapture"]);
    let mut child = command.env(DONE, &done).stdout(Stdio::piped()).spawn().unwrap();
    eventually("the program to go on", LIMIT, async || done.exists().then_some(())).await;
    let mut read = String::new();
    child.stdout.take().unwrap().read_to_string(&mut read).unwrap();
    assert!(child.wait().unwrap().success());
    let lines = read.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let numbers: Vec<u64> = lines.filter_map(|line| line["number"].as_u64()).collect();
    assert_eq!(numbers, (0..LINES as u64).collect::<Vec<_>>());
}
