//! What supervision reads: /proc, the Docker socket, the system bus, the journal, cgroups.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;

use super::Outcome;
use crate::supervise::workload::Runtime;

/// A socket of this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// The number of the first PID namespace (PROC_PID_INIT_INO of Linux, include/linux/proc_ns.h: 0xEFFFFFFC).
const HOST_NAMESPACE: &str = "pid:[4026531836]";

/// Returns whether the processes we see are the host's.
pub(super) fn host_proc(is_inside: bool) -> Outcome {
    // Every process may read this of the first one, unless /proc is mounted with hidepid (proc(5)).
    if std::fs::read("/proc/1/stat").is_err() {
        let fix =
            "ProtectProc=default   # in the unit; or, if /proc is mounted with hidepid: SupplementaryGroups= its gid";
        return Outcome::Wrong("/proc hides the processes of others from us".to_owned(), fix.to_owned());
    }
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if namespace == Path::new(HOST_NAMESPACE) {
        return Outcome::Fine("/proc shows the host's processes".to_owned());
    }
    if !is_inside {
        return Outcome::Unknown("whether /proc is the host's: this is a PID namespace of somebody's".to_owned());
    }
    Outcome::Wrong("we see only this container's processes".to_owned(), "pid: host   # in compose; or mount it, [\"/proc:/host/proc:ro\"], and write proc: /host/proc to checks of processes"
            .to_owned(),
    )
}

/// Returns whether the Docker engine may be asked.
pub(super) async fn docker_socket() -> Outcome {
    let fix = "Add us to the socket's group (SupplementaryGroups=docker, compose: group_add), or better: a socket proxy\n\
               that lets only GET through.";
    socket(
        "/var/run/docker.sock",
        "no Docker socket here",
        "Docker may be asked (and through this socket anything be done)",
        fix,
    )
    .await
}

/// Returns whether systemd may be asked.
pub(super) async fn system_bus() -> Outcome {
    let fix = "Mount /run/dbus/system_bus_socket into the container, or run as a user that may connect to it.";
    socket("/run/dbus/system_bus_socket", "no system bus here", "the system bus may be asked", fix).await
}

/// Returns whether a runtime of a configured workload may be asked.
pub(super) async fn runtime(runtime: &dyn Runtime) -> Outcome {
    match runtime.reach().await {
        Ok(()) => Outcome::Fine(format!("what runs workloads answers: {}", runtime.address())),
        Err(why) => {
            let fix = "Start it, mount its socket into this container, run as a user who may ask it, or\n\
                       let its questions through a proxy in front of it."
                .to_owned();
            Outcome::Wrong(why, fix)
        }
    }
}

async fn socket(path: &str, missing: &str, fine: &str, fix: &str) -> Outcome {
    if !Path::new(path).exists() {
        return Outcome::Unknown(format!("{missing} ({path})"));
    }
    match tokio::time::timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Ok(_)) => Outcome::Fine(format!("{fine}: {path}")),
        Ok(Err(error)) => Outcome::Wrong(format!("{path}: {error}"), fix.to_owned()),
        Err(_elapsed) => {
            Outcome::Wrong(format!("{path}: nobody accepts within {} s", PATIENCE.as_secs()), fix.to_owned())
        }
    }
}

/// Returns whether the journal's files can be read.
pub(super) fn journal() -> Outcome {
    let folders = ["/var/log/journal", "/run/log/journal"].map(PathBuf::from);
    let Some(folder) = folders.iter().find(|folder| folder.is_dir()) else {
        return Outcome::Unknown("no journal here".to_owned());
    };
    let machines = std::fs::read_dir(folder).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
    if machines.as_ref().is_ok_and(Vec::is_empty) {
        return Outcome::Unknown(format!("nobody has written a journal in {}", folder.display()));
    }
    let is_readable = |machine: &std::fs::DirEntry| std::fs::File::open(machine.path().join("system.journal")).is_ok();
    if machines.is_ok_and(|machines| machines.iter().any(is_readable)) {
        return Outcome::Fine(format!("the journal in {} can be read", folder.display()));
    }
    let fix = "SupplementaryGroups=systemd-journal   # in the unit; in compose: mount it read-only and group_add";
    Outcome::Wrong(format!("{} cannot be read", folder.display()), fix.to_owned())
}

/// Returns whether memory kills can be told: cgroup v2 with `memory.events` of our own group.
pub(super) fn cgroup() -> Outcome {
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("cgroup.controllers").exists() {
        let fix = "Boot with systemd.unified_cgroup_hierarchy=1 (the default since systemd 243)".to_owned();
        return Outcome::Wrong("/sys/fs/cgroup is not cgroup v2".to_owned(), fix);
    }
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    // The root group has no such file, and a container sees its own group as the root.
    let candidates = [root.join(own), root.to_owned()];
    if own.is_empty() || candidates.iter().any(|group| group.join("memory.events").exists()) {
        return Outcome::Fine("cgroup v2, and memory kills can be told".to_owned());
    }
    Outcome::Wrong("our cgroup has no memory.events".to_owned(), "MemoryAccounting=yes   # in the unit".to_owned())
}
