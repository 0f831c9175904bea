//! What the kernel lets us do.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::getegid;

use super::Outcome;

/// CAP_NET_RAW (linux/capability.h).
const CAP_NET_RAW: u32 = 13;
/// A thousand checks with a connection each, their channels, and room.
const ENOUGH_FILES: u64 = 4096;
/// A day of history of a hundred checks takes some tens of megabytes.
const ENOUGH_ROOM_BYTES: u64 = 512 << 20;

/// Returns whether a raw socket, or a socket for pings, may be opened.
pub(super) fn icmp() -> Outcome {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if has_capability(&status, CAP_NET_RAW) {
        return Outcome::Fine("raw sockets may be opened (CAP_NET_RAW)".to_owned());
    }
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    if is_in_range(&range, getegid().as_raw()) {
        return Outcome::Fine("sockets for pings may be opened (net.ipv4.ping_group_range)".to_owned());
    }
    Outcome::Wrong(
        "neither CAP_NET_RAW nor a group within net.ipv4.ping_group_range".to_owned(),
        "AmbientCapabilities=CAP_NET_RAW   # in the unit; in compose: cap_add: [NET_RAW]\n\
         sysctl net.ipv4.ping_group_range='0 2147483647'   # or for everybody"
            .to_owned(),
    )
}

fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|bits| bits >> capability & 1 == 1)
}

fn is_in_range(range: &str, group: u32) -> bool {
    let mut bounds = range.split_whitespace().filter_map(|bound| bound.parse::<u32>().ok());
    matches!((bounds.next(), bounds.next()), (Some(from), Some(to)) if (from..=to).contains(&group))
}

/// Returns whether enough files may be open at once.
pub(super) fn open_files() -> Outcome {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft >= ENOUGH_FILES => Outcome::Fine(format!("{soft} open files")),
        Ok((soft, _)) => Outcome::Wrong(
            format!("only {soft} open files"),
            format!("LimitNOFILE={ENOUGH_FILES}   # in the unit; in compose: ulimits: {{ nofile: {ENOUGH_FILES} }}"),
        ),
        Err(error) => Outcome::Unknown(format!("the limit of open files cannot be read: {error}")),
    }
}

/// Returns whether our folder can be written and has room. What is written is removed at once.
pub(super) fn data_folder(folder: &Path) -> Outcome {
    let shown = folder.display();
    if !folder.is_dir() {
        return Outcome::Unknown(format!("the data folder {shown} is made by the first start"));
    }
    if let Err(error) = tempfile_in(folder) {
        let fix = format!("chown -R monitor: {shown}   # or set data_dir to a folder that is ours");
        return Outcome::Wrong(format!("{shown} cannot be written: {error}"), fix);
    }
    match statvfs(folder) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let shown_free = free >> 20;
            if free >= ENOUGH_ROOM_BYTES {
                Outcome::Fine(format!("{shown} can be written; {shown_free} MiB are free"))
            } else {
                let fix = "Free some room, or set data_dir to a larger disk, or shorten history.raw.".to_owned();
                Outcome::Wrong(format!("{shown} has only {shown_free} MiB left"), fix)
            }
        }
        Err(error) => Outcome::Unknown(format!("the room in {shown} cannot be read: {error}")),
    }
}

fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let file = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&file, b"x")?;
    std::fs::remove_file(file)
}

/// Returns whether the clock is kept right, where systemd-timesyncd says so: it makes a folder when it starts, and a file
/// in it once a server has answered (systemd-timesyncd.service(8), "Files").
pub(super) fn clock() -> Outcome {
    let folder = Path::new("/run/systemd/timesync");
    if folder.join("synchronized").exists() {
        return Outcome::Fine("the clock is synchronised".to_owned());
    }
    if folder.is_dir() {
        return Outcome::Wrong(
            "systemd-timesyncd runs, and no time server has answered since the start".to_owned(),
            "timedatectl timesync-status   # names the server; others: NTP= in /etc/systemd/timesyncd.conf".to_owned(),
        );
    }
    Outcome::Unknown("whether the clock is synchronised: no systemd-timesyncd here that says so".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_and_ranges_are_read() {
        assert!(has_capability("Name:\tx\nCapEff:\t0000000000002000\n", CAP_NET_RAW));
        assert!(!has_capability("CapEff:\t0000000000001fff\n", CAP_NET_RAW));
        assert!(is_in_range("0\t2147483647\n", 1000));
        assert!(!is_in_range("1\t0\n", 0));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_finding() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!matches!(data_folder(folder.path()), Outcome::Unknown(_)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // Nobody may write there, root neither.
        assert!(
            matches!(data_folder(Path::new("/proc/self")), Outcome::Wrong(message, _) if message.contains("cannot be written"))
        );
        assert!(matches!(data_folder(Path::new("/nonexistent")), Outcome::Unknown(_)));
    }
}
