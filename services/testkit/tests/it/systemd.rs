//! A machine of one's own with systemd.

use testkit::SystemdContainer;

/// The host's trees of control groups: where they are mounted, and which exist.
fn control_groups() -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").expect("Linux has it");
    let mut trees: Vec<String> = mounts.lines().filter(|line| line.contains("cgroup")).map(str::to_owned).collect();
    let controllers = std::fs::read_to_string("/proc/cgroups").expect("Linux has it");
    trees.extend(controllers.lines().filter_map(|line| line.rsplitn(3, '\t').nth(2)).map(str::to_owned));
    trees
}

#[tokio::test]
async fn a_machine_runs_units_its_journal_is_read_from_outside_and_the_host_keeps_its_control_groups() {
    let before = control_groups();
    let machine = SystemdContainer::start().await;
    machine.write_units(&[("hello.service", "[Service]\nType=oneshot\nExecStart=echo good morning\n")]);
    machine.systemctl(&["start", "hello"]);
    assert_eq!(machine.systemctl(&["show", "--value", "--property", "Result", "hello"]), "success");
    machine.exec(&["journalctl", "--sync"]);
    let journal = std::process::Command::new("journalctl")
        .arg("--directory")
        .arg(machine.journal())
        .args(["--output", "cat", "_SYSTEMD_UNIT=hello.service"])
        .output()
        .expect("systemd is installed");
    assert_eq!(String::from_utf8_lossy(&journal.stdout).trim(), "good morning");
    let socket = machine.bus().replace("unix:path=", "");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok(), "{socket}");
    assert_eq!(control_groups(), before);
    drop(machine);
    assert_eq!(control_groups(), before);
}
