//! How much memory a test takes.

/// Returns this process's resident memory, in KiB (proc_pid_status(5)).
///
/// # Panics
/// When the kernel does not tell.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("of memory, too");
    line.trim().trim_end_matches(" kB").parse().expect("in kB")
}
