//! Asks the kernel's log whether it was the out-of-memory killer that ended a process.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::unistd::{SysconfVar, sysconf};

use super::process_table::ProcessId;

/// Longest record of `/dev/kmsg` (`CONSOLE_EXT_LOG_MAX`, include/linux/printk.h); a shorter buffer gives EINVAL.
const RECORD_BYTES: usize = 8192;
/// Records read at most; the ring of a busy host (1 MiB) holds about this many.
const RECORDS: usize = 20_000;

/// Returns whether the kernel killed `process` for want of memory; `false` also if its log may not be read.
///
/// Needs CAP_SYSLOG, or `kernel.dmesg_restrict=0` and read access to `/dev/kmsg`. In a container with its own process
/// numbers the log speaks of the host's, and the answer is `false`. Reads the whole ring, so call it off the runtime.
pub fn was_killed_for_memory(process: ProcessId) -> bool {
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let Ok(mut log) = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg") else { return false };
    let mut record = [0; RECORD_BYTES];
    for _ in 0..RECORDS {
        match log.read(&mut record) {
            Ok(0) => return false,
            Ok(count) => {
                let text = String::from_utf8_lossy(record.get(..count).unwrap_or_default());
                if tells_of(&text, process, ticks_a_second()) {
                    return true;
                }
            }
            // EPIPE: the ring overwrote the record we stood at; the next read goes on behind it.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Returns whether a record of `/dev/kmsg`, `priority,sequence,microseconds,flags;text`, tells of this very process.
///
/// The text is that of `__oom_kill_process` in mm/oom_kill.c. A record older than the process is of another with its
/// number; a second of slack, because the log's clock stops in suspend and is not exact.
fn tells_of(record: &str, process: ProcessId, ticks_a_second: u64) -> bool {
    let Some((head, text)) = record.split_once(';') else { return false };
    let micros: u64 = head.split(',').nth(2).and_then(|field| field.parse().ok()).unwrap_or(0);
    let started_secs = process.start_time / ticks_a_second.max(1);
    text.contains("ut of memory")
        && text.contains(&format!("Killed process {} ", process.pid))
        && micros / 1_000_000 + 1 >= started_secs
}

/// The unit of start times, `sysconf(3)`; 100 on every Linux one meets.
fn ticks_a_second() -> u64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_oom_record_of_this_process_in_its_lifetime_counts() {
        let process = ProcessId { pid: 812, start_time: 50_000 };
        let check = |record: &str| tells_of(record, process, 100);
        assert!(check("3,1,600000000,-;Out of memory: Killed process 812 (web) total-vm:1kB"));
        assert!(check("3,1,600000000,-;Memory cgroup out of memory: Killed process 812 (web) total-vm:1kB"));
        assert!(!check("3,1,600000000,-;Out of memory: Killed process 8123 (web) total-vm:1kB"));
        assert!(!check("3,1,400000000,-;Out of memory: Killed process 812 (web) total-vm:1kB"));
        assert!(!check("6,1,600000000,-;web[812]: segfault at 0"));
        assert!(!check("garbage"));
    }

    #[test]
    fn this_living_process_was_not_killed() {
        assert!(!was_killed_for_memory(ProcessId::of(nix::unistd::getpid().as_raw()).unwrap()));
    }
}
