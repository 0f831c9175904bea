//! Which program a run runs, told by its content.

use std::io::Read;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::supervise::keeper::KEEP_START;

/// Largest program that is digested, in bytes; of a larger one the rest does not count.
const MAX_PROGRAM_BYTES: u64 = 1 << 30;

/// Returns the digest of the program that a child runs: the one that is running, not the file that may have been
/// replaced since (`proc_pid_exe(5)`). `None` if the child ended first.
pub(super) async fn program_digest(pid: i32) -> Option<String> {
    // Until the child's own exec it is still our keeper's program.
    for _ in 0..100 {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        if !arguments.split(|byte| *byte == 0).any(|word| word == KEEP_START.as_bytes()) {
            let hashed = tokio::task::spawn_blocking(move || hash(&format!("/proc/{pid}/exe"))).await;
            let digest = hashed.ok()?.ok()?;
            return Some(data_encoding::HEXLOWER.encode(&digest));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

fn hash(file: &str) -> std::io::Result<sha2::digest::Output<Sha256>> {
    let mut program = std::fs::File::open(file)?.take(MAX_PROGRAM_BYTES);
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match program.read(&mut piece)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        }
    }
}
