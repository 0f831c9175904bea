//! Which program a run runs, told by its content.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::supervise::digest_of;
use crate::supervise::keeper::KEEP_START;

/// Returns the digest of the program that a child runs: the one that is running, not the file that may have been
/// replaced since (`proc_pid_exe(5)`). `None` if the child ended first.
pub(super) async fn program_digest(pid: i32) -> Option<String> {
    // Until the child's own exec it is still our keeper's program.
    for _ in 0..100 {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        if !arguments.split(|byte| *byte == 0).any(|word| word == KEEP_START.as_bytes()) {
            let program = PathBuf::from(format!("/proc/{pid}/exe"));
            return spawn_blocking(move || digest_of(&program)).await.ok()?.ok();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}
